"""A note under the table explains a metric that is shown as "-"."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from made_results import footer_of, make_result

from adbench import report
from adbench.api.scores import Metrics
from adbench.report import missing
from adbench.report.confidence import Confidence


def notes(*results, **options) -> list[str]:
    (table,) = report.leaderboard(list(results), **options)
    return [note for note in table.notes if " -: " in note]


def unmasked(method: str = "a", class_name: str = "x"):
    return make_result(method, class_name, pixel=None, aupro=None)


def test_without_masks_the_note_names_the_classes():
    """One line is for all pixel metrics, in the ranking and by class; image metrics that exist need none."""
    assert notes(unmasked()) == ["pixel AUROC, AUPRO -: no masks (x)."]
    assert notes(unmasked(), make_result("a", "y"), by_class=True) == ["pixel AUROC, AUPRO -: no masks (x)."]


def test_one_class_of_labels_is_named():
    """Without good or without defective test images there is no AUROC."""
    assert notes(make_result("a", "x", image=None)) == ["image AUROC -: all test images have the same label (x)."]


def test_a_method_without_maps_is_named_where_others_have_them():
    """The masks exist, since another method has a pixel metric on the class."""
    assert notes(make_result("a"), unmasked("b", "bolts")) == [
        "pixel AUROC, AUPRO -: the method makes no anomaly maps (b)."
    ]


def test_where_nothing_is_missing_nothing_is_said():
    """No note explains what is not there."""
    assert notes(make_result("a"), make_result("b")) == []


def test_a_comparison_explains_its_own_metric():
    """The note is under the table of AUPRO, and not under that of image AUROC."""
    tables = report.compare([unmasked("a"), unmasked("b")], ["a", "b"], metrics=["image_auroc", "aupro"])
    found = [[note for note in table.notes if " -: " in note] for table in tables]
    assert found == [[], ["AUPRO -: no masks (x)."]]


def test_a_mean_over_fewer_seeds_is_told():
    """Where a metric is not defined for one seed's scores, the mean is over the others, and the note says so."""
    seeds = [make_result("a", seed=0), make_result("a", seed=1), make_result("a", seed=2, aupro=None)]
    said = "AUPRO is the mean of the seeds that have it: a bolts 2 of 3."
    (board,) = report.leaderboard(seeds)
    assert said in board.notes
    tables = report.compare([*seeds, make_result("b")], ["a", "b"], metrics=["image_auroc", "aupro"])
    assert [said in table.notes for table in tables] == [False, True]
    whole = report.leaderboard([make_result("a", seed=seed) for seed in range(3)])
    assert not any("seeds that have it" in note for table in whole for note in table.notes)


def test_a_missing_run_is_no_missing_mask():
    """A class that one of the variants lacks is "-", too, and the note on means says so."""
    tables = report.compare([make_result("a", "x"), make_result("a", "y"), make_result("b", "x")], ["a", "b"])
    assert all(any("left out: y (-: no run of that class)" in note for note in table.notes) for table in tables)


def test_pairs_of_an_undefined_metric_are_not_shown(capsys):
    """The table above explains it to people; score histograms are not missing."""
    tables = report.compare([unmasked("a"), unmasked("b")], ["a", "b"], metrics=["aupro"],
                            confidence=Confidence(lambda run: None))  # fmt: skip
    assert [table.audience for table in tables] == ["all", "programs"]
    assert not any("evidence" in note for note in tables[1].notes)


@pytest.mark.parametrize("epoch", [None, 3])
def test_a_trial_explains_its_gaps(epoch):
    """A foreign checkpoint without an epoch, on a class without masks."""
    trial = SimpleNamespace(method="m", dataset="d", class_name="x", synthetic=False, checkpoint="f.pt", epoch=epoch,
                            metrics=Metrics(image_auroc=0.5), threshold=None, tied_images=0, test_images=8,
                            protocol=make_result().protocol, labelled=True)  # fmt: skip
    found = report.trial_table([trial]).notes
    assert "pixel AUROC, AUPRO -: no masks (x)." in found
    assert ("epoch -: the checkpoint doesn't say." in found) is (epoch is None)


def test_a_ranking_explains_only_what_it_shows():
    """A class that doesn't count leaves no "-" in the ranking; a row that has one keeps its note."""
    whole = [make_result("a", "x"), make_result("a", "y", image=None, pixel=None, aupro=None)]
    assert notes(*whole) == []
    assert notes(*whole, metric="aupro") == []
    assert notes(*whole, make_result("b", "x", pixel=None, aupro=None)) == [
        "pixel AUROC, AUPRO -: the method makes no anomaly maps (b)."
    ]


def test_means_over_fewer_classes_are_not_said_to_be_over_all():
    """The row of means names a number only where it is that of every column."""
    results = [make_result("a", "x"), make_result("a", "y"), make_result("a", "z", image=None)]
    (table,) = report.leaderboard(results, by_class=True)
    assert footer_of(table)["class"] == "mean"
    assert "Means are over the 3 classes, but image AUROC over 2, where it is defined." in table.notes
    assert footer_of(report.leaderboard(results[:2], by_class=True)[0])["class"] == "mean (2)"


def test_metrics_that_few_data_sets_define_are_left_to_why():
    """Their reasons are many; a note says where these are, and no wrong one is guessed."""
    one = missing.Scored("padim", "bolts", {"pixel_auroc": 0.9, "aupimo": None, "au_spro": 0.5}.get)
    assert missing.notes([one], ["pixel_auroc", "aupimo", "au_spro"]) == ["AUPIMO -: --why says the reasons."]


def test_a_reason_that_the_run_gave_comes_first():
    """Ignored defects are neither missing masks nor a method without maps, alone and beside another run."""
    known = {"pixel_auroc": "every defect pixel is ignored", "aupro": "every defect pixel is ignored"}
    ignoring = replace(unmasked("b", "bolts"), undefined=known)
    said = ["pixel AUROC, AUPRO -: every defect pixel is ignored (bolts)."]
    assert notes(ignoring) == said
    assert notes(make_result("a"), ignoring) == ["pixel AUROC, AUPRO -: every defect pixel is ignored (bolts)."]
