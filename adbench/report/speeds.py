"""The table of a measured speed, and latencies for boards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..api.data import Size, size_text
from ..results import speeds
from ..results.records import Result
from ..results.run_files import folder_of
from ..results.speeds import Latency, Speed
from ..results.variants import mean
from ..util.errors import ResultError
from ..util.threads import threads_text
from .tables import Audience, Column, Kind, Row, Table, constant


@dataclass(frozen=True)
class _Row:
    """One size and batch; or a size that was skipped, with the reason."""

    size: Size
    what: str
    latency: Latency | None
    reason: str = ""


def table(speed: Speed) -> Table[_Row]:
    """Latency of one image, and the best batch, for each size."""
    rows = []
    for single, best in zip(speed.single, speed.best, strict=True):
        rows.append(_Row(single.size, "one image" if best.batch > 1 else "one image, also the best batch", single))
        if best.batch > 1:
            rows.append(_Row(best.size, "best batch", best))
    rows += [_Row(each.size, "skipped", None, each.reason) for each in speed.skipped]
    where = speed.device_name + (f", {threads_text(speed.threads)}" if speed.device == "cpu" else "")
    precision = "fp32" if speed.precision == "off" else speed.precision
    columns: tuple[Column[_Row], ...] = (
        Column("size", "size", lambda row: size_text(row.size), role="key"),
        Column("what", "what", lambda row: row.what, role="key"),
        constant("model", "model", speed.model),
        constant("program", "program", speed.program),
        constant("device", "device", speed.device),
        constant("device_name", "device name", speed.device_name),
        constant("threads", "threads", speed.threads),
        constant("precision", "precision", precision),
        constant("measured", "measured", speed.measured),
        _of("batch", "batch", lambda each: each.batch, "count"),
        _of("median_ms", "median ms", lambda each: 1000 * each.median, "seconds"),
        _of("p95_ms", "P95 ms", lambda each: 1000 * each.p95, "seconds"),
        _of("images_per_second", "images/s", lambda each: each.images_per_second, "rate"),
        _of("peak_mb", "peak MB", lambda each: round(each.peak_memory_bytes / 1e6), "count"),
        _of("repeats", "batches", lambda each: each.repeats, "count"),
    )
    notes = [f"{size_text(each.size)} skipped: {each.reason}." for each in speed.skipped]
    notes.append("Times of a batch, from decoded images on the host to scores and maps on the host.")
    return Table(f"{speed.model} by {speed.program}, {precision}, on {where}", columns, tuple(rows), tuple(notes))


def _of(key: str, title: str, value: Callable[[Latency], float], kind: Kind) -> Column[_Row]:
    def cell(row: _Row) -> float | None:
        return None if row.latency is None else value(row.latency)

    return Column(key, title, cell, kind)


@dataclass(frozen=True)
class Latencies:
    """The measured latencies of runs, for boards.

    Attributes:
        found: the latest measurement of each run that has one, by data set, class, method and run.
    """

    found: dict[tuple[str, str, str, str], Speed]

    def of(self, run: Result) -> Speed | None:
        """The measurement of a run."""
        return self.found.get(_key(run))

    def milliseconds(self, run: Result) -> float | None:
        """Median milliseconds for one image of a run's own size."""
        speed = self.of(run)
        seconds = speed.latency() if speed else None
        return None if seconds is None else 1000 * seconds

    def places(self, runs: Sequence[Result]) -> list[str]:
        """Where the latencies of some runs were measured: the device, and the threads on a CPU."""
        measured = [speed for speed in map(self.of, runs) if speed]
        texts = (
            ", ".join(filter(None, (speed.device_name, threads_text(speed.threads) if speed.device == "cpu" else "")))
            for speed in measured
        )
        return list(dict.fromkeys(texts))


def stored(results: Path, runs: Sequence[Result], warn: Callable[[str], object] | None = None) -> Latencies:
    """Read the speeds beside results; a damaged file is left out, and ``warn`` gets a line about it."""
    found = {}
    for run in runs:
        try:
            measured = speeds.read(folder_of(results, run).path)
        except ResultError as error:
            if warn:
                warn(str(error))
            continue
        if measured:
            found[_key(run)] = max(measured, key=lambda each: each.measured)
    return Latencies(found)


def latency_columns(
    latencies: Latencies | None, among: Sequence[Result], runs_of: Callable[[Row], Sequence[Result]]
) -> tuple[Column[Row], ...]:
    """The latency of one image, and where it was measured; no columns if no run was measured.

    Args:
        latencies: what was measured.
        among: the runs of the table.
        runs_of: those of a row.
    """
    if latencies is None or not latencies.places(among):
        return ()
    known = latencies

    def value(row: Row) -> float | None:
        return mean(map(known.milliseconds, runs_of(row)))

    def place(row: Row) -> str | None:
        return "; ".join(known.places(runs_of(row))) or None

    audience: Audience = "programs" if len(known.places(among)) == 1 else "all"
    return (
        Column("latency_ms", "latency ms", value, "seconds"),
        Column("latency_on", "latency on", place, audience=audience),
    )


def latency_notes(latencies: Latencies | None, among: Sequence[Result]) -> list[str]:
    """Say what the latency is, and where it was measured."""
    places = latencies.places(among) if latencies else []
    if not places:
        return []
    where = f", on {places[0]}" if len(places) == 1 else ". They were measured on different devices"
    return [f"latency: median of one image, from the decoded image to the map on the host (adbench speed){where}."]


def _key(run: Result) -> tuple[str, str, str, str]:
    return run.dataset, run.class_name, run.method, run.run
