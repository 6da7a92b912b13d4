"""What is read of ``result.json``: the numbers that the run stored, all in their ranges."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import make_result

from adbench.api.scores import Metrics, Threshold
from adbench.results import result_file, serialization
from adbench.results.records import EpochRecord
from adbench.results.store import ImageScore, RunFolder, read_all
from adbench.util.errors import ResultError


def stored(root: Path, *, metrics: Metrics | None = None, **changes: Any) -> Path:
    """Store a run, and return the path of its ``result.json``."""
    result = make_result("mine", "caps", oracle={"image_auroc": 0.75}, **changes)
    folder = RunFolder(root, result.dataset, result.class_name, result.method, result.run)
    folder.write_result(
        result, [ImageScore("a.png", 0, "good", 0.5)], [EpochRecord(4, 4, None, None, 1.0, metrics or result.metrics)]
    )
    return folder.path / "result.json"


def change(path: Path, edit: Callable[[dict[str, Any]], object], *, older: bool) -> None:
    """Edit a stored result; ``older`` makes it one of an adbench that stored no digest."""
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    if older:
        del content["digest"]
    path.write_text(json.dumps(content), encoding="utf-8")


EDITS = {
    "metrics.image_auroc 98.5": lambda result: result["metrics"].update(image_auroc=98.5),
    "metrics.pixel_auroc -3": lambda result: result["metrics"].update(pixel_auroc=-3),
    "metrics.aupro inf": lambda result: result["metrics"].update(aupro=float("inf")),
    "oracle.image_auroc 1.01": lambda result: result["oracle"][0].update(value=1.01),
    "threshold.miss_rate 2": lambda result: result.update(
        threshold={"value": 1.0, "rule": "a", "false_alarm_rate": 0.0, "miss_rate": 2}
    ),
    "seed -7": lambda result: result.update(seed=-7),
    "train_images -1": lambda result: result.update(train_images=-1),
    "last_epoch -2": lambda result: result.update(last_epoch=-2),
    "timing.fit -0.5": lambda result: result["timing"].update(fit=-0.5),
}


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("found", EDITS)
def test_numbers_out_of_range_are_refused(tmp_path, found, older):
    """A number that no run stores leaves its result out, and the message names it, also in an older result."""
    path = stored(tmp_path)
    change(path, EDITS[found], older=older)
    with pytest.raises(ResultError, match=f"found {found}"):
        result_file.read(path)
    (problem,) = read_all(tmp_path).problems
    assert str(path) in problem


@pytest.mark.parametrize(
    "edit",
    [
        lambda result: result["metrics"].update(image_auroc=0.9000001),
        lambda result: result["metrics"].update(image_auroc=None),
        lambda result: result["oracle"][0].update(value=0.76),
        lambda result: result["oracle"].clear(),
        lambda result: result.update(seed=1),
        lambda result: result.update(class_name="../../evil"),
        lambda result: result.update(method="yours"),
    ],
)
def test_changed_numbers_are_refused(tmp_path, edit):
    """A number in its range that the run didn't store leaves its result out, and so does one of another run."""
    path = stored(tmp_path)
    change(path, edit, older=False)
    with pytest.raises(ResultError, match="its numbers were changed after the run"):
        result_file.read(path)


@pytest.mark.parametrize("field", ["timing", "protocol", "train_images", "parameters", "files", "options", "preset"])
def test_whatever_a_table_shows_is_sealed(tmp_path, field):
    """A time, a count, an option or a part of the protocol that was changed leaves the result out; a label doesn't."""
    path = stored(tmp_path)
    change(path, lambda result: result.update(label="mine"), older=False)
    assert result_file.read(path).label == "mine"
    other = {"timing": {"fit": 9.5}, "protocol": {"resize": "crop"}, "files": {"epochs.csv": "0"}, "options": {"a": 1}}
    whole = {"train_images": 7, "parameters": 7, "preset": "quick"}

    def edit(result: dict[str, Any]) -> None:
        result[field] = {**result[field], **other[field]} if field in other else whole[field]

    change(path, edit, older=False)
    with pytest.raises(ResultError, match="its numbers were changed after the run, or what they are of"):
        result_file.read(path)


