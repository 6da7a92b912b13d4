"""A stored run at another evaluation size: the numbers and the name that training with that size gives."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from runs import TINY, curve_of, run_tiny

from adbench.api import registry as plugins
from adbench.api.scores import IMAGE_METRICS
from adbench.results.records import Result
from adbench.results.run_files import folder_of
from adbench.results.store import read_all
from adbench.run import reevaluate
from adbench.run.reopen import Reopener
from adbench.run.standing import Inspector
from adbench.util.errors import ResultError

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = ("-c", "bolts", "--device", "cpu", "--amp", "off", "--eval-every", "1", "-o", "epochs=2")


@pytest.fixture(scope="module")
def trained(tiny_data, tmp_path_factory) -> Path:
    """A run of tiny, evaluated at the input's size; tests must not change it."""
    results = tmp_path_factory.mktemp("trained")
    done = run_tiny(tiny_data, results, *WORDS)
    assert done.exit_code == 0, done.stderr
    return results


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    """A copy of it, which a test may change."""
    shutil.copytree(trained, tmp_path / "results")
    return tmp_path / "results"


def evaluate(results: Path, size, data: Path, model: list[Result] | None = None) -> reevaluate.Evaluated:
    registry = plugins.load([TINY])
    return reevaluate.at_size(
        model or list(read_all(results).results), size, results=results,
        reopener=Reopener(registry, [data], "cpu", results=results), inspector=Inspector(registry, [data]),
        say=lambda text: pytest.fail(text), show=lambda what, done, total: None,
    )  # fmt: skip


def test_numbers_and_name_are_those_of_training_at_that_size(copied, tiny_data, tmp_path):
    """Name, metrics, threshold, scores, histograms and protocol are equal, and the pixel metrics did move."""
    (old,) = read_all(copied).results
    (found,) = evaluate(copied, "native", tiny_data).results
    assert run_tiny(tiny_data, tmp_path / "other", *WORDS, "--eval-size", "native").exit_code == 0
    (wanted,) = read_all(tmp_path / "other").results
    assert found.run == wanted.run
    assert (found.metrics, found.threshold, found.protocol) == (wanted.metrics, wanted.threshold, wanted.protocol)
    for name in ("scores.csv", "evidence.npz", "thresholds.csv"):
        assert found.files[name] == wanted.files[name]
    same = ("identity", "options", "content", "fingerprint", "train_images", "last_epoch", "tied_images", "parameters")
    assert [getattr(found, name) for name in same] == [getattr(wanted, name) for name in same]
    assert found.metrics.pixel_ap != old.metrics.pixel_ap
    assert found.metrics.image_auroc == old.metrics.image_auroc
    assert (found.evaluated_from, found.timing) == (old.run, old.timing)
    assert wanted.evaluated_from is None


def test_what_only_training_can_know_is_left_out(copied, tiny_data):
    """Of earlier epochs there is no checkpoint: their pixel metrics, and the oracle of these, are not there."""
    (old,) = read_all(copied).results
    (found,) = evaluate(copied, "native", tiny_data).results
    assert old.evaluations == found.evaluations == 2
    assert [best.metric for best in found.oracle] == list(IMAGE_METRICS)
    assert found.oracle == tuple(best for best in old.oracle if best.metric in IMAGE_METRICS)
    first, last = (line for line in curve_of(folder_of(copied, found)) if line["image_auroc"])
    assert (first["pixel_auroc"], float(last["pixel_auroc"])) == ("", found.metrics.pixel_auroc)


@pytest.mark.slow
def test_a_run_that_was_evaluated_once_keeps_its_whole_oracle(tiny_data, tmp_path):
    """The last epoch is the best one there, at any size, so all metrics and the oracle are those of training."""
    words = ("-c", "bolts", "--device", "cpu", "--amp", "off", "-o", "epochs=1")
    for folder, more in (("one", ()), ("other", ("--eval-size", "48x72"))):
        assert run_tiny(tiny_data, tmp_path / folder, *words, *more).exit_code == 0
    (wanted,) = read_all(tmp_path / "other").results
    (found,) = evaluate(tmp_path / "one", (48, 72), tiny_data).results
    assert (found.run, found.oracle, found.metrics) == (wanted.run, wanted.oracle, wanted.metrics)


def test_the_new_run_is_a_whole_one(copied, tiny_data):
    """It is current, a command with its size reuses it, its checkpoint has the size and its name, and it goes back."""
    (old,) = read_all(copied).results
    (found,) = evaluate(copied, "native", tiny_data).results
    assert Inspector(plugins.load([TINY]), [tiny_data]).standing(found).state == "current"
    again = run_tiny(tiny_data, copied, *WORDS, "--eval-size", "native")
    assert "already there, nothing to compute" in again.stderr
    saved = torch.load(folder_of(copied, found).checkpoint("last"), weights_only=True)
    assert (saved["eval_size"], saved["provenance"]["run"]) == ("native", found.run)
    assert evaluate(copied, "native", tiny_data, [found]).reused
    back = evaluate(copied, (64, 64), tiny_data, [found])
    assert (back.results, back.reused) == ((old,), True)


