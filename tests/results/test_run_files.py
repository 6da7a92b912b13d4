"""Files beside a result: read as they were stored, or refused with the file's name."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import make_result
from runs import run_tiny

from adbench.metrics.metrics import evaluate
from adbench.results import result_file, run_files, store
from adbench.results.image_scores import THRESHOLD_SCORES, ImageScore
from adbench.results.records import Result
from adbench.results.store import RunFolder
from adbench.util.errors import ResultError

HEADER = "path,label,defect,score\n"


@pytest.fixture(scope="module")
def stored(tiny_data, tmp_path_factory) -> tuple[Result, Path]:
    """A run of the tiny method with its folder of results; tests must not change it."""
    results = tmp_path_factory.mktemp("results")
    done = run_tiny(tiny_data, results, "-c", "bolts", "-p", "cpu")
    assert done.exit_code == 0, done.stderr
    (result,) = store.read_all(results).results
    return result, results


@pytest.fixture
def copied(stored, tmp_path) -> tuple[Result, RunFolder]:
    """A copy of it that a test may damage."""
    result, results = stored
    folder = run_files.folder_of(tmp_path, result)
    shutil.copytree(run_files.folder_of(results, result).path, folder.path)
    return result, folder


def test_scores_and_epochs_come_back_as_they_were_stored(copied):
    """Every row of both files is read, and epochs without an evaluation have no metrics."""
    result, folder = copied
    epochs = run_files.read_epochs(folder, result)
    assert len(run_files.read_scores(folder, result)) == result.test_images
    assert [record.number for record in epochs] == [1, 2, 3]
    assert [record.metrics is not None for record in epochs] == [False, True, True]
    assert epochs[-1].metrics == result.metrics
    assert np.isfinite([record.loss for record in epochs]).all()


def test_a_result_holds_the_digests_of_its_files(copied):
    """Scores, epochs and score histograms have one, and a flipped bit in any of them is found."""
    result, folder = copied
    readers = {
        store.SCORES: run_files.read_scores,
        result_file.EPOCHS: run_files.read_epochs,
        store.HISTOGRAMS: run_files.read_histograms,
        THRESHOLD_SCORES: lambda folder, result: run_files.read_good_scores(folder.path, result),
    }
    assert set(result.files) == set(readers)
    for name, read in readers.items():
        read(folder, result)
        data = bytearray((folder.path / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder.path / name).write_bytes(data)
        with pytest.raises(ResultError, match=rf"{name} doesn't fit its result.*--force"):
            read(folder, result)


DAMAGES: dict[str, Callable[[str], str]] = {
    "cut by a row": lambda text: "".join(text.splitlines(True)[:-1]),
    "doubled": lambda text: text + "".join(text.splitlines(True)[1:]),
    "the header alone": lambda text: HEADER,
    "empty": lambda text: "",
    "one row twice instead of another": lambda text: "".join([*(lines := text.splitlines(True))[:-1], lines[1]]),
    "labels exchanged": lambda text: text.replace(",0,", ",x,").replace(",1,", ",0,").replace(",x,", ",1,"),
    "scores negated": lambda text: re.sub(r",(\d\.\d+)$", r",-\1", text, flags=re.MULTILINE),
}


@pytest.mark.parametrize("digest", [True, False], ids=["digest", "0.1"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_scores_that_are_not_those_of_the_result_are_refused(copied, damage, digest):
    """The digest shows it; without one, as in results of 0.1, the number of images and their metrics do."""
    result, folder = copied
    result = result if digest else replace(result, files={})
    run_files.read_scores(folder, result)
    path = folder.path / store.SCORES
    path.write_text(DAMAGES[damage](path.read_text()))
    with pytest.raises(ResultError, match=r"scores\.csv doesn't fit its result"):
        run_files.read_scores(folder, result)


def test_histograms_of_another_run_are_refused(copied):
    """Results of 0.1 have no digest; for histograms of as many images with other scores, the metrics show it."""
    from adbench.metrics.histograms import ScoreHistograms

    result, folder = copied
    result = replace(result, files={})
    histograms = run_files.read_histograms(folder, result)
    assert isinstance(histograms, ScoreHistograms)
    folder.write_histograms(replace(histograms, image_scores=-histograms.image_scores))
    with pytest.raises(ResultError, match=r"evidence\.npz doesn't fit its result: found image_auroc"):
        run_files.read_histograms(folder, result)


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na,1\n",
        f"{HEADER}a,1\n",
        f"{HEADER}a,x,b,1\n",
        f"{HEADER}a,2,b,1\n",
        f"{HEADER}a,1,b,nan\n",
        f"{HEADER}a,1,b,-inf\n",
        f"{HEADER}a,1,b,1e301\n",
        f"{HEADER}a,1,b,\n",
        f"{HEADER}{'a' * 200_000},1,b,1\n",
        f'{HEADER}"a,1,b,1\n',
    ],
)
def test_broken_scores_are_an_error_that_names_the_file(tmp_path, text):
    """Cells that are missing, not numeric, not finite or too long end in one sentence."""
    folder = RunFolder(tmp_path, "d", "c", "m", "r")
    folder.path.mkdir(parents=True)
    with pytest.raises(ResultError, match=r"scores\.csv: found no such file"):
        run_files.read_scores(folder, make_result())
    (folder.path / store.SCORES).write_text(text)
    with pytest.raises(ResultError, match=r"scores\.csv can't be read"):
        run_files.read_scores(folder, make_result())


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: f"{HEADER}{text}".encode("utf-8", "replace")))
def test_no_bytes_break_the_reader(tmp_path_factory, data):
    """Any content of a file gives rows or a ``ResultError``, never another error."""
    folder = RunFolder(tmp_path_factory.mktemp("bytes"), "d", "c", "m", "r")
    folder.path.mkdir(parents=True)
    for name, read in (
        (store.SCORES, run_files.read_scores),
        (result_file.EPOCHS, run_files.read_epochs),
        (store.HISTOGRAMS, run_files.read_histograms),
    ):
        (folder.path / name).write_bytes(data)
        with suppress(ResultError):
            read(folder, make_result())
    (folder.path / THRESHOLD_SCORES).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    with suppress(ResultError):
        run_files.read_good_scores(folder.path, replace(make_result(), files={THRESHOLD_SCORES: digest}))


def test_names_that_look_like_formulas_read_back_exactly(tmp_path):
    """In the file they have an apostrophe, so that no spreadsheet runs them; a negative score stays a number."""
    folder = RunFolder(tmp_path, "d", "c", "m", "r")
    scores = (ImageScore("=cmd|'calc'!A0/1.png", 0, "@good", -0.5), ImageScore("'=x.png", 1, "+crack", 2.0))
    labels, values = [0, 1], [-0.5, 2.0]
    metrics = evaluate(labels=np.array(labels), image_scores=np.array(values))
    result = folder.write_result(replace(make_result(), test_images=2, metrics=metrics), scores, [])
    assert run_files.read_scores(folder, result) == scores
    lines = (folder.path / "scores.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1:] == ["'=cmd|'calc'!A0/1.png,0,'@good,-0.5", "''=x.png,1,'+crack,2.0"]
