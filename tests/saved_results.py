"""Stores made results with two scores and two epochs, for the tests of the store."""

from __future__ import annotations

from pathlib import Path

from adbench.api.scores import Metrics
from adbench.results.records import EpochRecord, Result
from adbench.results.store import ImageScore, RunFolder

SCORES = [ImageScore("bolts/test/good/ä 1.png", 0, "good", 0.1), ImageScore("bolts/test/cut/2.png", 1, "cut", 1 / 3)]
EPOCHS = [EpochRecord(1, 2, 1.5, 1e-4, 0.5), EpochRecord(2, 2, 1.25, 1e-4, 0.25, Metrics(image_auroc=0.75))]


def folder_for(root: Path, result: Result) -> RunFolder:
    return RunFolder(root, result.dataset, result.class_name, result.method, result.run)


def save(root: Path, result: Result) -> RunFolder:
    folder = folder_for(root, result)
    folder.write_result(result, SCORES, EPOCHS)
    return folder
