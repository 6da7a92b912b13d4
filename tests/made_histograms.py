"""Results with score histograms beside them, made from normal scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from made_results import make_result

from adbench.data.ground_truth import GroundTruth
from adbench.metrics.histograms import ScoreHistograms
from adbench.metrics.metrics import evaluate
from adbench.report.confidence import Confidence
from adbench.results.records import Result

LABELS = np.arange(60) >= 30


def histograms(distance: float, seed: int) -> ScoreHistograms:
    """Sixty images whose defects score higher by ``distance`` standard deviations."""
    scores = np.random.default_rng(seed).normal(size=60) + distance * LABELS
    return ScoreHistograms.of(GroundTruth.of(LABELS), [str(number) for number in range(60)], scores)


def made(methods: dict[str, float], seeds: int = 1) -> tuple[list[Result], Confidence]:
    """Results of methods on three classes, by their distances, and the histograms beside them."""
    stored: dict[tuple[str, str, int], ScoreHistograms] = {}
    results = []
    for number, (method, distance) in enumerate(methods.items()):
        for place, name in enumerate(("bolts", "nuts", "rings")):
            for seed in range(seeds):
                found = histograms(distance, 100 * place + 10 * seed + number)
                stored[method, name, seed] = found
                metrics = evaluate(labels=LABELS, image_scores=found.image_scores)
                result = make_result(method=method, class_name=name, seed=seed)
                results.append(replace(result, metrics=metrics))
    return results, Confidence(lambda run: stored.get((run.method, run.class_name, run.seed)))
