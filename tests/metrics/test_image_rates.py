from __future__ import annotations

import numpy as np
import pytest
from golden_metrics import GOLDEN, golden
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from adbench.metrics import evaluate
from adbench.metrics.image_rates import presorted_bad, presorted_good

scores = st.lists(st.integers(0, 40), min_size=1, max_size=60)


def of(good, bad):
    labels = np.repeat([0, 1], [len(good), len(bad)])
    return evaluate(labels=labels, image_scores=np.concatenate([good, bad]))


@pytest.mark.parametrize(("case", "prefix"), [("img", ""), ("imgtie", "imgtie_")])
def test_golden_numbers(case, prefix):
    """FPR at 95 % TPR, PG2 and PB2 equal the golden numbers, with ties and without; and so do 5 %."""
    good, bad = GOLDEN[f"{case}_good"], GOLDEN[f"{case}_bad"]
    metrics = of(good, bad)
    assert metrics.image_fpr95 == pytest.approx(golden(f"{case}_fpr95tpr_step"), abs=1e-9)
    assert metrics.pg2 == pytest.approx(golden(f"{prefix}pg2"), abs=1e-9)
    assert metrics.pb2 == pytest.approx(golden(f"{prefix}pb2"), abs=1e-9)
    assert presorted_good(good, bad, 0.05) == pytest.approx(golden(f"{prefix}pg5"), abs=1e-9)
    assert presorted_bad(good, bad, 0.05) == pytest.approx(golden(f"{prefix}pb5"), abs=1e-9)


def test_the_steps_of_a_roc_are_not_joined():
    """With ties the interpolated rate is another one."""
    metrics = of(GOLDEN["imgtie_good"], GOLDEN["imgtie_bad"])
    assert metrics.image_fpr95 != pytest.approx(golden("imgtie_fpr95tpr_interp"), abs=1e-3)


def test_tied_image_scores_count_half():
    """The area is exact where LOCO's own program stores a point inside of equal scores and gives 0.8333 and 0.6667."""
    assert of(GOLDEN["tie_ok"], GOLDEN["tie_nok"]).image_auroc == pytest.approx(golden("tie_auc_exact"), abs=1e-12)
    assert golden("tie_auc_mvtec_script") == pytest.approx(0.8333, abs=1e-4)
    assert of([0.5] * 3, [0.5] * 2).image_auroc == 0.5
    assert golden("tie_all_mvtec_script") == pytest.approx(2 / 3)


@settings(max_examples=12, deadline=None)
@given(scores, scores, st.randoms(use_true_random=False))
def test_fpr95_is_that_of_scikit_learn_and_depends_on_ranks_alone(good, bad, random):
    """It is the first rate of the ROC with enough defects; a rising function and another order change nothing."""
    found = of(good, bad).image_fpr95
    far, tpr, _ = roc_curve(np.repeat([0, 1], [len(good), len(bad)]), good + bad, drop_intermediate=False)
    assert found == pytest.approx(far[np.argmax(np.round(tpr * len(bad)) * 100 >= 95 * len(bad))], abs=1e-12)
    assert of(random.sample([x**3 for x in good], len(good)), [x**3 for x in bad]).image_fpr95 == found


@settings(max_examples=12, deadline=None)
@given(scores, scores)
def test_images_twice_change_no_rate(good, bad):
    """Duplicates of all images change nothing at FPR 95; PG and PB of perfect scores are 1, and of equal ones 0."""
    assert of(good + good, bad + bad).image_fpr95 == of(good, bad).image_fpr95
    perfect = of(good, [value + 41 for value in bad])
    assert (perfect.pg2, perfect.pb2, perfect.image_fpr95) == (1, 1, 0)
    equal = of([1] * len(good), [1] * len(bad))
    assert (equal.pg2, equal.pb2, equal.image_fpr95) == (0, 0, 1)


def test_one_kind_of_images_has_none():
    """Without good or without bad images nothing is defined."""
    assert presorted_good(np.array([]), np.array([1.0])) is None
    metrics = of([1, 2], [])
    assert (metrics.image_fpr95, metrics.pg2, metrics.pb2) == (None, None, None)
