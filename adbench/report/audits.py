"""What ``adbench check-method`` found, for lists, the report and the site."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..api.registry import Registry
from ..results import audits
from ..results.records import Result
from . import lists
from .tables import AnyTable, Column, Table

if TYPE_CHECKING:
    from ..run.audit import Audited

Audits = Mapping[str, Sequence["Audited"]]
"""The audits of each method that has any, those that say most about the present code first."""

NOT_AUDITED = "not audited"


def read(
    folders: Iterable[Path],
    registry: Registry,
    *,
    methods: Iterable[str] | None = None,
    results: Iterable[Result] = (),
    warn: Callable[[str], None] | None = None,
) -> Audits:
    """Read the audits in some folders of results, and compare them with the code at hand.

    Args:
        folders: the folders; one that is missing has none.
        registry: finds methods.
        methods: only those of these methods.
        results: results whose code counts as present where a method is not at hand.
        warn: called with a sentence about each file that can't be used.
    """
    chosen = None if methods is None else list(dict.fromkeys(methods))
    found = []
    for folder in folders:
        some, problems = audits.read_all(folder, chosen)
        found += some
        for _, problem in problems:
            if warn is not None:
                warn(problem)
    if not found:
        return {}
    from ..run.audit import Auditor  # which imports torch

    codes: dict[str, set[str]] = {}
    for result in results:
        if result.identity is not None:
            codes.setdefault(result.method, set()).add(result.identity.code)
    return Auditor(registry, codes).inspect(audits.newest(found))


def line(found: Audits, method: str) -> str:
    """What the first audit of a method found, or that there is none."""
    return found[method][0].text if method in found else NOT_AUDITED


def brief(found: Audits) -> dict[str, str]:
    """The first audit of each method in a few words: "passed", "2 failed", "other code"."""
    words = {}
    for method, (first, *_) in found.items():
        failed = len(first.audit.of("failed"))
        words[method] = "other code" if first.state == "stale" else f"{failed} failed" if failed else "passed"
    return words


def overview(found: Audits, methods: Iterable[str]) -> Table[str]:
    """A row for each method, with its first audit."""
    columns: tuple[Column[str], ...] = (
        Column("method", "method", lambda name: name, role="key"),
        Column("audit", "audit", lambda name: line(found, name)),
    )
    notes = ("adbench check-method METHOD audits a method: it sees no test image, repeats, saves and resumes.",)
    return Table("Audits", columns, tuple(dict.fromkeys(methods)), notes)


def checks(found: Audits, method: str) -> AnyTable | None:
    """The checks of a method's first audit, with a note for each of the others; None without one."""
    if method not in found:
        return None
    first, *others = found[method]
    audit, here = first.audit, first.audit.environment
    versions = ", ".join(f"{name} {here.packages[name]}" for name in ("adbench", "torch") if name in here.packages)
    notes = (
        f"{audit.variant}, {audit.method_package}, code {audit.code}; on {here.device_name}, Python {here.python}, "
        f"{versions}.",
        *(f"Also {each.text}." for each in others),
    )
    return replace(lists.checks(method, audit.checks), title=f"Checks of {method}, {first.text}", notes=notes)
