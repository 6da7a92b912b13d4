"""Finds names in source code that the installed NumPy doesn't have, such as ``np.float``.

NumPy removed some names in 1.24 and more in 2.0. Code that uses one imports well and fails only where it runs, which
may be hours into a run. Nothing of the code is run here: names are read from the syntax tree.
"""

from __future__ import annotations

import ast
import builtins
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...util.source import syntax_tree

PACKAGE = "numpy"


SPELLED = {"Inf": "inf", "Infinity": "inf", "infty": "inf", "NaN": "nan", "float_": "float64", "complex_": "complex128"}
"""How NumPy 2 spells some of the names that went."""


@dataclass(frozen=True)
class Gone:
    """A name that NumPy doesn't have, and where it is used."""

    name: str
    file: Path
    line: int

    @property
    def place(self) -> str:
        """Folder, file and line, for messages."""
        return f"{self.file.parent.name}/{self.file.name}, line {self.line}"

    @property
    def instead(self) -> str:
        """What to write in its place, where that is plain; else empty."""
        if hasattr(builtins, self.name):
            return f"write {self.name} instead of np.{self.name}"
        known = SPELLED.get(self.name)
        return f"write np.{known} instead of np.{self.name}" if known else ""


def gone_in(file: Path, numpy: Any) -> list[Gone]:
    """The names in a file that ``numpy`` doesn't have; none if the file can't be read or parsed.

    Args:
        file: a Python file.
        numpy: the imported package.
    """
    try:
        source = file.read_bytes()
        tree = syntax_tree(source) if PACKAGE.encode() in source else ast.Module([], [])
    except (OSError, SyntaxError, ValueError):
        return []
    used = sorted(_used(tree, _aliases(tree)), key=lambda each: (each[1], each[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that will go
        return [Gone(name, file, line) for name, line in used if not _has(numpy, name)]


def _has(numpy: Any, name: str) -> bool:
    try:
        return hasattr(numpy, name)
    except Exception:  # a lazily imported part that is broken is there
        return True


def _aliases(tree: ast.AST) -> set[str]:
    """The names under which a file has the package: "np" after ``import numpy as np``."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname or PACKAGE for alias in node.names if alias.name == PACKAGE}
            found |= {PACKAGE for alias in node.names if alias.name.startswith(f"{PACKAGE}.") and not alias.asname}
    return found


def _used(tree: ast.AST, aliases: set[str]) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            yield node.attr, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE and not node.level:
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name != "*")
