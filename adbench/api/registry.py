"""Plugins: found in the entry-point group ``adbench`` or in a given file, and looked up by name."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TypeVar

import pluggy

from ..util import source
from ..util.errors import PLUGIN_ERRORS, PluginError, UnknownNameError, absent, described, type_text
from . import hooks as hookspecs
from .backbone import BackboneEntry
from .backbone_table import is_built_in
from .context import BuildContext
from .data import Dataset
from .data_options import with_options
from .executor import LOCAL, ExecutorEntry
from .method import Method
from .options import Options
from .tracker import TrackerEntry

GROUP = "adbench"

OWN_PLUGINS, OWN_DATASETS = "adbench_plugins", "adbench_datasets"
"""The packages of adbench's own methods and data sets."""

KINDS: Mapping[type, str] = {
    Method: "method", Dataset: "dataset", BackboneEntry: "backbone", TrackerEntry: "tracker", ExecutorEntry: "executor"
}  # fmt: skip
"""What hooks return, and what people call it."""

KIND_TITLES = {kind: "data set" if kind == "dataset" else kind for kind in KINDS.values()}
"""Kinds of things that a plugin offers, as sentences name them."""

Named = TypeVar("Named", Method, Dataset, BackboneEntry, TrackerEntry, ExecutorEntry)


@dataclass(frozen=True)
class Origin:
    """Origin of a method or backbone: its plugin's module, and "NAME VERSION" of its distribution ("" for a file)."""

    module: str
    distribution: str = ""

    @property
    def label(self) -> str:
        """What counts in a digest of its code besides the source: for an installed plugin its distribution and version.

        For adbench's own plugins these don't count: the version changes with every release, whether or not a number
        moves.
        """
        return "" if self.module.partition(".")[0] == OWN_PLUGINS else self.distribution

    def sources(self, *things: object) -> list[source.Module]:
        """Its module, and for an installed plugin also those that define some of its functions and classes."""
        names = [self.module]
        if self.distribution:  # a plugin file must give the same without being loaded
            names += defining_modules(*things)
        return [module for name in dict.fromkeys(names) if (module := source.module_of(name)) is not None]


def defining_modules(*things: object) -> list[str]:
    """Names of the modules that define functions or classes."""
    found = []
    for thing in things:
        while isinstance(thing, partial):
            thing = thing.func
        name = getattr(thing, "__module__", None)
        if isinstance(name, str):
            found.append(name)
    return found


@dataclass(frozen=True)
class Plugin:
    """An installed plugin, or a given file: what it offers, or why it can't be used.

    ``name`` is that of its entry point, or the path of a file as it was given. ``file`` is where its module lies, None
    if that can't be found. ``offers`` has pairs such as ("method", "padim"). With a ``problem`` it offers nothing, or
    only what its other hooks return.
    """

    name: str
    origin: Origin
    file: Path | None
    offers: tuple[tuple[str, str], ...] = ()
    problem: str = ""

    @property
    def offers_text(self) -> str:
        """What it offers, for people: "method padim, data set demo", or "nothing"."""
        return ", ".join(f"{KIND_TITLES[kind]} {name}" for kind, name in self.offers) or "nothing"

    @property
    def is_own(self) -> bool:
        """Whether it is a part of adbench."""
        return self.origin.module.partition(".")[0] in (OWN_PLUGINS, OWN_DATASETS)

    def names(self, kind: str) -> list[str]:
        """The names of the methods or others ("method", "dataset", "tracker", ...) that it offers."""
        return [name for each, name in self.offers if each == kind]

    def is_called(self, name: str) -> bool:
        """Whether a text is its name, that of its distribution, or that of something it offers."""
        return name in (self.name, self.origin.distribution.partition(" ")[0], *(offered for _, offered in self.offers))


