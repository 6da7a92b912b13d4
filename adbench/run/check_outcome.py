"""The outcome of one check of a method or a data set, and what a check raises where it doesn't pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class CheckResult:
    """Result of one check: ``reason`` says briefly what was found, or why it was skipped.

    ``error`` is what the plugin's code raised, if it did.
    """

    check: str
    outcome: Outcome
    reason: str = ""
    error: BaseException | None = field(default=None, compare=False)


class FailedError(Exception):
    """The fault that a check found."""


class SkippedError(Exception):
    """The reason why a check can't be made."""


def require_passed(name: str, results: Sequence[CheckResult]) -> None:
    """Raise ``AssertionError`` if a check of ``name`` failed; the message lists which, and why."""
    failed = [f"{result.check}: {result.reason}" for result in results if result.outcome == "failed"]
    if failed:
        raise AssertionError(f"{name} failed {len(failed)} of {len(results)} checks:\n" + "\n".join(failed))