@pytest.mark.slow
def test_all_classes_of_one_model_are_evaluated_together(tiny_data, tmp_path):
    """A model of several classes has one run at the new size, named as training all of them would."""
    words = ("-c", "all", "--setting", "multi-class", "--device", "cpu", "-o", "epochs=1")
    assert run_tiny(tiny_data, tmp_path, *words).exit_code == 0
    found = evaluate(tmp_path, "native", tiny_data)
    assert [each.class_name for each in found.results] == ["bolts", "nuts"]
    again = run_tiny(tiny_data, tmp_path, *words, "--eval-size", "native")
    assert "already there, nothing to compute" in again.stderr
    first, second = (folder_of(tmp_path, each).checkpoint("last") for each in found.results)
    assert first.samefile(second)
    chosen = read_all(tmp_path).results
    assert [len(model) for model in reevaluate.models_of(chosen[:1], chosen)] == [2]


def test_the_folder_that_the_reader_got_is_stored(copied, tiny_data):
    """Where that folder is itself the class, the data set's root is its parent, which the reader was not given."""
    (found,) = evaluate(copied, "native", tiny_data / "bolts").results
    assert Path(found.data_root.absolute) == tiny_data / "bolts"


# ---------------------------------------------------------------- refused


def test_a_run_without_pixel_metrics_is_refused(copied, tiny_data):
    """The size moves nothing there, and the message says so."""
    (old,) = read_all(copied).results
    pixels = dict.fromkeys(reevaluate.PIXEL_METRICS)
    with pytest.raises(ResultError, match="no metric of pixels: the images have no masks, or the method makes no maps"):
        evaluate(copied, "native", tiny_data, [replace(old, metrics=replace(old.metrics, **pixels))])


def test_a_stale_run_is_refused(copied, tiny_data):
    """A number of other code or images would be no number of this run."""
    (old,) = read_all(copied).results
    with pytest.raises(ResultError, match=r"stale \(the method's code changed\).*Train it again, with --eval-size"):
        evaluate(copied, "native", tiny_data, [replace(old, identity=replace(old.identity, code="other"))])


def test_a_record_that_does_not_give_its_name_is_refused(copied, tiny_data):
    """Without all that named it, the new run would get another name than training gives it."""
    (path,) = copied.glob("*/*/*/*/result.json")
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "eval_every": None}))
    with pytest.raises(ResultError, match="a record that would give the name"):
        evaluate(copied, "native", tiny_data)
    older = {**facts, "eval_every": None, "data_root": None, "command": "adbench run --eval-every 1 -m tiny"}
    path.write_text(json.dumps(older))  # an older adbench had it in the command alone
    assert evaluate(copied, "native", tiny_data).results[0].evaluated_from == facts["run"]


def test_the_rule_of_segf1_stays(tiny_data, tmp_path):
    """A run with --segf1 own is evaluated at its own threshold again, under the name that training gives."""
    words = ("-c", "bolts", "--device", "cpu", "--amp", "off", "-o", "epochs=1", "--holdout", "0.5", "--segf1", "own",
             "--target-false-alarms", "30%")  # fmt: skip
    assert run_tiny(tiny_data, tmp_path / "one", *words).exit_code == 0
    assert run_tiny(tiny_data, tmp_path / "other", *words, "--eval-size", "native").exit_code == 0
    (wanted,) = read_all(tmp_path / "other").results
    (found,) = evaluate(tmp_path / "one", "native", tiny_data).results
    assert found.run == wanted.run
    assert (found.metrics, found.protocol) == (wanted.metrics, wanted.protocol)
    assert (found.protocol.segf1_target, found.segf1_threshold) == (0.3, wanted.threshold.pixel.value)


def test_a_run_that_left_out_other_images_is_refused(tiny_data, tmp_path, monkeypatch):
    """Its metrics at another size would be of other images; with the run's own limit they are of the same."""
    data, results = tmp_path / "data", tmp_path / "results"
    shutil.copytree(tiny_data, data)
    Image.new("RGB", (1200, 900)).save(data / "bolts/test/good/large.png")
    done = run_tiny(data, results, *WORDS, "--max-megapixels", "1", "--skip-bad")
    assert done.exit_code == 0, done.stderr
    with pytest.raises(ResultError, match="found other images that can be read now than then"):
        evaluate(results, "native", data)
    monkeypatch.setenv("ADBENCH_MAX_MEGAPIXELS", "1")
    (found,) = evaluate(results, "native", data).results
    assert [text.partition(":")[0] for text in found.skipped] == ["bolts/test/good/large.png"]