@dataclass(frozen=True)
class Registry:
    """Methods, data sets, trackers, executors and plugins' backbones by name; ``broken`` names each skipped plugin."""

    methods: Mapping[str, Method]
    datasets: Mapping[str, Dataset]
    broken: tuple[str, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)
    backbones: Mapping[str, BackboneEntry] = field(default_factory=dict)
    backbone_origins: Mapping[str, Origin] = field(default_factory=dict)
    plugins: tuple[Plugin, ...] = ()
    trackers: Mapping[str, TrackerEntry] = field(default_factory=dict)
    executors: Mapping[str, ExecutorEntry] = field(default_factory=dict)

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
        return _file_of(getattr(self.method(method).build, "__module__", ""))

    def origin_of_backbone(self, name: str) -> str:
        """Distribution and version of a plugin's backbone, or the file of a loose plugin."""
        origin = self.backbone_origins[name]
        return origin.distribution or _file_of(origin.module)

    def backbones_in(self, options: Mapping[str, Any]) -> dict[str, BackboneEntry]:
        """The plugins' backbones that options name; a method gets no others, since their code moves its numbers."""
        named = texts_in(options)
        return {name: entry for name, entry in self.backbones.items() if name in named}

    def offering(self, context: BuildContext, options: Options) -> BuildContext:
        """The context in which a method of these options is built, with the backbones that they name."""
        return replace(context, backbones=self.backbones_in(vars(options)))

    def dataset(self, name: str) -> Dataset:
        """Find a data set. Raises ``UnknownNameError`` with the nearest name."""
        if name not in self.datasets:
            raise UnknownNameError("dataset", name, self.datasets, hint="Use --dataset folder --data-root DIR")
        return self.datasets[name]

    def reader(self, dataset: str, options: Mapping[str, Any]) -> Dataset:
        """Find a data set, read with these options. Raises the errors of ``dataset`` and of ``with_options``."""
        return with_options(self.dataset(dataset), options)

    def tracker(self, name: str) -> TrackerEntry:
        """Find a tracker. Raises ``UnknownNameError`` with the nearest name."""
        if name not in self.trackers:
            raise UnknownNameError("tracker", name, self.trackers, hint="Add --plugin FILE for another one")
        return self.trackers[name]

    def executor(self, name: str) -> ExecutorEntry:
        """Find an executor other than ``LOCAL``. Raises ``UnknownNameError`` with the nearest name."""
        if name not in self.executors:
            hint = "Add --plugin FILE for another one"
            raise UnknownNameError("executor", name, [LOCAL, *self.executors], hint=hint)
        return self.executors[name]


def texts_in(options: Mapping[str, Any]) -> set[str]:
    """All texts among the values of options."""
    values = [value if isinstance(value, (tuple, list)) else (value,) for value in options.values()]
    return {text for each in values for text in each if isinstance(text, str)}


def _file_of(module: str) -> str:
    """Name of a loaded module's file."""
    found = sys.modules.get(module)
    return "unknown" if found is None else Path(getattr(found, "__file__", None) or found.__name__).name


