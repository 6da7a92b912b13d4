"""Docstrings and the code below them: what ``Args`` and ``Attributes`` list is there, in that order."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ENTRY = re.compile(r"\*{0,2}(\w+(?:, \w+)*):")


def listed(node: ast.FunctionDef | ast.ClassDef, section: str) -> list[str] | None:
    """The names in a section of a docstring; None where it has no such section."""
    lines = iter((ast.get_docstring(node) or "").splitlines())
    if not any(line == f"{section}:" for line in lines):
        return None
    names: list[str] = []
    for line in lines:
        if not line.startswith("    "):
            break
        if not line.startswith("     "):  # deeper lines go on with an entry
            found = ENTRY.match(line.strip())
            names += found[1].split(", ") if found else [line.strip()]
    return names


def parameters(function: ast.FunctionDef) -> list[str]:
    """The names of a function's parameters, without ``self``."""
    every = function.args
    found = [*every.posonlyargs, *every.args, *filter(None, [every.vararg]), *every.kwonlyargs]
    return [each.arg for each in found if each.arg not in ("self", "cls")]


def is_dataclass(node: ast.ClassDef) -> bool:
    """Whether a class is a dataclass."""
    return any("dataclass" in ast.unparse(each) for each in node.decorator_list)


def faults(tree: ast.Module) -> Iterator[str]:
    """The functions and classes whose docstring lists something else than there is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (named := listed(node, "Args")) is not None:
            if named != parameters(node):
                yield f"{node.name}: {named}, not {parameters(node)}"
        elif isinstance(node, ast.ClassDef):
            made = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
            if made and (named := listed(node, "Args")) is not None and named != parameters(made[0]):
                yield f"{node.name}: {named}, not {parameters(made[0])}"
            fields = [
                each.target.id
                for each in node.body
                if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
            ]
            named = listed(node, "Attributes") or []
            if is_dataclass(node) and named != [field for field in fields if field in named]:
                yield f"{node.name}: {named}, not {fields}"


@pytest.mark.parametrize("folder", ["adbench", "plugins", "datasets", "benchmarks"])
def test_lists_in_docstrings_are_those_of_the_code(folder: str) -> None:
    """``Args`` has all parameters, and ``Attributes`` of a dataclass only fields, both in the order of the code."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    found = [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in paths
        for fault in faults(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert paths
    assert found == []


def test_a_stale_list_is_found() -> None:
    """A parameter that is gone, one that is missing and another order are each a fault."""
    source = 'def f(a, *, b):\n    """Do.\n\n    Args:\n        {}: one.\n        {}: two.\n    """'
    assert [len(list(faults(ast.parse(source.format(*pair))))) for pair in ("ab", "ba", "ac")] == [0, 1, 1]
