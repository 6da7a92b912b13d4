"""Keeps the outcomes of ``check-method``, and tells whether they are of the present code."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import torch

from ..api.registry import Registry
from ..results import audits
from ..results.audits import Audit, Check
from ..util import numerics
from .check_bench import small_options, usual_preset
from .check_outcome import CheckResult
from .identity import Identifier, backbone_codes
from .summary import environment

State = Literal["current", "stale", "unchecked"]

_CODES: Mapping[State, str] = {
    "current": "with this code", "stale": "with other code", "unchecked": "with code that is not at hand",
}  # fmt: skip


@dataclass(frozen=True)
class Audited:
    """A stored audit, and whether it is of the present code; "unchecked" where that is not at hand."""

    audit: Audit
    state: State

    @property
    def text(self) -> str:
        """One line: when, of which code, with which changes, and the outcome."""
        how = f", as {self.audit.variant}" if self.audit.overrides else ""
        return f"audited on {self.audit.checked[:10]} {_CODES[self.state]}{how}: {self.audit.outcome}"


class Auditor:
    """Makes audits of a registry's methods, and compares stored ones with their code.

    Args:
        registry: finds methods.
        codes: digests of code that counts as present, of methods that the registry lacks, by the method's name: that
            of stored runs.
    """

    def __init__(self, registry: Registry, codes: Mapping[str, Collection[str]] | None = None) -> None:
        self.registry, self.codes = registry, codes or {}
        self._identifier = Identifier(registry)

    def begin(self, method: str) -> None:
        """Fix the code of a method as it is now, before the checks import the rest of it."""
        self._identifier.about_to_import(method)

    def store(
        self, results: Path, name: str, preset: str | None, changes: Mapping[str, Any], found: Sequence[CheckResult]
    ) -> Path:
        """Store the outcome of ``check_method.run``, in place of that of older code.

        Args:
            results: the folder of all results.
            name: the method's name.
            preset: as for ``check_method.run``.
            changes: as for ``check_method.run``.
            found: its results.

        Raises:
            ResultError: the file can't be written.
        """
        method = self.registry.method(name)
        options = small_options(method, preset, changes, size=None)
        made = Audit(
            method=name,
            preset=preset or usual_preset(method),
            overrides=dict(changes),
            code=self._identifier.code(name),
            numerics=numerics.NUMERICS,
            method_package=self.registry.package_of(name),
            environment=environment(torch.device("cpu")),
            checked=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            checks=tuple(Check(each.check, each.outcome, each.reason) for each in found),
            backbones=backbone_codes(self.registry, vars(options)),
        )
        return audits.replace_older(results, made)

    def inspect(self, stored: Iterable[Audit]) -> dict[str, tuple[Audited, ...]]:
        """The audits of each method: those of the present code first, then those without changes, then new ones."""
        found: dict[str, list[Audited]] = {}
        for audit in sorted(stored, key=lambda each: each.checked, reverse=True):
            found.setdefault(audit.method, []).append(Audited(audit, self._state(audit)))
        order = ("current", "unchecked", "stale")
        return {
            name: tuple(sorted(each, key=lambda one: (order.index(one.state), len(one.audit.overrides) > 0)))
            for name, each in found.items()
        }

    def _state(self, audit: Audit) -> State:
        here = audit.method in self.registry.methods
        codes = {self._identifier.code(audit.method)} if here else set(self.codes.get(audit.method, ()))
        names = tuple(key.partition(".")[2] for key in audit.backbones)
        backbones = backbone_codes(self.registry, {"backbones": names})
        if codes and (audit.code not in codes or audit.numerics != numerics.NUMERICS):
            return "stale"
        if any(audit.backbones[key] != code for key, code in backbones.items()):
            return "stale"
        return "current" if codes and len(backbones) == len(audit.backbones) else "unchecked"
