"""Imports plugins and calls their hooks, and says of each that can't be used what is wrong."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import NoReturn, TypeVar

import pluggy

from ..util.errors import PLUGIN_ERRORS, PluginError, absent, described, type_text
from . import hooks as hookspecs
from .backbone import BackboneEntry
from .backbone_table import is_built_in
from .data import Dataset
from .executor import LOCAL, ExecutorEntry
from .method import Method
from .tracker import TrackerEntry

GROUP = "adbench"

KINDS: Mapping[type, str] = {
    Method: "method", Dataset: "dataset", BackboneEntry: "backbone", TrackerEntry: "tracker", ExecutorEntry: "executor"
}  # fmt: skip
"""What hooks return, and what people call it."""

Named = TypeVar("Named", Method, Dataset, BackboneEntry, TrackerEntry, ExecutorEntry)


class UnusableError(Exception):
    """A plugin that can't be used; the text gives the reason."""


def register(manager: pluggy.PluginManager, plugin: str, load_module: Callable[[], object]) -> None:
    """Load one plugin and register it with pluggy.

    Raises:
        UnusableError: it breaks, or has a hook that does not exist.
    """
    try:
        manager.register(load_module(), plugin)
        _require_known_hooks(manager, plugin)
    except PLUGIN_ERRORS as error:
        if manager.has_plugin(plugin):
            manager.unregister(name=plugin)
        raise _unusable(error) from error


def _require_known_hooks(manager: pluggy.PluginManager, plugin: str) -> None:
    """Refuse a mistyped hook, which would be ignored in silence otherwise."""
    known = [name for name in vars(hookspecs) if name.startswith(f"{GROUP}_")]
    for caller in manager.get_hookcallers(manager.get_plugin(plugin)) or ():
        if not caller.has_spec():
            near = get_close_matches(caller.name, known, n=1, cutoff=0.8)
            wanted = f"did you mean {near[0]}?" if near else f"wanted one of {', '.join(known)}"
            raise UnusableError(f"a hook '{caller.name}' that does not exist: {wanted}")


def _unusable(error: BaseException) -> UnusableError:
    if isinstance(error, UnusableError):
        return error
    if isinstance(error, pluggy.PluginValidationError):  # arguments that the hook does not have
        return UnusableError(str(error).strip().splitlines()[-1].strip())
    return UnusableError(described(error))


class _SourceOnly(SourceFileLoader):
    """Compiles a file each time: a bytecode cache misses an edit that keeps the length and the second."""

    def path_stats(self, path: object) -> NoReturn:
        """Refuse to describe the file, so that no bytecode is read or written."""
        raise OSError


def module_name(path: Path) -> str:
    """Module name of a plugin file; files with the same stem get different ones."""
    name = f"adbench_plugin_{path.stem}"
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded is None or Path(loaded).resolve() == path.resolve():
        return name
    return f"{name}_{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:8]}"


def import_file(path: Path) -> ModuleType:
    """Import a plugin file as it is now. Raises ``UnusableError`` for a missing one or one without hooks."""
    if not path.is_file():
        raise UnusableError(absent(path, "file"))
    name = module_name(path)
    spec = importlib.util.spec_from_file_location(name, path, loader=_SourceOnly(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module there
    spec.loader.exec_module(module)
    if not any(hasattr(value, f"{GROUP}_impl") for value in vars(module).values()):
        hooks = " or ".join(hook for hook in vars(hookspecs) if hook.startswith("adbench_"))
        raise UnusableError(f"no hookimpl, wanted a function {hooks} marked @hookimpl")
    return module


def collect(
    manager: pluggy.PluginManager, hook: str, kind: type[Named], reject: Callable[[str, UnusableError], None]
) -> dict[str, tuple[str, Named]]:
    """Call one hook plugin by plugin, so that the broken one is known; return its items by name, with their plugins."""
    found: dict[str, tuple[str, Named]] = {}
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        plugin = implementation.plugin_name
        try:
            offered = _offered(implementation.function, hook, kind)
        except UnusableError as error:
            reject(plugin, error)
            continue
        for item in offered:
            if item.name in found:
                both = " and ".join(sorted((plugin, found[item.name][0])))
                raise PluginError(
                    f"two plugins offer the {KINDS[kind]} '{item.name}': {both}",
                    hint="Rename one, or uninstall one",
                )
            found[item.name] = (plugin, item)
    return dict(sorted(found.items()))


def _offered(function: Callable[[], object], hook: str, kind: type[Named]) -> list[Named]:
    """Return a hook's list. Raises ``UnusableError`` if it returns anything else."""
    wanted = f"wanted a list of {kind.__name__}"
    try:
        returned = function()
        if isinstance(returned, kind):
            raise UnusableError(f"{hook} returned a {kind.__name__} alone, {wanted}: put it in brackets")
        if isinstance(returned, (str, bytes)) or not isinstance(returned, Iterable):
            raise UnusableError(f"{hook} returned {type_text(returned)}, {wanted}")
        offered = list(returned)
    except PLUGIN_ERRORS as error:
        raise _unusable(error) from error
    for item in offered:
        if not isinstance(item, kind):
            raise UnusableError(f"{hook} returned a list with {type_text(item)}, {wanted}")
        if not isinstance(item.name, str) or not item.name:
            raise UnusableError(f"{hook} returned a {kind.__name__} with the name {item.name!r}, wanted a text")
        if (kind is BackboneEntry and is_built_in(item.name)) or (kind is ExecutorEntry and item.name == LOCAL):
            raise UnusableError(f"{hook} returned the {KINDS[kind]} {item.name}, which adbench has itself: rename it")
    return offered


def path_of(module: str) -> Path | None:
    """The file of a module, which may be broken; None if it can't be found."""
    found = getattr(sys.modules.get(module), "__file__", None)
    if found is None:
        with contextlib.suppress(*PLUGIN_ERRORS):  # the package above it is imported for that
            spec = importlib.util.find_spec(module)
            found = spec.origin if spec is not None and spec.has_location else None
    return None if found is None else Path(found).resolve()
