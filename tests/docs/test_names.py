"""Names in README and docs exist: classes with their fields, hooks, functions, arguments, checks, headings."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_blocks import GUIDE, PAGES, blocks, inline_code

import adbench
from adbench import BuildContext, Detector, api, backbones, checks
from adbench.api import Executor, ExecutorTask, Tracker, hooks, maps
from adbench.api.images import Batch, Images
from adbench.cli import defaults
from adbench.run.check_method import _CHECKS

NEEDED = {
    *("Method", "BuildContext", "Options", "BackboneOptions", "Preset", "Detector", "Epoch", "Step", "Scores"),
    *("Requirements", "Package", "Auxiliary", "Dataset", "Task", "Sample", "BackboneEntry", "Network"),
    *("RegionRules", "Saturation", "Facts", "Archive", "Counts", "Submission"),
    *("TrackerEntry", "Tracker", "TrackerRun", "TrackedRun", "TrackedEpoch", "TrackedResult", "TrackedClass"),
    *("FrontierPoint", "TrackedImage", "TrackedFailure"),
    *("ExecutorEntry", "ExecutorRequest", "Executor", "ExecutorTask", "ExecutorEnd"),
}
"""Classes whose fields the guide must show."""

WITH_METHODS = (Detector, Tracker, Executor, ExecutorTask)
"""Classes that a plugin extends, whose methods the guide must show, too."""


# ---------------------------------------------------------------- declarations


def functions(body: list[ast.stmt]) -> dict[str, str]:
    """Declarations of the functions of a module or class, without their bodies: name -> "def ..."."""
    found = {}
    for node in body:
        if isinstance(node, ast.FunctionDef):
            returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            found[node.name] = f"def {node.name}({ast.unparse(node.args)}){returns}"
    return found


def tree_of(module: str) -> ast.Module:
    return ast.parse(Path(sys.modules[module].__file__).read_text(encoding="utf-8"))


def declared(kind: type) -> list[str]:
    """Declarations of the fields of a class, "size: Size = (256, 256)", and for ``WITH_METHODS`` of its methods."""
    (body,) = (node.body for node in tree_of(kind.__module__).body if getattr(node, "name", "") == kind.__name__)
    methods = functions(body) if kind in WITH_METHODS else {}
    public = [line for name, line in methods.items() if name == "__init__" or name[0] != "_"]
    old = "def passes(self) -> MicroBatches"
    return [*(ast.unparse(node) for node in body if isinstance(node, ast.AnnAssign)), *(set(public) - {old})]


def shown() -> dict[str, list[str]]:
    """The classes in the guide's blocks of declarations, with their lines."""
    text = "\n".join(block.text for block in blocks("declarations"))
    found = re.findall(r"^class (\w+)(?:\(\w+\))?:\n((?:    .*\n)+)", text, flags=re.MULTILINE)
    return {name: [line.strip() for line in lines.splitlines()] for name, lines in found}


def normal(line: str) -> str:
    """The line with either kind of quotes."""
    return line if line.startswith("def ") else ast.unparse(ast.parse(line))


def test_the_guide_shows_the_contract():
    """All classes that a plugin uses are declared in the guide, and no others."""
    assert set(shown()) == NEEDED


@pytest.mark.parametrize("name", sorted(shown()))
def test_declarations_are_those_of_the_code(name):
    """Names, types and defaults of a class are those of the code, and of one that plugins extend the methods, too."""
    kind = getattr(adbench, name, None) or getattr(api, name)
    assert sorted(map(normal, shown()[name])) == sorted(declared(kind))


def test_the_guide_shows_every_hook():
    """Each hook is shown with its exact signature, and no other hook."""
    lines = [line for block in blocks("declarations") for line in block.text.splitlines() if line.startswith("def ")]
    assert sorted(lines) == sorted(functions(tree_of(hooks.__name__).body).values())
    assert len(lines) == len([name for name in vars(hooks) if name.startswith("adbench_")])


# ---------------------------------------------------------------- names in the text


def dotted_names() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for code in inline_code(page):
            for name in re.findall(r"\badbench(?:\.[A-Za-z_]\w*)+", code):
                if name != defaults.FILE:
                    yield page.name, name


@pytest.mark.parametrize(("page", "name"), sorted(set(dotted_names())))
def test_names_in_the_text_exist(page, name):
    """``adbench.part.name`` in a sentence can be imported."""
    found, parts = adbench, name.split(".")[1:]
    for part in parts:
        if not hasattr(found, part):
            importlib.import_module(f"{found.__name__}.{part}")
        found = getattr(found, part)


def used_names() -> Iterator[tuple[str, str]]:
    for code in inline_code(GUIDE):
        yield from re.findall(r"\b(images|batch|maps|backbones|checks|self|context)\.([a-z_]\w*)", code)


OWNERS = {
    "images": Images, "batch": Batch, "maps": maps, "checks": checks, "context": BuildContext,
    "backbones": backbones,
}  # fmt: skip
MADE_IN_INIT = {"size", "micro_batches", "context", "options", "device"}


@pytest.mark.parametrize(("owner", "name"), sorted(set(used_names())))
def test_attributes_in_the_guide_exist(owner, name):
    """``images.split`` and the like in the guide's sentences are attributes of the named object."""
    kind = OWNERS.get(owner, Detector)
    declared = getattr(kind, "__annotations__", {})
    assert hasattr(kind, name) or name in declared or name in MADE_IN_INIT


def test_arguments_in_the_guide_exist():
    """The calls in the guide's tables are valid: their arguments are those of the functions."""
    calls = [code for code in inline_code(GUIDE) if re.fullmatch(r"(images|maps|backbones)\.\w+\(.*\)", code)]
    assert len(calls) >= 8
    for code in calls:
        call = ast.parse(code, mode="eval").body
        function = getattr(OWNERS[call.func.value.id], call.func.attr)
        own = [None] if call.func.value.id == "images" else []
        inspect.signature(function).bind(*own, *call.args, **{each.arg: each.value for each in call.keywords})


# ---------------------------------------------------------------- rules


def test_the_guide_lists_every_check():
    """The table of rules has a row for each check of check-method, in its order."""
    text = GUIDE.read_text(encoding="utf-8")
    section = text.partition("## Rules, and how they are tested")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE) == list(_CHECKS)


def test_anchors_lead_somewhere():
    """A link to a heading, on the same page or another, leads to it."""
    anchors = {}
    for page in PAGES:
        heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        anchors[page.name] = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
            name = Path(target).name or page.name
            if "://" not in target and name in anchors:
                assert anchor in anchors[name], f"{page.name}: {target}#{anchor}"
