"""Plugins: found in the entry-point group ``adbench`` or in a given file, and looked up by name."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import NoReturn, TypeVar

import pluggy

from ..util.errors import PLUGIN_ERRORS, PluginError, UnknownNameError, described
from . import hooks as hookspecs
from .data import Dataset
from .method import Method

GROUP = "adbench"

Named = TypeVar("Named", Method, Dataset)


@dataclass(frozen=True)
class Origin:
    """Origin of a method: its plugin's module, and "NAME VERSION" of its distribution ("" for a file)."""

    module: str
    distribution: str = ""


@dataclass(frozen=True)
class Registry:
    """All methods and data sets by name; ``broken`` has a line for each skipped plugin."""

    methods: Mapping[str, Method]
    datasets: Mapping[str, Dataset]
    broken: tuple[str, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def method(self, name: str) -> Method:
        """Find a method. Raises ``UnknownNameError`` with the nearest name."""
        if name not in self.methods:
            raise UnknownNameError("method", name, self.methods, hint="See adbench list methods, or add --plugin FILE")
        return self.methods[name]

    def package_of(self, method: str) -> str:
        """Distribution and version of a method, or the file of a loose plugin."""
        origin = self.origins.get(method)
        if origin is not None and origin.distribution:
            return origin.distribution
        module = sys.modules.get(getattr(self.method(method).build, "__module__", ""))
        return "unknown" if module is None else Path(module.__file__ or module.__name__).name

    def dataset(self, name: str) -> Dataset:
        """Find a data set. Raises ``UnknownNameError`` with the nearest name."""
        if name not in self.datasets:
            raise UnknownNameError("dataset", name, self.datasets, hint="Use --dataset folder --data-root DIR")
        return self.datasets[name]


def load(plugin_files: Sequence[Path] = ()) -> Registry:
    """Load every installed plugin and the given files.

    An installed plugin that breaks is skipped and named in ``broken``; a given file must work.

    Raises:
        PluginError: a plugin file cannot be used, or two plugins offer the same name.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    broken: list[str] = []
    origins: dict[str, Origin] = {}
    given = {path.resolve(): path for path in reversed(plugin_files)}
    files = {f"--plugin {path}": path for path in reversed(given.values())}

    def reject(plugin: str, error: _UnusableError) -> None:
        if plugin in files:
            raise PluginError(plugin, found=str(error), hint="Correct the file, or leave it out") from error
        broken.append(f"plugin {plugin} is skipped: {error}")

    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            _register(manager, _origin(point), point.load)
        except _UnusableError as error:
            reject(_origin(point), error)
        else:
            distribution = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
            origins[_origin(point)] = Origin(point.module, distribution)
    for plugin, path in files.items():
        try:
            origins[plugin] = Origin(_module_name(path))
            _register(manager, plugin, lambda path=path: _import_file(path))  # type: ignore[misc]
        except _UnusableError as error:
            reject(plugin, error)
    methods = _collect(manager, "adbench_methods", Method, reject)
    datasets = _collect(manager, "adbench_datasets", Dataset, reject)
    return Registry(
        methods={name: method for name, (_, method) in methods.items()},
        datasets={name: dataset for name, (_, dataset) in datasets.items()},
        broken=tuple(broken),
        origins={name: origins[plugin] for name, (plugin, _) in methods.items()},
    )


class _UnusableError(Exception):
    """A plugin that can't be used; the text gives the reason."""


def _origin(point: EntryPoint) -> str:
    package = point.dist.name if point.dist else "unknown package"
    return f"{point.value} ({package})"


def _register(manager: pluggy.PluginManager, plugin: str, load_module: Callable[[], object]) -> None:
    """Load one plugin and register it with pluggy.

    Raises:
        _UnusableError: it breaks, or has a hook that does not exist.
    """
    try:
        manager.register(load_module(), plugin)
        manager.check_pending()  # a mistyped hook would stay silent otherwise
    except PLUGIN_ERRORS as error:  # a mistyped hook would be ignored silently otherwise
        if manager.has_plugin(plugin):
            manager.unregister(name=plugin)
        raise _unusable(error) from error


def _unusable(error: BaseException) -> _UnusableError:
    if isinstance(error, _UnusableError):
        return error
    if isinstance(error, pluggy.PluginValidationError):  # its last line has the reason
        return _UnusableError(str(error).strip().splitlines()[-1].strip())
    return _UnusableError(described(error))


class _SourceOnly(SourceFileLoader):
    """Compiles a file each time: a bytecode cache misses an edit that keeps the length and the second."""

    def path_stats(self, path: object) -> NoReturn:
        """Refuse to describe the file, so that no bytecode is read or written."""
        raise OSError


def _module_name(path: Path) -> str:
    """Module name of a plugin file; files with the same stem get different ones."""
    name = f"adbench_plugin_{path.stem}"
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded is None or Path(loaded).resolve() == path.resolve():
        return name
    return f"{name}_{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:8]}"


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise _UnusableError("no such file")
    name = _module_name(path)
    spec = importlib.util.spec_from_file_location(name, path, loader=_SourceOnly(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module there
    spec.loader.exec_module(module)
    if not any(hasattr(value, f"{GROUP}_impl") for value in vars(module).values()):
        hooks = " or ".join(hook for hook in vars(hookspecs) if hook.startswith("adbench_"))
        raise _UnusableError(f"no hookimpl, wanted a function {hooks} marked @hookimpl")
    return module


def _collect(
    manager: pluggy.PluginManager, hook: str, kind: type[Named], reject: Callable[[str, _UnusableError], None]
) -> dict[str, tuple[str, Named]]:
    """Call one hook plugin by plugin, so that the broken one is known; return its items by name, with their plugins."""
    found: dict[str, tuple[str, Named]] = {}
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        plugin = implementation.plugin_name
        try:
            offered = _offered(implementation.function, hook, kind)
        except _UnusableError as error:
            reject(plugin, error)
            continue
        for item in offered:
            if item.name in found:
                both = " and ".join(sorted((plugin, found[item.name][0])))
                raise PluginError(
                    f"two plugins offer the {kind.__name__.lower()} '{item.name}': {both}",
                    hint="Rename one, or uninstall one",
                )
            found[item.name] = (plugin, item)
    return dict(sorted(found.items()))


def _offered(function: Callable[[], object], hook: str, kind: type[Named]) -> list[Named]:
    """Return a hook's list. Raises ``_UnusableError`` if it returns anything else."""
    wanted = f"wanted a list of {kind.__name__}"
    try:
        returned = function()
        if isinstance(returned, kind):
            raise _UnusableError(f"{hook} returned a {kind.__name__} alone, {wanted}: put it in brackets")
        if isinstance(returned, (str, bytes)) or not isinstance(returned, Iterable):
            raise _UnusableError(f"{hook} returned a {type(returned).__name__}, {wanted}")
        offered = list(returned)
    except PLUGIN_ERRORS as error:
        raise _unusable(error) from error
    for item in offered:
        if not isinstance(item, kind):
            raise _UnusableError(f"{hook} returned a list with a {type(item).__name__}, {wanted}")
        if not isinstance(item.name, str) or not item.name:
            raise _UnusableError(f"{hook} returned a {kind.__name__} with the name {item.name!r}, wanted a text")
    return offered
