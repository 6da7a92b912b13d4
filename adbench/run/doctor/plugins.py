"""Check of the plugins: where each comes from, whether it loads, and whether the installed NumPy has what it uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ...api import registry
from ...api.registry import Plugin
from ...util import source
from ...util.errors import PluginError
from ...util.text import plural
from .finding import Asked, Finding
from .numpy_names import Gone, gone_in


def loaded(asked: Asked) -> Asked:
    """The same question with all plugins that load, and the error of each given file that doesn't."""
    refused: list[PluginError] = []
    files = list(asked.plugin_files)
    while True:
        try:
            return replace(asked, registry=registry.load(files), refused=tuple(refused))
        except PluginError as error:
            refused.append(error)
            bad = [file for file in files if f"--plugin {file}" == error.parts["thing"]]
            if not bad:  # two plugins offer the same name
                return replace(asked, refused=tuple(refused))
            files.remove(bad[0])


def check(asked: Asked) -> Iterator[Finding]:
    """A line for each distribution with plugins, and one for each plugin that is broken."""
    for error in asked.refused:
        found = ": found ".join(filter(None, (error.parts["thing"], error.parts["found"])))
        yield Finding("plugins", "red", found, error.parts["hint"])
    for plugin in asked.registry.plugins:
        if plugin.problem:
            found = f"plugin {plugin.name} ({_where(plugin)}) can't be loaded: {plugin.problem}"
            yield Finding("plugins", "red", found, _update(plugin))
    yield from _old_names([plugin for plugin in asked.registry.plugins if not plugin.problem])
    for origin, parts in _by_origin(asked.registry.plugins).items():
        yield Finding("plugins", "green", f"{origin}: {', '.join(plural(parts[kind], kind) for kind in parts)}")


def _by_origin(found: Sequence[Plugin]) -> dict[str, Counter[str]]:
    """How much of what each distribution, or plugin file, offers."""
    counts: dict[str, Counter[str]] = {}
    for plugin in found:
        if plugin.offers:
            origin = plugin.origin.distribution or plugin.name
            counts.setdefault(origin, Counter()).update(KINDS.get(kind, kind) for kind, _ in plugin.offers)
    return counts


KINDS = {"dataset": "data set"}
"""What people call an offer, where it is not the registry's word."""


def _where(plugin: Plugin) -> str:
    return ", ".join(filter(None, (plugin.origin.distribution, str(plugin.file or ""))))


def _old_names(plugins: Sequence[Plugin]) -> Iterator[Finding]:
    """Plugins that use names which the installed NumPy doesn't have; each file is named once."""
    try:
        import numpy
    except ImportError:  # the packages' own line says it
        return
    sources, seen = source.Sources(), set[Path]()
    for plugin in plugins:
        if plugin.file is None:
            continue
        module = source.Module(plugin.origin.module, plugin.file)
        files = {each.file.resolve(): each.file for each in sources.reachable([module])}
        new = [file for resolved, file in files.items() if resolved not in seen]
        seen |= set(files)
        if gone := [each for file in new for each in gone_in(file, numpy)]:
            yield _finding(plugin, gone, numpy.__version__)


def _finding(plugin: Plugin, gone: list[Gone], version: str) -> Finding:
    first = gone[0]
    more = f", and {len(gone) - 1} more" if len(gone) > 1 else ""
    found = f"plugin {plugin.name} fails where it runs: NumPy {version} has no {first.name} ({first.place}{more})"
    remedy = first.instead or f"replace np.{first.name}"
    return Finding("plugins", "red", found, f"Update the plugin, or {remedy}")


def _update(plugin: Plugin) -> str:
    name = plugin.origin.distribution.partition(" ")[0]
    return f"pip install --upgrade {name}, or: pip uninstall {name}" if name else "Correct the file"
