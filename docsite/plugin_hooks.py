"""A page of all hooks that a plugin can implement, from their declarations."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

from adbench.api import hooks
from adbench.api.registry import KIND_TITLES, Registry

from .markdown import Page, block, code, plain

PATH = "hooks.md"


def pages(registry: Registry) -> list[Page]:
    """The one page."""
    text = (
        "# Hooks\n\nA plugin is a module with functions of these names, marked by `@hookimpl` of `adbench`. It is "
        "found by an entry point of the group `adbench`, or given as `--plugin FILE`. A hook that doesn't exist is an "
        "error, so that a mistyped name isn't ignored. The [plugin guide](plugin-guide.md) says how to write one.\n\n"
    )
    return [Page(PATH, text + "\n".join(_section(node, registry) for node in _functions()))]


def _functions() -> Iterator[ast.FunctionDef]:
    for node in ast.parse(inspect.getsource(hooks)).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("adbench_"):
            yield node


def _section(node: ast.FunctionDef, registry: Registry) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    text = f"## {node.name}\n\n{plain(ast.get_docstring(node) or '')}\n\n"
    text += block(f"@hookimpl\ndef {node.name}({ast.unparse(node.args)}){returns}: ...", "python")
    kind = node.name.removeprefix("adbench_").removesuffix("s")
    offered = [name for plugin in registry.plugins if plugin.is_own for name in plugin.names(kind)]
    if kind in KIND_TITLES and offered:
        text += f"\nadbench's own: {', '.join(map(code, sorted(name for name in offered if ':' not in name)))}.\n"
    return text
