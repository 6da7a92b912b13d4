"""Reproductions: gaps, flags and means, and the choice of the published numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from known_method import PUBLISHED, number
from made_ledgers import CLASSES, known_result, make_ledger

from adbench.report import ledger
from adbench.results.records import DataRoot
from adbench.util.errors import UsageError


def rows(found: ledger.Ledger, metric: str = "image_auroc", policy: str = "last") -> dict[str, ledger.Row]:
    lines = (*found.rows, *found.means)
    return {row.class_name: row for row in lines if (row.metric, row.policy) == (metric, policy)}


@pytest.mark.parametrize(
    ("percent", "flagged"),
    [(99.5, False), (99.51, True), (98.5, False), (98.49, True), (99.0, False), (99.500001, True)],
)
def test_gaps_above_half_a_point_are_flagged(percent, flagged):
    """In either direction, and exactly half a point is not above it, whatever float arithmetic makes of it."""
    found = rows(
        make_ledger([known_result(image=0.99)], [number("bottle", "image_auroc", percent)], classes=["bottle"])
    )
    assert found["bottle"].flagged == found["mean"].flagged == flagged
    assert found["bottle"].gap == pytest.approx(0.99 - percent / 100)


def test_half_a_point_is_never_above_half_a_point():
    """No pair of numbers with two digits that are half a point apart is flagged, and no wider pair is left out."""
    for hundredths in range(0, 9951):
        ours, theirs = hundredths / 10000, (hundredths + 50) / 100 / 100
        assert not ledger.is_flagged(ours - theirs)
        assert ledger.is_flagged(ours - (hundredths + 51) / 100 / 100)


def test_each_policy_meets_ours_of_the_same_kind():
    """The last epoch stands beside the last, the best one beside the oracle, an unknown one beside our last."""
    found = make_ledger([known_result(image=0.9, pixel=0.95, oracle={"image_auroc": 0.97})])
    assert rows(found)["bottle"].ours == 0.9
    best = rows(found, policy="oracle")["bottle"]
    assert (best.ours, best.published, best.source, best.epoch) == (0.97, 1.0, "its log", 7)
    assert rows(found, "pixel_auroc", "unknown")["bottle"].ours == 0.95
    assert {row.metric for row in found.rows} == {"image_auroc", "pixel_auroc", "aupro"}


def test_seeds_are_averaged():
    """Ours is the mean over seeds."""
    found = make_ledger([known_result(image=0.9), known_result(image=0.8, seed=1)])
    assert rows(found)["bottle"].ours == pytest.approx(0.85)
    assert found.seeds == (0, 1)


def test_the_mean_is_over_the_classes_that_both_have():
    """A class without a published number, and one that is not defined here, count in neither mean."""
    results = [known_result("bottle", 0.99), known_result("screw", None), known_result("zipper", 0.5)]
    found = rows(make_ledger(results, classes=["bottle", "screw", "zipper"]))
    assert (found["screw"].ours, found["screw"].published, found["screw"].gap) == (None, pytest.approx(0.994), None)
    assert (found["zipper"].ours, found["zipper"].published, found["zipper"].gap) == (0.5, None, None)
    assert not found["screw"].flagged
    assert not found["zipper"].flagged
    mean = found["mean"]
    assert (mean.classes, mean.ours, mean.published) == (1, 0.99, 0.995)
    assert mean.gap == pytest.approx(-0.005)


def test_nan_is_no_number_of_ours():
    """It makes no gap and no flag, and is not counted in the mean."""
    found = rows(make_ledger([known_result("bottle", math.nan), known_result("screw", 0.994)]))
    assert (found["bottle"].ours, found["bottle"].gap, found["bottle"].flagged) == (None, None, False)
    assert (found["mean"].classes, found["mean"].gap) == (1, pytest.approx(0))


def test_no_class_in_common_makes_an_empty_mean():
    """Without any pair of numbers the mean has neither values nor a gap."""
    mean = rows(make_ledger([known_result("bottle", None)]))["mean"]
    assert (mean.classes, mean.ours, mean.published, mean.gap, mean.flagged) == (0, None, None, None, False)


def test_a_published_mean_alone_is_compared_with_all_classes():
    """It stands beside the mean of all classes of the data set; of fewer there is no gap."""
    both = [known_result("bottle", aupro=0.9), known_result("screw", aupro=0.94)]
    mean = rows(make_ledger(both), "aupro")["mean"]
    assert (mean.ours, mean.published, mean.flagged) == (pytest.approx(0.92), 0.95, True)
    mean = rows(make_ledger(both[:1]), "aupro")["mean"]
    assert (mean.ours, mean.published, mean.gap, mean.flagged) == (0.9, 0.95, None, False)
    assert rows(make_ledger(both), "aupro")["bottle"].published is None


def test_the_record_says_what_was_run():
    """Shared options, digests of the data, environments once each, and what failed."""
    other = known_result("screw", size=(32, 32))
    other = replace(other, environment=replace(other.environment, device_name="another processor"))
    found = make_ledger(
        [known_result(), known_result(seed=1), other], failed={"known · mvtec/zipper · seed 0": "broken"}
    )
    assert found.options == {"amp": "off"}
    assert list(found.data) == ["bottle", "screw"]
    assert [each.device_name for each in found.environments] == ["a processor", "another processor"]
    assert not found.complete
    assert len(found.runs) == 3


# ---------------------------------------------------------------- the published numbers


def test_the_usual_setting_is_that_of_one_class():
    """It is taken where something is published for it, else the setting of the first number; or the one asked for."""
    few = [each for each in PUBLISHED if each.setting == "few-shot"]
    assert ledger.target("known", [*few, *PUBLISHED], "mvtec").setting == "one-class"
    chosen = ledger.target("known", few, "mvtec")
    assert (chosen.setting, chosen.shots) == ("few-shot", 2)
    assert ledger.target("known", PUBLISHED, "mvtec", setting="few-shot", shots=2).numbers == tuple(few)


@pytest.mark.parametrize(
    ("published", "dataset", "choice", "text"),
    [
        (
            PUBLISHED,
            "visa",
            {},
            r"known on visa \(one-class\): found none, wanted one of mvtec \(few-shot, --shots 2\)",
        ),
        (PUBLISHED, "mvtec", {"setting": "few-shot", "shots": 4}, r"few-shot, --shots 4\): found none"),
        ((), "mvtec", {}, "wanted a method with published numbers. Without them, use adbench run"),
        (PUBLISHED, "mvtec", {"source": "theirs"}, "no such source of numbers .* the paper; its log; a quotation"),
    ],
)
def test_nothing_published_is_a_mistake(published, dataset, choice, text):
    """The error names what there is."""
    with pytest.raises(UsageError, match=text):
        ledger.target("known", published, dataset, **choice)


def test_a_source_may_be_named():
    """A part of its name, in any case of letters, leaves the numbers of that source alone."""
    found = ledger.target("known", PUBLISHED, "mvtec", source="ITS log")
    assert {each.source for each in found.numbers} == {"its log"}
    assert list(found.references(CLASSES, {})) == ["image_auroc"]


# ---------------------------------------------------------------- before training


def test_what_gets_no_gap_is_said_before_training():
    """A mean alone gives a gap to all classes together only; a class without a number is named."""
    wanted = ledger.target("known", PUBLISHED, "mvtec")
    some = wanted.lacks(["bottle", "screw"], [*CLASSES, "zipper"], {})
    assert some == [
        "Only the mean over the 3 classes of mvtec is published for AUPRO (last): there will be no gap with 2 of them.",
        "Not published, so without a gap: pixel AUROC (unknown) of screw.",
    ]
    whole = wanted.lacks(CLASSES, CLASSES, {})
    assert whole[0].endswith("is published for AUPRO (last): there will be a gap of the mean alone.")
    assert ledger.target("known", PUBLISHED[:3], "mvtec").lacks(CLASSES, CLASSES, {}) == []


def test_a_ledger_does_not_tell_where_the_images_lie():
    """Its runs are whole but for the folder of the data, which is nobody else's business."""
    result = replace(known_result(), data_root=DataRoot("/home/me/secret", "../secret"))
    assert make_ledger([result]).runs == (replace(result, data_root=None),)
