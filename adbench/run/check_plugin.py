"""Checks all that a plugin offers: each method as ``check-method`` does, and the reader of each data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..api.registry import Plugin, Registry
from ..util.errors import AdbenchError, PluginError
from . import check_dataset, check_method
from .check_outcome import CheckResult

LOADS = "loads"
"""The check that the plugin can be imported and its hooks return what they should."""

BEGINS = "can be checked"
"""Stands in place of a method's checks if it can't be tried, such as for an unmet requirement."""


@dataclass(frozen=True)
class Checked:
    """What was checked ("plugin mine", "method mine", "data set mine"), and the outcomes.

    ``method`` is the name of a method that could be tried.
    """

    what: str
    results: tuple[CheckResult, ...]
    method: str | None = None

    @property
    def failed(self) -> list[CheckResult]:
        """The checks that failed."""
        return [result for result in self.results if result.outcome == "failed"]


def run(
    plugin: Plugin,
    registry: Registry,
    *,
    auxiliary: Mapping[str, Mapping[str, Path]] | None = None,
    root: Path | None = None,
    watch: Callable[[str, str], None] | None = None,
) -> Iterator[Checked]:
    """Check a plugin, its methods and its data sets, one after the other.

    Args:
        plugin: the plugin.
        registry: everything that is loaded, the plugin among it.
        auxiliary: paths of auxiliary data, by method and name.
        root: folder of the data sets; without one their readers are checked as far as possible.
        watch: called with what is checked and the name of the check.
    """
    yield Checked(f"plugin {plugin.name}", (_loads(plugin),))
    for name in plugin.names("method"):
        yield _method(name, registry, (auxiliary or {}).get(name), partial(watch, name) if watch else None)
    for name in plugin.names("dataset"):
        found = check_dataset.run(registry.dataset(name), root, watch=partial(watch, name) if watch else None)
        yield Checked(f"data set {name}", found)


def unusable(file: str, error: PluginError) -> Checked:
    """The outcome for a file that can't be loaded."""
    return Checked(f"plugin {file}", (CheckResult(LOADS, "failed", error.parts["found"] or str(error), error),))


def _loads(plugin: Plugin) -> CheckResult:
    if plugin.problem:
        return CheckResult(LOADS, "failed", plugin.problem)
    if not plugin.offers:
        return CheckResult(LOADS, "failed", "it offers nothing: no method, data set or backbone")
    return CheckResult(LOADS, "passed", plugin.offers_text)


def _method(
    name: str, registry: Registry, given: Mapping[str, Path] | None, watch: Callable[[str], None] | None
) -> Checked:
    """The checks of a method; a mistake or an unmet requirement is its only row."""
    try:
        found = check_method.run(registry.method(name), auxiliary=given, watch=watch)
    except AdbenchError as error:
        return Checked(f"method {name}", (CheckResult(BEGINS, "failed", str(error), error),))
    return Checked(f"method {name}", found, name)
