"""The whole way of many runs: from three folders into one, into a file and out of it, and to a repository."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from made_histograms import LABELS, histograms
from made_repositories import bare, git, own_settings
from made_results import make_result
from runs import adbench
from shared_runs import contents

from adbench.metrics.metrics import evaluate
from adbench.results.image_scores import ImageScore
from adbench.results.records import EpochRecord
from adbench.results.run_files import folder_of
from adbench.util.plain_files import size_of
from adbench.util.sizes import bytes_text

RUNS = [(method, f"class{number}", seed) for method in range(5) for number in range(10) for seed in range(4)]


def make(folders: list[Path]) -> int:
    """Store 200 runs in three folders; every tenth is in two of them. Returns the number of stored runs."""
    count = 0
    for number, (method, class_name, seed) in enumerate(RUNS):
        found = histograms(0.5 + 0.3 * method, number)
        metrics = evaluate(labels=LABELS, image_scores=found.image_scores)
        result = replace(make_result(f"m{method}", class_name, seed=seed), metrics=metrics)
        scores = [
            ImageScore(f"{class_name}/test/{row:03d}.png", int(label), "cut" if label else "good", float(score))
            for row, (label, score) in enumerate(zip(LABELS, found.image_scores, strict=True))
        ]
        epochs = [EpochRecord(4, 4, 0.5, 1e-4, 2.5, metrics)]
        for place in {number % 3, (number + (number % 10 == 0)) % 3}:
            folder_of(folders[place], result).write_result(result, scores, epochs, found)
            count += 1
    return count


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_two_hundred_runs_are_merged_archived_imported_and_published(tmp_path, monkeypatch):
    """All arrive equal to the byte; seconds and sizes are printed with ``pytest -s``."""
    monkeypatch.chdir(tmp_path)
    own_settings(tmp_path, monkeypatch)
    assert make([Path("a"), Path("b"), Path("c")]) == 220
    bare(tmp_path / "board.git")
    for words in (
        ("results", "merge", "a", "b", "c"),
        ("results", "archive", "--all", "-o", "results.zip"),
        ("results", "import", "results.zip", "--results", "imported"),
        ("publish", "--to", "board.git", "--results", "imported"),
        ("publish", "--to", "board.git", "--results", "imported"),
    ):
        start = time.perf_counter()
        done = adbench(*words)
        assert done.exit_code == 0, done.stderr
        print(f"\nadbench {' '.join(words)}: {time.perf_counter() - start:.1f} s")
    own = contents(Path("results"))
    assert len(own) == 200 * 4
    assert contents(Path("imported")) == own
    git(tmp_path, "clone", "--quiet", "board.git", "got")
    published = contents(Path("got/results"))
    assert published.pop(".gitattributes")
    assert published == own
    sizes = {name: bytes_text(size_of(Path(name))) for name in ("results", "results.zip", "board.git", "got/docs")}
    print(", ".join(f"{name}: {size}" for name, size in sizes.items()))
