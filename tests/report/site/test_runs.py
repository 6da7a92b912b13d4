"""The page of a run: how many charts it has room for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import make_result
from pages import SCORES, put, record

from adbench.api import registry
from adbench.report.site import library, runs


@settings(max_examples=50)
@given(st.integers(1, 100_000))
def test_the_charts_of_all_pages_stay_within_their_share(count):
    """However many runs there are, and one more run changes the room of the others only at a power of two."""
    assert count * runs.room_of(count) <= runs.CURVES_OF_ALL
    assert runs.room_of(count + 1) == runs.room_of(count) or count & (count - 1) == 0
    assert runs.room_of(1000) > 7000


WANTED = ["ROC", "Precision and recall", "Scores: a", "image AUROC", "Loss of a"]


@pytest.mark.parametrize(
    ("room", "kept"), [(60_000, WANTED), (5500, ["ROC", "Scores: a", "image AUROC"]), (0, [])]
)  # fmt: skip
def test_a_page_keeps_the_first_charts_and_names_the_others(tmp_path, monkeypatch, room, kept):
    """ROC and histogram come first; what has no room is named, and the order on the page stays."""
    put(tmp_path, make_result("a"), SCORES, [record(1, 0.5, 2.0), record(2, 0.75, 1.0)])
    monkeypatch.setattr(runs, "room_of", lambda count: room)
    found = library.read([tmp_path], registry.load(), (), str, str)
    (each,) = found.runs.values()
    page = runs.of_run(each, found, (), registry.load(), curves=True)
    assert [figure.title for _, figure in page.charts] == kept
    left_out = [note for note in page.notes if note.startswith("Left out, to keep the site small")]
    assert len(left_out) == (kept != WANTED)
    assert all(title in left_out[0] for title in WANTED if title not in kept)
