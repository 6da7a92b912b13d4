"""The table of ``adbench run --dry-run``: which tasks are done, and about what the others take."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..results.records import setting_text
from ..run.disk_use import free_bytes
from ..util import cache
from ..util.sizes import bytes_text
from ..util.text import duration, plural
from .tables import Audience, Column, Table

if TYPE_CHECKING:
    from ..run.forecast import Forecast, State

UNKNOWN = "unknown"

SHOWN = 5
"""Most notes about single tasks."""


def dry_run(forecasts: Sequence[Forecast], workers: int | None = 1) -> Table[Forecast]:
    """A row for each task: its state, and about what it will take in time and on the disk.

    Args:
        forecasts: of all tasks of a command, of which there is at least one.
        workers: how many tasks run at once; None if the executor chooses that later.
    """
    counts = Counter(each.state for each in forecasts)
    states = ", ".join(f"{counts[state]} {state}" for state in _ORDER if counts[state])
    has_setting = any(each.job.setting != "one-class" for each in forecasts)
    columns: tuple[Column[Forecast], ...] = (
        Column("method", "method", lambda row: row.job.method, role="key"),
        Column("data", "data", lambda row: row.job.data_name, role="key"),
        Column("setting", "setting", lambda row: setting_text(row.job.setting, row.job.shots) or "one-class",
               audience="all" if has_setting else "programs", role="key"),
        Column("options", "options", lambda row: row.job.point or None,
               audience="all" if any(row.job.varied for row in forecasts) else "programs", role="key"),
        Column("preset", "preset", lambda row: row.job.preset, audience=_if_several([e.job.preset for e in forecasts]),
               role="key"),
        Column("size", "size", _size, audience=_if_unlike_within_a_method(forecasts), role="key"),
        Column("seed", "seed", lambda row: row.job.seed, "count", role="key"),
        Column("state", "state", lambda row: row.state, role="main"),
        Column("time", "time", _time, role="main", audience="people"),
        Column("disk", "disk", _disk, role="main", audience="people"),
        Column("seconds", "seconds", lambda row: row.seconds, "seconds", "programs"),
        Column("bytes", "bytes", lambda row: row.bytes, "bytes", "programs"),
        Column("basis", "basis", lambda row: row.basis or None, audience="programs"),
        Column("detail", "detail", lambda row: row.detail or None, audience="programs"),
        Column("run", "run", lambda row: row.run or None, audience="programs"),
    )  # fmt: skip
    title = f"Dry run, nothing is trained. {plural(len(forecasts), 'task')}: {states}"
    return Table(title, columns, tuple(forecasts), tuple(_notes(forecasts, workers)))


_ORDER: tuple[State, ...] = ("done", "unfinished", "stale", "left", "can't run")


def _if_several(values: Sequence[str]) -> Audience:
    return "all" if len(set(values)) > 1 else "programs"


def _if_unlike_within_a_method(forecasts: Sequence[Forecast]) -> Audience:
    """Sizes are shown where tasks of one method differ in them, and no other column says so."""
    unlike = len({(each.job.method, _size(each)) for each in forecasts}) > len({each.job.method for each in forecasts})
    return "all" if unlike and not any("size" in each.job.varied for each in forecasts) else "programs"


def _size(row: Forecast) -> str:
    height, width = row.job.options.size
    return f"{height}x{width}"


def _time(row: Forecast) -> str | None:
    if row.state in ("done", "can't run"):
        return None
    return UNKNOWN if row.seconds is None else duration(row.seconds)


def _disk(row: Forecast) -> str | None:
    if row.state in ("done", "can't run"):
        return None
    return UNKNOWN if row.bytes is None else bytes_text(row.bytes)


def _notes(forecasts: Sequence[Forecast], workers: int | None) -> Iterator[str]:
    left = [each for each in forecasts if each.state not in ("done", "can't run")]
    if left:
        yield _time_note(left, workers)
        yield from _disk_notes(left)
    about = [each for each in forecasts if each.detail]
    for each in about[:SHOWN]:
        yield f"{each.job.title}: {each.state}, {each.detail.rstrip('.')}."
    if len(about) > SHOWN:
        yield f"--format json has the reasons of {len(about) - SHOWN} more."


def _seconds_at_once(seconds: Sequence[float], workers: int) -> float:
    """Seconds until all tasks are done, if each starts in its turn as soon as a worker is free."""
    free = [0.0] * workers
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def _time_note(left: Sequence[Forecast], workers: int | None) -> str:
    known = [each.seconds for each in left if each.seconds is not None]
    unknown = len(left) - len(known)
    if not known:
        return "The time is unknown: no run with the same method, preset and options is stored from this machine."
    which = f" for {len(known)} of {len(left)} tasks" if unknown else ""
    whole = f"About {duration(sum(known))}{which}, one after the other"
    at_once = min(workers or 1, len(known))
    if at_once > 1:  # they share processors and disks, so that each takes longer than alone
        best = duration(_seconds_at_once(known, at_once))
        whole = f"At best {best}{which} with {at_once} tasks at once, and about {duration(sum(known))} one by one"
    bases = " and ".join(sorted({each.basis for each in left if each.basis}))
    rest = f" {plural(unknown, 'task')} of unknown time." if unknown else ""
    less = "" if workers else " Several at once take less: --workers N says how much."
    return f"{whole}: from stored runs on this machine ({bases}).{rest}{less}"


def _short(left: Sequence[Forecast]) -> Iterator[tuple[Path, int]]:
    """Folders of results whose disk has less space than the tasks of known size take, and what is free there."""
    for place in dict.fromkeys(each.job.results for each in left):
        needed, free = sum(each.bytes or 0 for each in left if each.job.results == place), free_bytes(place)
        if free < needed:
            yield place, free


def _disk_notes(left: Sequence[Forecast]) -> Iterator[str]:
    known = [each.bytes for each in left if each.bytes is not None]
    places = ", ".join(dict.fromkeys(str(each.job.results) for each in left))
    unknown = f" without {plural(len(left) - len(known), 'task')} of unknown size" if len(known) < len(left) else ""
    if known:
        yield f"Results leave about {bytes_text(sum(known))} in {places}{unknown}."
    for place, size in _short(left):
        yield f"Only {bytes_text(size)} are free in {place}."
    stores = {name: size for each in left for name, size in (each.decoding or {}).items()}
    limit = bytes_text(cache.limit())
    images = f"{bytes_text(sum(stores.values()))} of decoded images, and " if any(stores.values()) else ""
    yield (
        f"The cache gets {images}features of backbones, and is kept below {limit}. A task that trains has its state on "
        "the disk as well."
    )
