"""Many bad inputs, drawn by hypothesis from a seed; each ends in a right result or in one clear message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from . import bad_files, bad_images, bad_layouts, bad_options, bad_run_files
from .bench import Bench, Verdict
from .tally import Row

Try = Callable[[Callable[[st.SearchStrategy[Any]], Any], Bench, Path], Verdict]
"""Draws an input, puts it into a folder of ``Bench.new`` and judges what a command makes of it."""

KINDS: Mapping[str, tuple[int, tuple[Try, ...]]] = {
    "images": (300, (bad_images.try_same, bad_images.try_other_mode, bad_images.try_broken, bad_images.try_lossy)),
    "masks": (120, (bad_layouts.try_mask,)),
    "layouts": (120, (bad_layouts.try_same_layout, bad_layouts.try_passed_over, bad_layouts.try_bad_layout)),
    "options": (100, (bad_options.try_option,)),
    "run files": (60, (bad_run_files.try_same_file, bad_run_files.try_broken_file)),
    "checkpoints": (100, (bad_files.try_checkpoint,)),
    "archives": (80, (bad_files.try_archive,)),
    "stored results": (120, (bad_files.try_result,)),
}
"""What is tried how often in the whole campaign, by several functions in turn."""


def campaign(place: Path, kind: str, share: float, number: int, what: str) -> Row:
    """Try all inputs of a kind.

    Args:
        place: a folder for everything.
        kind: of ``KINDS``.
        share: part of the whole campaign.
        number: the seed.
        what: names the row.
    """
    count, tries = KINDS[kind]
    row = Row(what)
    with row.timing():
        bench = Bench(place / kind)
        for place_, attempt in enumerate(tries):
            wanted = max(1, round(share * count)) * (place_ + 1) // len(tries) - row.tried
            _try(attempt, bench, wanted, number, row)
    return row


def _try(attempt: Try, bench: Bench, wanted: int, number: int, row: Row) -> None:
    """Draw ``wanted`` inputs; hypothesis stops early where it knows no other ones, and is then asked again."""
    left, before = wanted, -1

    def one(drawn: st.DataObject) -> None:
        nonlocal left
        if left <= 0:
            return
        told: list[str] = []

        def draw(strategy: st.SearchStrategy[Any]) -> Any:
            value = drawn.draw(strategy)
            told.append(repr(value)[:60])
            return value

        with bench.new() as folder:
            verdict = attempt(draw, bench, folder)
        left -= 1
        if verdict.outcome == "fault":
            row.faults.append(f"{attempt.__name__}({', '.join(told)}): {verdict.text}")
        elif verdict.outcome == "right":
            row.right += 1
        else:
            row.clear += 1

    while left > 0 and left != before:
        before = left
        chosen = settings(
            max_examples=left, phases=[Phase.generate], database=None, deadline=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        chosen(seed(number + left)(given(st.data())(one)))()
