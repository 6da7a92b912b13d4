"""Outcomes of ``adbench check-method``: ``results/audits/METHOD/NAME.json``, one for each code, set-up and machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..util import files, integrity
from ..util.errors import ResultError, first_line, reason
from ..util.plain_files import is_link, open_plain
from ..util.text import plural, safe_name
from . import serialization
from .records import Environment, variant_name

AUDITS = "audits"
"""Name of the folder below that of the results. Runs lie one level deeper than these files."""

MOST_BYTES = 1_000_000
"""Bytes of a file, at most; usual ones have two thousand."""

_DIGITS = 12
_AGAIN = "Check again with adbench check-method, or remove the file"


@dataclass(frozen=True)
class Check:
    """One check: ``reason`` says briefly what was found, or why it was skipped."""

    check: str
    outcome: Literal["passed", "failed", "skipped"]
    reason: str = ""


@dataclass(frozen=True)
class Audit:
    """The outcome of all checks of a method.

    Attributes:
        method: its name.
        preset: the preset that was made small.
        overrides: the options that kept the user's values.
        code: digest of the method's code, as in ``Identity``.
        numerics: number of the core's numerics.
        method_package: the distribution and version of the method.
        environment: the machine and its packages; a GPU has a check of its own, which names it.
        checked: the time, in ISO format.
        checks: in their order.
        backbones: digests of the code of plugins' backbones among the options, as in ``Identity.files``.
    """

    method: str
    preset: str
    overrides: Mapping[str, Any]
    code: str
    numerics: int
    method_package: str
    environment: Environment
    checked: str
    checks: tuple[Check, ...]
    backbones: Mapping[str, str] = field(default_factory=dict)

    def of(self, outcome: str) -> list[Check]:
        """The checks with one outcome."""
        return [check for check in self.checks if check.outcome == outcome]

    @property
    def variant(self) -> str:
        """The method with its set-up, named as a variant: "msflow:cpu,lr=0.01"."""
        return variant_name(self.method, self.preset, self.overrides)

    @property
    def outcome(self) -> str:
        """How many checks passed, failed and were skipped, in words."""
        failed, skipped, passed = (self.of(each) for each in ("failed", "skipped", "passed"))
        left_out = f", {len(skipped)} skipped ({_names(skipped)})" if skipped else ""
        if failed:
            return f"{len(failed)} of {plural(len(self.checks), 'check')} failed ({_names(failed)}){left_out}"
        return f"{plural(len(passed), 'check')} passed{left_out}"

    @property
    def place(self) -> tuple[str, ...]:
        """What another audit must share to take this one's place: the code, the set-up and the machine."""
        return (*self.setup, self.code, str(self.numerics), serialization.canonical(self.backbones))

    @property
    def setup(self) -> tuple[str, ...]:
        """What is audited, and where, whatever its code is."""
        return (
            self.method, self.method_package.partition(" ")[0], self.preset, serialization.canonical(self.overrides),
            self.environment.device_name,
        )  # fmt: skip


def _names(checks: Sequence[Check]) -> str:
    return "; ".join(check.check for check in checks)


def write(results: Path, audit: Audit) -> Path:
    """Store an audit, in place of an older one of the same code, set-up and machine.

    Raises:
        ResultError: the file can't be written.
    """
    path = _path(results, audit)
    text = integrity.seal(json.loads(serialization.to_text(audit))) + "\n"
    for folder in (path.parent, path.parent.parent):
        if is_link(folder):
            raise ResultError(f"audit {path} is not written", found=f"{folder} is a link, which is not followed")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.sweep(path.parent)
        files.write(path, lambda stream: stream.write(text.encode()))
    except OSError as error:
        hint = "Permit writing there, or choose another folder with --results"
        raise ResultError(f"audit {path} can't be written", found=reason(error), hint=hint) from error
    except UnicodeEncodeError as error:  # an archive may name any method
        raise ResultError(f"audit of method {audit.method!r}", found="a name that no file can have") from error
    return path


def replace_older(results: Path, audit: Audit) -> Path:
    """Store a new audit, and remove those of the same set-up and machine by code that is no more.

    Raises:
        ResultError: the file can't be written.
    """
    path = write(results, audit)
    for other in path.parent.glob("*.json"):
        if other != path:
            with suppress(ResultError, OSError):  # a damaged one is reported where it is read
                if read(other).setup == audit.setup:
                    other.unlink()
    return path


def read(path: Path) -> Audit:
    """Read an audit.

    Raises:
        ResultError: the file can't be read, or is not as it was written.
    """
    try:
        with open_plain(path) as stream:
            data = stream.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
        return serialization.from_content(Audit, integrity.unseal(data))
    except OSError as error:
        raise ResultError(f"audit {path} can't be read", found=reason(error)) from error
    except ValueError as error:
        raise ResultError(f"audit {path} can't be read", found=first_line(error), hint=_AGAIN) from error


def read_all(results: Path, methods: Iterable[str] | None = None) -> tuple[list[Audit], list[tuple[Path, str]]]:
    """Read the audits in a folder of results, oldest first, without following links.

    Args:
        results: the folder, which need not exist.
        methods: only those of these methods.

    Returns:
        The audits, and the path and a sentence for each file that can't be used.
    """
    found: list[Audit] = []
    problems: list[tuple[Path, str]] = []
    for path in _paths(results, methods):
        try:
            audit = read(path)
            if path != _path(results, audit):
                raise ResultError(f"audit {path}", found=f"an audit of {audit.variant}", wanted="its own", hint=_AGAIN)
            found.append(audit)
        except ResultError as error:
            problems.append((path, str(error)))
    return newest(found), problems


def newest(found: Iterable[Audit]) -> list[Audit]:
    """The newest audit of each place, oldest first."""
    by_place: dict[tuple[str, ...], Audit] = {}
    for audit in sorted(found, key=lambda each: (each.checked, each.place)):
        by_place[audit.place] = audit
    return sorted(by_place.values(), key=lambda each: (each.checked, each.place))


def take(came: Iterable[tuple[Path, Audit]], results: Path, *, dry_run: bool = False) -> tuple[tuple[Path, Audit], ...]:
    """Store the audits of other folders that are new here, or newer than those of the same place.

    Args:
        came: each audit with its source.
        results: the folder of results into which they are taken.
        dry_run: write nothing.

    Returns:
        Those that are stored, with their sources.

    Raises:
        ResultError: a file can't be written.
    """
    there = {each.place: each for each in read_all(results)[0]}
    taken: dict[tuple[str, ...], tuple[Path, Audit]] = {}
    for source, audit in came:
        old = there.get(audit.place)
        if old is None or audit.checked > old.checked:
            there[audit.place] = audit
            taken[audit.place] = source, audit
    if not dry_run:
        for _, audit in taken.values():
            write(results, audit)
    return tuple(taken.values())


def _paths(results: Path, methods: Iterable[str] | None) -> Iterator[Path]:
    folder = results / AUDITS
    if is_link(folder):
        return
    chosen = folder.glob("*") if methods is None else (folder / safe_name(name) for name in methods)
    for each in sorted(chosen):
        with suppress(UnicodeEncodeError):  # no folder has such a name
            if not is_link(each):
                yield from (path for path in sorted(each.glob("*.json")) if not path.is_dir())


def _path(results: Path, audit: Audit) -> Path:
    name = hashlib.sha256("\0".join(audit.place).encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return results / AUDITS / safe_name(audit.method) / f"{name}.json"
