"""Checks of Python and of packages: their versions, and another distribution in the way."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

from ...util import installed, pip
from ...util.installed import NAMESAKE_REMEDY, OURS, Needed
from ..installation import extras_of_adbench
from . import tested
from .finding import Asked, Finding

VersionOf = Callable[[str], str | None]


def python(asked: Asked) -> Iterator[Finding]:
    """Python's version against that in adbench's metadata, and against the tested one."""
    found, lowest = platform.python_version(), _lowest_python()
    if lowest and installed.is_below(found, lowest):
        yield Finding("Python", "red", f"{found}, wanted {lowest}", f"Install Python {lowest} or newer")
    elif installed.is_newer_series(found, tested.PYTHON):
        yield Finding("Python", "yellow", f"{found}, newer than the tested {tested.PYTHON}", "Report what fails")
    else:
        yield Finding("Python", "green", found)


def _lowest_python() -> str:
    try:
        return str(metadata.metadata(OURS)["Requires-Python"] or "").removeprefix(">=")
    except metadata.PackageNotFoundError:
        return ""


def adbench(asked: Asked) -> Iterator[Finding]:
    """The installed adbench, and whether another distribution has put files into its place."""
    own = installed.version_of(OURS)
    if said := installed.namesake():
        yield Finding("adbench", "red", said.partition(" Run: ")[0], NAMESAKE_REMEDY)
    elif own is None:
        where = Path(__file__).parents[3]
        yield Finding("adbench", "red", f"imported from {where}, but not installed", f"pip install -e {where}")
    else:
        yield Finding("adbench", "green", f"{OURS} {own}")


def packages(asked: Asked) -> Iterator[Finding]:
    """What adbench always needs: a line for each package in trouble, and one for the others."""
    yield from judged([each for each in installed.needs() if not each.extra], installed.version_of)


def judged(needed: Sequence[Needed], version_of: VersionOf) -> Iterator[Finding]:
    """Compare versions with what is needed and what was tested.

    Args:
        needed: the packages, with their bounds.
        version_of: finds the installed version of a package, None if there is none.
    """
    fine = []
    for each in needed:
        found, newest = version_of(each.name), tested.TESTED.get(each.name, "")
        if found is None:
            yield Finding(each.name, "red", "not installed", pip.line([each.text]))
        elif not each.allows(found):
            yield Finding(each.name, "red", f"{found}, wanted {each.text}", pip.line([each.text]))
        elif newest and installed.is_newer_series(found, newest):
            older = f"{each.text},=={newest}.*" if each.lowest else f"{each.name}=={newest}.*"
            yield Finding(
                each.name, "yellow", f"{found}, newer than the tested {newest}",
                f"If something fails: {pip.line([older])}",
            )  # fmt: skip
        else:
            fine.append(f"{each.name} {found}")
    if fine:
        yield Finding("packages", "green", f"{', '.join(fine)}: as tested")


def optional(asked: Asked) -> Iterator[Finding]:
    """Packages of the extras, which only some commands and methods need: missing ones are no fault, old ones are."""
    here, absent = [], []
    for extra, needed in sorted(extras_of_adbench().items()):
        found = {each: installed.version_of(each.name) for each in needed}
        if not all(found.values()):
            absent.append(extra)
        else:
            here += [f"{each.name} {version}" for each, version in found.items()]
        for each, version in found.items():
            if version and not each.allows(version):
                yield Finding(each.name, "red", f"{version}, wanted {each.text}", pip.line([each.text]))
    lacking = f"without the extras {', '.join(absent)}, which are needed only where asked for" if absent else ""
    remedy = f"For one of them: adbench install {absent[0]} --yes" if absent else ""
    present = ", ".join(dict.fromkeys(here))
    yield Finding("optional packages", "green", "; ".join(filter(None, (present, lacking))) or "none", remedy)