def test_a_digest_of_before_counts(tmp_path):
    """Results whose digest is over the metrics alone are read, and a changed metric is found."""
    path = stored(tmp_path)
    sealed = ["dataset", "class_name", "method", "seed", "metrics", "oracle", "threshold"]

    def reseal(result: dict[str, Any]) -> None:
        text = serialization.canonical([result[name] for name in sealed])
        result["digest"] = hashlib.sha256(text.encode()).hexdigest()
        result["timing"]["fit"] = 9.5

    change(path, reseal, older=False)
    assert result_file.read(path).timing.fit == 9.5
    change(path, lambda result: result["metrics"].update(image_auroc=0.25), older=False)
    with pytest.raises(ResultError, match="or one of dataset, class_name, method, seed"):
        result_file.read(path)


def test_files_of_another_run_beside_a_result_are_seen(tmp_path):
    """A result fits its files until one of them is another one, or gone."""
    path = stored(tmp_path)
    assert result_file.fits_its_files(path)
    path.with_name("epochs.csv").write_text("another", encoding="utf-8")
    assert not result_file.fits_its_files(path)
    path.with_name("epochs.csv").unlink()
    assert not result_file.fits_its_files(path)


def test_metrics_of_older_results_agree_with_their_epoch_curve(tmp_path):
    """Without a digest the last epoch's line must have the metrics; where there is no curve, the result is read."""
    path = stored(tmp_path)
    change(path, lambda _: None, older=True)
    assert result_file.read(path).metrics == make_result().metrics
    change(path, lambda result: result.update(digest=None) or result["metrics"].update(aupro=0.5), older=True)
    with pytest.raises(ResultError, match=r"found metrics\.aupro 0\.5, but 0\.85 in epochs\.csv"):
        result_file.read(path)
    path.with_name("epochs.csv").unlink()
    assert result_file.read(path).metrics.aupro == 0.5


rates = st.none() | st.floats(0, 1)
thresholds = st.none() | st.builds(Threshold, st.floats(allow_nan=False), st.text(), rates, rates)


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(rates, min_size=8, max_size=8),
    threshold=st.none() | thresholds,
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
)
def test_what_a_run_stores_is_read(tmp_path_factory, values, threshold, name):
    """No metrics, threshold or name of a class that a run can have makes its own digest disagree."""
    result = replace(make_result(), metrics=Metrics(*values), threshold=threshold, class_name=name)
    folder = RunFolder(tmp_path_factory.mktemp("results"), "d", name, "m", "r")
    written = folder.write_result(result, [], [])
    assert result_file.read(folder.path / "result.json").digest == written.digest


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[]", "Result is a list, wanted an object"),
        ("null", "Result is null, wanted an object"),
        ("3.5", "Result is a number, wanted an object"),
        ('"text"', "Result is a text, wanted an object"),
        ("{", "no JSON: Expecting property name"),
        ("", "no JSON: Expecting value"),
        ("[" * 100_000, "recursion"),
        ("{}", "Result has no field 'schema'"),
    ],
)
def test_what_is_no_result_is_named_in_plain_words(tmp_path, text, found):
    """A file that holds something else is reported with what it holds, in the words of JSON."""
    path = tmp_path / "result.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ResultError, match=found):
        result_file.read(path)


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("schema", "1", "Result.schema is a text, wanted a whole number"),
        ("schema", True, "Result.schema is true, wanted a whole number"),
        ("metrics", [], "Result.metrics is a list, wanted an object"),
        ("skipped", "a.png", "Result.skipped is a text, wanted a list"),
        ("synthetic", 0, "Result.synthetic is a whole number, wanted true or false"),
        ("overrides", None, "Result.overrides is null, wanted an object"),
    ],
)
def test_a_field_of_another_type_is_named_in_plain_words(tmp_path, field, value, found):
    """The message names the field, its type and the wanted one without Python's names of types."""
    path = stored(tmp_path)
    change(path, lambda result: result.update({field: value}), older=False)
    with pytest.raises(ResultError, match=found):
        result_file.read(path)
