"""The meanings of options: the texts below them in their classes."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise
from typing import Any

from ..util.source import syntax_tree
from .options import option_types


def option_meanings(kind: type[Any]) -> dict[str, str]:
    """Meaning of each option: the text below it in its class, or in the class that declared it first.

    An option without such a text has an empty one; so have all options of a class without available source.
    """
    found: dict[str, str] = {}
    for base in kind.__mro__:
        for name, text in _texts_below_fields(base).items():
            found.setdefault(name, text)
    return {key: found.get(key, "") for key in option_types(kind)}


def _texts_below_fields(kind: type) -> dict[str, str]:
    try:
        tree = syntax_tree(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError, SyntaxError):  # built-in, or made at run time
        return {}
    (node,) = tree.body
    found = {}
    for field, text in pairwise(node.body if isinstance(node, ast.ClassDef) else ()):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            value = text.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found[field.target.id] = " ".join(value.value.split())
    return found
