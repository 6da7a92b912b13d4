"""Notes about image scores: which runs they name, and whether what they advise can be done."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_results import make_result

from adbench.api.scores import Metrics, Threshold
from adbench.data import splits
from adbench.report import leaderboard
from adbench.report.score_notes import can_hold_out
from adbench.results.records import Result

USELESS = Threshold(2.0, "mean + 3 sd of 9 training scores", 1.0, 0.0)


def run(method: str = "a", class_name: str = "caps", seed: int = 0, **fields) -> Result:
    return replace(make_result(method, class_name, seed=seed), **fields)


def notes_of(results: list[Result], **options) -> str:
    return "\n".join(note for table in leaderboard(results, **options) for note in table.notes)


def test_one_useless_threshold_is_a_singular():
    """The sentence of a single run."""
    assert "The suggested threshold of caps is useless, since it calls every good test" in notes_of(
        [run(threshold=USELESS)]
    )


def test_several_useless_thresholds_are_a_plural_and_short():
    """A class stands for all its seeds; only where some of them are meant, they are named."""
    bad = [run(seed=seed, threshold=USELESS) for seed in range(3)]
    some = [run(class_name="rods", seed=seed, threshold=USELESS if seed else None) for seed in range(3)]
    notes = notes_of([*bad, *some])
    assert "The suggested thresholds of caps, rods seeds 1, 2 are useless, since each calls every good test" in notes
    assert "The suggested thresholds of caps are useless" in notes_of(bad)


def test_a_variant_of_several_stands_for_all_its_runs():
    """In a ranking the note names the variants, not every class and seed again."""
    classes, seeds = ("caps", "rods", "tubes"), range(2)
    bad = [run("bad", name, seed, threshold=USELESS) for name in classes for seed in seeds]
    partly = [
        run("partly", name, seed, threshold=USELESS if name == "rods" else None) for name in classes for seed in seeds
    ]
    assert "The suggested thresholds of bad, partly rods are useless" in notes_of([*bad, *partly])
    tied = [replace(each, tied_images=3, threshold=None) for each in bad]
    assert "share a score: 3 of 8 images (bad)." in notes_of([*tied, run("other")])


@pytest.mark.parametrize(
    ("kept", "held_out", "threshold", "possible"),
    [(4, None, USELESS, False), (4, None, None, False), (3, 2, USELESS, False), (6, None, USELESS, True),
     (6, None, None, True), (3, 3, USELESS, True)],
)  # fmt: skip
def test_holding_out_is_advised_only_where_it_is_possible(kept, held_out, threshold, possible):
    """With fewer than six images none is ever held out, so --holdout can't help."""
    notes = notes_of([run(train_images=kept, held_out_images=held_out, threshold=threshold)], threshold=True)
    assert ("--holdout" in notes) == possible
    assert ("too few training images to hold some out" in notes) == (not possible)


@pytest.mark.parametrize("count", range(12))
def test_it_is_possible_exactly_where_the_split_holds_some_out(count):
    """The advice and the split agree."""
    assert can_hold_out(count) == bool(splits.split(range(count), 0.1)[1])


@pytest.mark.parametrize(("auroc", "advised"), [(0.9, True), (0.6, True), (0.59, False), (None, True)])
def test_holding_out_is_not_advised_where_nothing_separates(auroc, advised):
    """A method whose scores rank by chance needs no other threshold; its note says so."""
    made = run(threshold=USELESS, metrics=Metrics(image_auroc=auroc))
    notes = notes_of([made, run("other")])
    assert ("--holdout" in notes) == advised
    assert ("No threshold is better where image AUROC is below 60%." in notes) == (not advised)


@pytest.mark.parametrize(("held_out", "rough"), [(3, True), (19, True), (20, False)])
def test_a_threshold_from_few_images_is_called_rough(held_out, rough):
    """Three held-out images suggest a threshold, but not a good one."""
    notes = notes_of([run(held_out_images=held_out)])
    assert f"Kept from training for the threshold: {held_out} of {held_out + 10} training images (caps)." in notes
    assert ("A threshold from fewer than 20 images is rough." in notes) == rough
