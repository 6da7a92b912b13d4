"""``adbench doctor``: checks of this machine and of what is installed, each with the line that mends it.

A check is a function that yields findings. It must not need more than a few seconds, and nothing that it finds may end
the others: where torch or another package is missing, the checks that need it say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

from ...util.errors import PLUGIN_ERRORS, UsageError, described
from . import plugins
from .finding import REPORT, Asked, Finding, Status

__all__ = ["CHECKS", "Asked", "Check", "Finding", "Status", "examine", "is_sound"]

Check = Callable[[Asked], Iterator[Finding]]

CHECKS: tuple[tuple[str, str, str], ...] = (
    ("Python", "software", "python"),
    ("adbench", "software", "adbench"),
    ("packages", "software", "packages"),
    ("optional packages", "software", "optional"),
    ("torch", "machine", "torch_itself"),
    ("GPU", "machine", "gpu"),
    ("memory", "memory", "check"),
    ("FrEIA", "freia", "check"),
    ("weights", "places", "weights"),
    ("data", "places", "data"),
    ("cache", "places", "cache_and_disk"),
    ("results", "places", "results"),
    ("plugins", "plugins", "check"),
    ("self-check", "round_trip", "check"),
)
"""Name of each check, and the module beside this one with its function: some import torch, which may be broken."""


def examine(asked: Asked, watch: Callable[[str], None] | None = None) -> tuple[Finding, ...]:
    """Run all checks.

    Args:
        asked: what to look at; its plugins are loaded here.
        watch: called with the name of each check before it begins.
    """
    asked = plugins.loaded(asked)
    found: list[Finding] = []
    for name, module, function in CHECKS:
        if watch:
            watch(name)
        found += _one(name, module, function, asked)
    return tuple(found)


def _one(name: str, module: str, function: str, asked: Asked) -> Iterator[Finding]:
    """The findings of one check; an error that it didn't foresee becomes the last one."""
    try:
        check: Check = getattr(import_module(f"{__name__}.{module}"), function)
        yield from check(asked)
    except ImportError as error:
        yield Finding(name, "yellow", f"not checked: {described(error)}", "Mend the red lines, and run this again")
    except UsageError as error:  # a setting that it can't work with, such as ADBENCH_CACHE_LIMIT
        without_hint = UsageError(error.parts["thing"], found=error.parts["found"], wanted=error.parts["wanted"])
        yield Finding(name, "red", str(without_hint), error.parts["hint"] or "Correct it")
    except PLUGIN_ERRORS as error:  # a check that breaks must not hide the others
        yield Finding(name, "red", f"the check broke: {described(error)}", REPORT)


def is_sound(findings: tuple[Finding, ...]) -> bool:
    """Whether no finding is red."""
    return all(finding.status != "red" for finding in findings)