def load(plugin_files: Sequence[Path] = ()) -> Registry:
    """Load every installed plugin and the given files.

    An installed plugin that breaks is skipped and named in ``broken``; a given file must work. A given file that is an
    installed plugin's own, as after ``pip install -e .``, counts once.

    Raises:
        PluginError: a plugin file cannot be used, or two plugins offer the same name.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    problems: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    origins: dict[str, Origin] = {}
    files: dict[str, Path] = {}

    def reject(plugin: str, error: _UnusableError) -> None:
        if plugin in files:
            raise PluginError(plugin, found=str(error), hint="Correct the file, or leave it out") from error
        problems.setdefault(plugin, []).append(str(error))

    packages: dict[int, tuple[str, str]] = {}  # each reading parses the whole metadata, and one has many plugins
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if point.dist and id(point.dist) not in packages:
            packages[id(point.dist)] = point.dist.name, point.dist.version
        package, version = packages.get(id(point.dist), ("unknown package", ""))
        plugin = f"{point.value} ({package})"
        names[plugin], origins[plugin] = (
            point.name,
            Origin(point.module, f"{package} {version}" if version else "unknown"),
        )
        try:
            _register(manager, plugin, point.load)
        except _UnusableError as error:
            reject(plugin, error)
    installed = {_path_of(origin.module) for plugin, origin in origins.items() if plugin not in problems}
    given = {path.resolve(): path for path in reversed(plugin_files)}
    files |= {f"--plugin {path}": path for place, path in reversed(given.items()) if place not in installed}
    for plugin, path in files.items():
        names[plugin] = str(path)
        try:
            origins[plugin] = Origin(_module_name(path))
            _register(manager, plugin, partial(_import_file, path))
        except _UnusableError as error:
            reject(plugin, error)
    methods = _collect(manager, "adbench_methods", Method, reject)
    datasets = _collect(manager, "adbench_datasets", Dataset, reject)
    backbones = _collect(manager, "adbench_backbones", BackboneEntry, reject)
    trackers = _collect(manager, "adbench_trackers", TrackerEntry, reject)
    executors = _collect(manager, "adbench_executors", ExecutorEntry, reject)
    of_kind: Sequence[Mapping[str, tuple[str, object]]] = (methods, datasets, backbones, trackers, executors)
    kinds = zip(KINDS.values(), of_kind, strict=True)
    offers = [(plugin, kind, name) for kind, items in kinds for name, (plugin, _) in items.items()]
    return Registry(
        methods={name: method for name, (_, method) in methods.items()},
        datasets={name: dataset for name, (_, dataset) in datasets.items()},
        broken=tuple(f"plugin {plugin} is skipped: {each}" for plugin, found in problems.items() for each in found),
        origins={name: origins[plugin] for name, (plugin, _) in methods.items()},
        backbones={name: _with_code(entry, origins[plugin]) for name, (plugin, entry) in backbones.items()},
        backbone_origins={name: origins[plugin] for name, (plugin, _) in backbones.items()},
        plugins=tuple(
            Plugin(
                name,
                origins[plugin],
                _path_of(origins[plugin].module),
                tuple((kind, offered) for owner, kind, offered in offers if owner == plugin),
                "; ".join(problems.get(plugin, ())),
            )
            for plugin, name in names.items()
        ),
        trackers={name: entry for name, (_, entry) in trackers.items()},
        executors={name: entry for name, (_, entry) in executors.items()},
    )


def _path_of(module: str) -> Path | None:
    """The file of a module, which may be broken; None if it can't be found."""
    found = getattr(sys.modules.get(module), "__file__", None)
    if found is None:
        with contextlib.suppress(*PLUGIN_ERRORS):  # the package above it is imported for that
            spec = importlib.util.find_spec(module)
            found = spec.origin if spec is not None and spec.has_location else None
    return None if found is None else Path(found).resolve()


def _with_code(entry: BackboneEntry, origin: Origin) -> BackboneEntry:
    """The entry with a digest of its code as it was imported."""
    return replace(entry, code=source.Sources().digest(origin.sources(entry.build), label=origin.label))


class _UnusableError(Exception):
    """A plugin that can't be used; the text gives the reason."""


def _register(manager: pluggy.PluginManager, plugin: str, load_module: Callable[[], object]) -> None:
    """Load one plugin and register it with pluggy.

    Raises:
        _UnusableError: it breaks, or has a hook that does not exist.
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
            raise _UnusableError(f"a hook '{caller.name}' that does not exist: {wanted}")


def _unusable(error: BaseException) -> _UnusableError:
    if isinstance(error, _UnusableError):
        return error
    if isinstance(error, pluggy.PluginValidationError):  # arguments that the hook does not have
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
        raise _UnusableError(absent(path, "file"))
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
                    f"two plugins offer the {KINDS[kind]} '{item.name}': {both}",
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
            raise _UnusableError(f"{hook} returned {type_text(returned)}, {wanted}")
        offered = list(returned)
    except PLUGIN_ERRORS as error:
        raise _unusable(error) from error
    for item in offered:
        if not isinstance(item, kind):
            raise _UnusableError(f"{hook} returned a list with {type_text(item)}, {wanted}")
        if not isinstance(item.name, str) or not item.name:
            raise _UnusableError(f"{hook} returned a {kind.__name__} with the name {item.name!r}, wanted a text")
        if (kind is BackboneEntry and is_built_in(item.name)) or (kind is ExecutorEntry and item.name == LOCAL):
            raise _UnusableError(f"{hook} returned the {KINDS[kind]} {item.name}, which adbench has itself: rename it")
    return offered
