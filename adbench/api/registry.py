"""Plugins: found through the entry-point group ``adbench`` or given as a file, and looked up by name."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import NoReturn, TypeVar

import pluggy

from ..util.errors import AdbenchError, PluginError, UnknownNameError, described
from . import hooks as hookspecs
from .data import Dataset
from .method import Method

GROUP = "adbench"

Named = TypeVar("Named", Method, Dataset)


@dataclass(frozen=True)
class Origin:
    """Where a method comes from: its plugin's module, and "NAME VERSION" of what was installed ("" for a file)."""

    module: str
    distribution: str = ""


@dataclass(frozen=True)
class Registry:
    """All methods and data sets by name; ``broken`` says in a line each which plugins were skipped."""

    methods: Mapping[str, Method]
    datasets: Mapping[str, Dataset]
    broken: tuple[str, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def method(self, name: str) -> Method:
        """Look a method up. Raises ``UnknownNameError`` with the nearest name."""
        if name not in self.methods:
            raise UnknownNameError("method", name, self.methods, hint="See adbench list methods, or add --plugin FILE")
        return self.methods[name]

    def package_of(self, method: str) -> str:
        """Name the distribution and version that a method came with, or the file of a loose plugin."""
        origin = self.origins.get(method)
        if origin is not None and origin.distribution:
            return origin.distribution
        module = sys.modules.get(getattr(self.method(method).build, "__module__", ""))
        return "unknown" if module is None else Path(module.__file__ or module.__name__).name

    def dataset(self, name: str) -> Dataset:
        """Look a data set up. Raises ``UnknownNameError`` with the nearest name."""
        if name not in self.datasets:
            raise UnknownNameError("dataset", name, self.datasets, hint="Use --dataset folder --data-root DIR")
        return self.datasets[name]


def load(plugin_files: Sequence[Path] = ()) -> Registry:
    """Load every installed plugin and the given files.

    An installed plugin that breaks is skipped and named in ``broken``; a file that was asked for must
    work.

    Raises:
        PluginError: a plugin file cannot be used, or two plugins offer the same name.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    broken: list[str] = []
    origins: dict[str, Origin] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        problem = _register(manager, _origin(point), point.load)
        if problem:
            broken.append(problem)
        else:
            distribution = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
            origins[_origin(point)] = Origin(point.module, distribution)
    for path in plugin_files:
        problem = _register(manager, str(path), lambda path=path: _import_file(path))  # type: ignore[misc]
        if problem:
            raise PluginError(problem)
        origins[str(path)] = Origin(_module_name(path))
    methods = _collect(manager, "adbench_methods", Method, broken)
    datasets = _collect(manager, "adbench_datasets", Dataset, broken)
    return Registry(
        methods={name: method for name, (_, method) in methods.items()},
        datasets={name: dataset for name, (_, dataset) in datasets.items()},
        broken=tuple(broken),
        origins={name: origins[plugin] for name, (plugin, _) in methods.items()},
    )


def _origin(point: EntryPoint) -> str:
    package = point.dist.name if point.dist else "unknown package"
    return f"{point.value} ({package})"


def _register(manager: pluggy.PluginManager, origin: str, load_module: Callable[[], object]) -> str | None:
    """Load one plugin and hand it to pluggy; say what is wrong with it, if anything is."""
    try:
        manager.register(load_module(), origin)
        manager.check_pending()  # a mistyped hook would stay silent otherwise
    except Exception as error:  # whatever a stranger's module does must not take the others down
        if manager.has_plugin(origin):
            manager.unregister(name=origin)
        return f"plugin {origin} is skipped: {_reason(error)}"
    return None


def _reason(error: Exception) -> str:
    if isinstance(error, pluggy.PluginValidationError):  # says at its end what is wrong
        return str(error).strip().splitlines()[-1].strip()
    return described(error)


class _SourceOnly(SourceFileLoader):
    """Compiles a file each time: cached bytecode stays in use where an edit keeps the length and the second."""

    def path_stats(self, path: object) -> NoReturn:
        """Say that nothing is known of the file, so that no bytecode is read or written."""
        raise OSError


def _module_name(path: Path) -> str:
    """The name under which a plugin file is loaded."""
    return f"adbench_plugin_{path.stem}"


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PluginError(f"--plugin {path}", found="no such file", wanted="a Python file with a hookimpl")
    name = _module_name(path)
    spec = importlib.util.spec_from_file_location(name, path, loader=_SourceOnly(name, str(path)))
    if spec is None or spec.loader is None:
        raise PluginError(f"--plugin {path}", found="not a Python file", wanted="a .py file with a hookimpl")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    if not any(hasattr(value, f"{GROUP}_impl") for value in vars(module).values()):
        hooks = " or ".join(hook for hook in vars(hookspecs) if hook.startswith("adbench_"))
        raise PluginError(f"--plugin {path}", found="no hookimpl", wanted=f"a function {hooks} marked @hookimpl")
    return module


def _collect(
    manager: pluggy.PluginManager, hook: str, kind: type[Named], broken: list[str]
) -> dict[str, tuple[str, Named]]:
    """Call one hook plugin by plugin, so that a broken one is known by its name; what each offers, with its plugin."""
    found: dict[str, tuple[str, Named]] = {}
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        origin = implementation.plugin_name
        try:
            offered = list(implementation.function())
            wrong = next((item for item in offered if not isinstance(item, kind)), None)
            if wrong is not None:
                raise TypeError(f"{hook} returned a {type(wrong).__name__}, wanted {kind.__name__}")
        except AdbenchError as error:
            broken.append(f"plugin {origin} is skipped: {error}")
            continue
        except Exception as error:
            broken.append(f"plugin {origin} is skipped: {described(error)}")
            continue
        for item in offered:
            if item.name in found:
                both = " and ".join(sorted((origin, found[item.name][0])))
                raise PluginError(
                    f"two plugins offer the {kind.__name__.lower()} '{item.name}': {both}",
                    hint="Rename one, or uninstall one",
                )
            found[item.name] = (origin, item)
    return dict(sorted(found.items()))
