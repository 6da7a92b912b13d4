"""Every command line in README and docs is valid as written."""

from __future__ import annotations

import importlib
import itertools
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import pytest
from doc_blocks import PAGES, PROGRAMS, ROOT, Block, blocks, commands_of, inline_code
from runs import adbench

from adbench import UsageError
from adbench.api import registry
from adbench.api.method import require_setting
from adbench.cli import values as option_values
from adbench.cli.grid import expand
from adbench.cli.groups import ELSEWHERE
from adbench.cli.main import app


@dataclass
class Parsed:
    """A command with the values of its parameters."""

    command: click.Command
    values: dict[str, Any] = field(default_factory=dict)


def find(group: click.Command, words: list[str]) -> tuple[click.Command, list[str]]:
    """Follow words through groups to a command; the remaining words are its own."""
    while isinstance(group, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in group.commands, f"no command {words[0]}"
        group, words = group.commands[words[0]], words[1:]
    return group, words


def parse(group: click.Command, words: list[str]) -> Parsed:
    """Parse words as click does, without running the command. Raises ``click.UsageError``."""
    command, rest = find(group, words)
    try:
        with closing(command.make_context(command.name, rest)) as context:
            return Parsed(command, dict(context.params))
    except click.exceptions.Exit:  # --help and --version
        return Parsed(command)


def is_name(text: object) -> bool:
    """Whether a word is literal, and not a placeholder such as METHOD."""
    return isinstance(text, str) and not text.isupper() and text != "all"


def method_in(variant: str, known: Iterable[str]) -> str:
    """The method of a variant such as "padim:cpu"; a method's own name may have a colon."""
    fitting = [name for name in known if variant == name or variant.startswith(f"{name}:")]
    return max(fitting, key=len, default=variant.partition(":")[0])


@cache
def plugins(files: tuple[Path, ...]) -> registry.Registry:
    """The installed plugins and these files, loaded once for all commands."""
    return registry.load(files)


def check_adbench(words: list[str]) -> None:
    """Parse a command line of adbench, and look up the names in it."""
    if "..." in words:  # stands for what every run needs
        place = words.index("...")
        words = [*words[:place], "-m", "random", "-d", "demo", *words[place + 1 :]]
    words = [word.removeprefix("[").removesuffix("]").removesuffix("...") for word in words]
    parsed = parse(app, words)
    values = parsed.values
    known = plugins(tuple(values.get("plugin_files") or ()))
    if values.get("what") == "datasets" and values.get("name"):
        assert values.pop("name") in known.datasets
    given = values.get("methods") or values.get("method") or values.get("name") or ()
    names = given.split(",") if isinstance(given, str) else [method_in(each, known.methods) for each in given]
    methods = [known.method(name) for name in names if is_name(name)]
    if is_name(values.get("dataset")):
        assert values["dataset"] in known.datasets
    for method in methods:
        assert (values.get("preset") or "paper") in method.presets
    if methods and values.get("is_grid"):
        expand(methods, values["changes"], {}, on=True)
    elif methods and "changes" in values:
        option_values.overrides(methods, [change for change in values["changes"] if "=" in change], {})
    if methods and "auxiliary" in values:
        option_values.auxiliary(methods, values["auxiliary"])
    if methods and "shots" in values:
        setting = option_values.setting(values["setting"], values["shots"])
        require_setting(methods, setting, values.get("preset"))


def check_python(words: list[str]) -> None:
    """Parse a command line of a benchmark or of a plugin, find a program, or compile the code after -c."""
    if words[0] == "-c":
        compile(words[1], "-c", "exec")
        return
    if words[0].endswith(".py"):
        assert (ROOT / words[0]).exists()
        return
    assert words[0] == "-m"
    package, _, module = words[1].partition(".")
    if package == "adbench":
        check_adbench(words[2:])
        return
    if package == "adbench_plugins":
        parse(importlib.import_module(f"{words[1]}.__main__").main, words[2:])
        return
    assert package == "benchmarks"
    found = importlib.import_module(f"benchmarks.{module or '__main__'}")
    parse(found.main if module else found.app, words[2:])


def check_pip(words: list[str]) -> None:
    """Only this project or a folder is installed, with existing extras."""
    assert words[0] == "install"
    for word in (word for word in words[1:] if not word.startswith("-")):
        name, extras = re.fullmatch(r"([^\[]+)(?:\[(.+)\])?", word).groups()
        assert name in (".", "adbench-suite")
        declared = metadata("adbench-suite").get_all("Provides-Extra") or []
        assert set((extras or "").split(",")) - {""} <= set(declared)


def check_pytest(words: list[str]) -> None:
    """Paths exist."""
    assert all((ROOT / word).exists() for word in words if not word.startswith("-") and "/" in word)


CHECKS = {"adbench": check_adbench, "python": check_python, "pip": check_pip, "pytest": check_pytest}


needs_anomalib = pytest.mark.skipif(find_spec("anomalib") is None, reason="names a method of anomalib: install it")


def marked(block: Block) -> Any:
    """A block of commands; one with methods of anomalib belongs to the environment that has it."""
    marks = [pytest.mark.bridge, needs_anomalib] if "anomalib:" in block.text else []
    return pytest.param(block, marks=marks, id=str(block))


@pytest.mark.parametrize("block", [marked(block) for block in blocks("commands")])
def test_commands_exist(block, desk, monkeypatch):
    """The real commands parse each command line; its methods, presets, options and settings exist."""
    monkeypatch.chdir(desk)
    assert set(CHECKS) == set(PROGRAMS)
    lines = list(commands_of(block))
    assert lines
    for words in lines:
        CHECKS[words[0]](words[1:])


def help_examples() -> list[str]:
    """The command lines in the help texts of all commands, and in the answers to those of other suites."""
    found: list[str] = [here.example for here in ELSEWHERE.values()]
    groups: list[click.Command] = [app]
    for command in groups:
        groups += getattr(command, "commands", {}).values()
        lines = (command.help or "").partition("\b\n")[2].splitlines()
        found += [line for line in lines if line.startswith("adbench ")]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("line", help_examples())
def test_examples_of_help_texts_exist(line, desk, monkeypatch):
    """Each is parsed by its command; its methods, presets, options and settings exist."""
    monkeypatch.chdir(desk)
    words = shlex.split(line)
    check_adbench(words[1 : words.index(">")] if ">" in words else words[1:])


@pytest.mark.parametrize(
    "words",
    [
        *(["run", "-m", "padim", "-d", "demo", *wrong] for wrong in (
            ["--pluging", "x"], ["-p", "cpus"], ["-o", "epsilons=1"], ["--amp", "int8"], ["--aux", "textures=x"],
        )),
        ["run", "-m", "padam", "-d", "demo"], ["run", "-m", "padim", "-d", "demos"], ["leaderbord"],
        ["compare", "msflow", "--vs", "mine"], ["results", "stales"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_commands_are_noticed(words):
    """The check of commands fails for names that don't exist."""
    with pytest.raises((click.UsageError, UsageError, AssertionError)):
        check_adbench(words)


def lists() -> list[list[str]]:
    found = [
        words[1:] for block in blocks("commands") for words in commands_of(block) if words[:2] == ["adbench", "list"]
    ]
    return [words for words in found if words[1] != "runs"]


@pytest.mark.parametrize("words", lists(), ids=" ".join)
def test_lists_of_the_docs_run(words, desk, monkeypatch):
    """``adbench list`` of installed or plugin items runs as printed."""
    monkeypatch.chdir(desk)
    found = adbench(*words)
    assert found.exit_code == 0, found.output
    assert next(word for word in words[2:] if not word.startswith("-")) in found.stdout


def inline_commands() -> Iterator[tuple[str, str]]:
    """Commands between backquotes, with their pages; "list runs|methods" is two commands."""
    for page in PAGES:
        for code in inline_code(page):
            if code.startswith("adbench "):
                words = [word.split("|") for word in code.replace("\\|", "|").partition(" > ")[0].split()]
                for chosen in itertools.product(*words):
                    yield page.name, " ".join(chosen)


@pytest.mark.parametrize(("page", "code"), sorted(set(inline_commands())))
def test_commands_in_the_text_exist(page, code):
    """A command in a sentence or a table exists, and so do its options."""
    words = code.split()[1:]
    command, rest = find(app, [] if words[0] in ("COMMAND", "...") else words)
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    options = {word.partition("=")[0] for word in rest if word.startswith("-")}
    assert options <= known | {"--help", "-h"}
