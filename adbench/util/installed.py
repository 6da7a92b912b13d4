"""What is installed: versions, adbench's own requirements, and another distribution with adbench's import name.

It imports nothing heavy: every start of the command line looks for a namesake.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

OURS = "adbench-suite"
"""The name of adbench's distribution; on the package index ``adbench`` is another project."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_BOUND = re.compile(r"(>=|<)\s*([0-9][0-9.]*)")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
_OLDER_PYTHON = re.compile(r"""python_version\s*<\s*["']([0-9.]+)["']""")


@dataclass(frozen=True)
class Needed:
    """A requirement of a distribution: at least version ``lowest``, below ``below``; "" where there is no bound.

    ``extra`` is the name of the extra that needs it; "" for what is always needed.
    """

    name: str
    lowest: str = ""
    below: str = ""
    extra: str = ""

    @property
    def text(self) -> str:
        """As pip takes it: "torch>=2.6"."""
        bounds = [mark + bound for mark, bound in ((">=", self.lowest), ("<", self.below)) if bound]
        return self.name + ",".join(bounds)

    def allows(self, found: str) -> bool:
        """Whether a version is within the bounds."""
        return not is_below(found, self.lowest) and (not self.below or is_below(found, self.below))


def parsed(line: str) -> Needed:
    """Read a line of a distribution's metadata, such as ``timm>=1.0; extra == "timm"``."""
    requirement, _, marker = line.partition(";")
    name = _NAME.match(requirement.strip())
    bounds = dict(_BOUND.findall(requirement))
    extra = _EXTRA.search(marker)
    return Needed(name[0] if name else "", bounds.get(">=", ""), bounds.get("<", ""), extra[1] if extra else "")


def needs(name: str = OURS) -> list[Needed]:
    """The requirements of an installed distribution; none if it isn't installed."""
    try:
        lines: Sequence[str] = metadata.distribution(name).requires or ()
    except metadata.PackageNotFoundError:
        return []
    return [parsed(line) for line in lines if is_for(line, platform.python_version())]


def is_for(line: str, python: str) -> bool:
    """Whether a line of the metadata counts for a version of Python: one may be needed by older ones alone."""
    older = _OLDER_PYTHON.search(line.partition(";")[2])
    return older is None or is_below(python, older[1])


def version_of(name: str) -> str | None:
    """Version of an installed distribution; None if it isn't installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def is_importable(name: str) -> bool:
    """Whether Python finds a package or module of this name; only the packages around it are imported.

    A folder of that name where the command runs, which Python takes for an empty package, is none.
    """
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None


def release(text: str) -> tuple[int, ...]:
    """The numbers of a version: (2, 14, 1) for "2.14.1+cu130"."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def is_below(found: str, bound: str) -> bool:
    """Whether a version is lower than another one: 1.9 is below 1.10, and 2.0 is not below 2."""
    return _filled(release(found), release(bound)) < _filled(release(bound), release(found))


def is_newer_series(found: str, tested: str) -> bool:
    """Whether a version is above another one by its first numbers: 2.15.1 is above 2.14, and 2.14.9 is not."""
    numbers = release(tested)
    return release(found)[: len(numbers)] > numbers


def _filled(numbers: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return numbers + (0,) * (len(other) - len(numbers))


def namesake() -> str:
    """A line about another installed distribution named ``adbench``, with the remedy; empty if there is none.

    On the package index ``adbench`` is another project with the same import name. Ours is ``adbench-suite``, and was
    called ``adbench`` up to 0.1.
    """
    try:
        other = metadata.distribution("adbench")
    except metadata.PackageNotFoundError:
        return ""
    if other.read_text("RECORD") is None:  # left behind by a build in a source folder, not installed
        return ""
    ours = any(point.group == "adbench" for point in other.entry_points)
    what = "of this project, under its old name" if ours else "which is another project with the same import name"
    return (
        f"adbench {other.version} is installed as well, {what}; its files may have replaced some of adbench-suite. "
        f"Run: {NAMESAKE_REMEDY}"
    )


NAMESAKE_REMEDY = 'pip uninstall adbench, and then again: pip install -e "."'
