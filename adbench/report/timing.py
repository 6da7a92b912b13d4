"""Columns and notes that say where timings were measured: the device, and the number of threads on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..results.records import Result
from ..results.variants import Board
from ..util.threads import threads_text
from .tables import Column, Row


def timing_columns(among: Sequence[Result], runs_of: Callable[[Row], Sequence[Result]]) -> tuple[Column[Row], ...]:
    """Columns with the place of a row's timings; people see them if the runs ``among`` differ in it."""
    one_device = len({run.environment.device_name for run in among}) == 1

    def whole(row: Row) -> str:
        return "; ".join(", ".join(filter(None, place)) for place in _places(runs_of(row)))

    def short(row: Row) -> str:
        return ", ".join(threads for _, threads in _places(runs_of(row))) if one_device else whole(row)

    texts = Column[Row]("timed_on", "timed on", whole, audience="programs")
    if len(_places(among)) < 2:
        return (texts,)
    return texts, Column[Row]("timed_on", "timed on", short, audience="people")


def timing_notes(among: Sequence[Result]) -> list[str]:
    """A note with the threads or the device of all timings of a table, where no column says it."""
    places = _places(among)
    return [f"Timed on {places[0][1] or places[0][0]}."] if len(places) == 1 else []


def runs_on(board: Board) -> list[Result]:
    """All runs of a board."""
    return [run for variant in board.variants for run in variant.all_runs]


def _places(runs: Sequence[Result]) -> list[tuple[str, str]]:
    """The devices of some runs, each with the number of threads if it is a CPU."""
    places = (
        (run.environment.device_name, threads_text(run.environment.threads) if run.environment.device == "cpu" else "")
        for run in runs
    )
    return list(dict.fromkeys(places))
