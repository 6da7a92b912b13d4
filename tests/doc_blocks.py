"""Finds the code blocks of README and docs, and their kinds."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "plugin-guide.md"
SAMPLE = ROOT / "docs" / "sample_plugin" / "adbench_sample.py"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
PROGRAMS = ("adbench", "pip", "pytest", "python")

INDENT = "    "


@dataclass(frozen=True)
class Block:
    """One fenced block, or one paragraph of an indented block.

    ``language`` is that of the fence, "indented" for an indented block. ``after_command`` says that a block of commands
    stands above it in the same section, so that it may be what these print.
    """

    page: Path
    line: int
    language: str
    text: str
    after_command: bool = False

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def kind(self) -> str:
        """Its kind, by language and content; "other" if no test can check it."""
        if self.language == "indented":
            if self.text.split()[0] in PROGRAMS:
                return "commands"
            return "output" if self.after_command and not self._has_options() else "other"
        if self.language == "python":
            return _kind_of_python(self.text)
        return self.language if self.language in ("toml", "cfg", "json") else "other"

    def _has_options(self) -> bool:
        """Whether an option stands in it, but for lines that print a command."""
        printed = [line for line in self.text.splitlines() if line and line.split()[0] not in PROGRAMS]
        return any(re.search(r"\s--\w", line) for line in printed)


def _kind_of_python(text: str) -> str:
    if "@hookimpl" in text:
        return "plugin" if re.search(r"^from adbench import", text, re.MULTILINE) else "outline"
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return "declarations"  # "def name(...)" without a body
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    is_bare = len(classes) == len(tree.body) and not any(
        isinstance(node, (ast.FunctionDef, ast.Assign)) for each in classes for node in each.body
    )
    return "declarations" if is_bare else "fragment"


def blocks_of(page: Path) -> Iterator[Block]:
    """All blocks of a page, in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    number, after_command = 0, False
    while number < len(lines):
        line, start = lines[number], number
        if line.startswith("#"):
            after_command = False
        if line.startswith("```"):
            number = lines.index("```", number + 1)
            yield Block(page, start + 1, line[3:].strip(), "\n".join([*lines[start + 1 : number], ""]))
        elif line.startswith(INDENT) and not lines[number - 1].strip():
            while number + 1 < len(lines) and lines[number + 1].startswith(INDENT):
                number += 1
            text = "\n".join([*(each[len(INDENT) :] for each in lines[start : number + 1]), ""])
            block = Block(page, start + 1, "indented", text, after_command)
            after_command = after_command or block.kind == "commands"
            yield block
        number += 1


ALL_BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def blocks(kind: str) -> list[Block]:
    """All blocks of a kind."""
    return [block for block in ALL_BLOCKS if block.kind == kind]


def plugins() -> dict[str, str]:
    """Sources of the guide's plugins besides the sample, by the name of their method, data set or the like.

    Of a backbone's name only the part before the first underscore counts.
    """
    sources = [block.text for block in blocks("plugin") if block.text != SAMPLE.read_text(encoding="utf-8")]
    offered = re.compile(r'\b(?:Method|Dataset|BackboneEntry|TrackerEntry|ExecutorEntry)\("([a-z]+)')
    return {offered.findall(source)[0]: source for source in sources}


def commands_of(block: Block) -> Iterator[list[str]]:
    """Command lines of a block as words, without comments, assignments, pipes and redirections."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            command, words = words[:end], words[end + 1 :]
            for cut in ("|", ">"):
                command = command[: command.index(cut)] if cut in command else command
            yield command


def inline_code(page: Path) -> list[str]:
    """Text between backquotes in a page, outside blocks."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", text)
