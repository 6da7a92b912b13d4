"""One task: the files that it stores, and its evaluations."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace

import pytest
import torch
from runs import (
    Notes,
    brightness,
    curve_of,
    files_in,
    job_for,
    made_method,
    one_epoch,
    registry_of,
    run_one,
    scores_of,
)

from adbench import BuildContext, Epoch, Method, Step, UsageError
from adbench.api.scores import METRIC_NAMES
from adbench.data import image_store
from adbench.results import result_file
from adbench.results.protocol_text import protocol_text
from adbench.run import checkpoint, trial
from adbench.run.reopen import Reopener
from adbench.util import devices
from adbench.util.errors import DataError

# ---------------------------------------------------------------- what a run leaves


def test_a_finished_run_leaves_result_scores_curve_and_checkpoints(tiny, tiny_data, tmp_path):
    """A finished run leaves exactly the files of the store, and no state."""
    _, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path))
    assert files_in(folder.path) == {
        "result.json",
        "scores.csv",
        "thresholds.csv",
        "epochs.csv",
        "evidence.npz",
        "last.pt",
    }


def test_the_best_models_on_the_test_set_are_kept_where_asked_for(tiny, tiny_data, tmp_path):
    """With keep="oracle" each metric's best model is stored; without it none is, not even of an earlier start."""
    job = job_for(tiny, tiny_data, tmp_path, eval_every=1, lr=0.3, keep="oracle")
    result, folder = run_one(tiny, job)
    for metric in ("image_auroc", "pixel_auroc", "aupro"):
        (best,) = (each for each in result.oracle if each.metric == metric)
        saved = folder.load_checkpoint(f"oracle_{metric}")
        last = folder.load_checkpoint("last")
        assert saved["epoch"] == best.epoch
        same = all(torch.equal(value, last["state"]["model"][key]) for key, value in saved["state"]["model"].items())
        assert same == (best.epoch == last["epoch"])
    (folder.path / "result.json").unlink()
    run_one(tiny, replace(job, keep="last"))
    assert not folder.has_oracles()


def test_the_last_epochs_model_is_written_once_where_it_is_the_best(tiny, tiny_data, tmp_path):
    """A checkpoint that is both the last and the best is stored once, with its threshold."""
    _, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path, eval_every=0, keep="oracle"))
    assert (folder.path / "last.pt").samefile(folder.path / "oracle_aupro.pt")
    assert folder.load_checkpoint("last")["threshold"]


def test_the_scores_name_every_test_image_with_its_label_and_defect(tiny, tiny_data, tmp_path):
    """scores.csv has a row per test image, with the path below the data root."""
    _, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path, epochs=1))
    rows = list(csv.DictReader(scores_of(folder).splitlines()))
    expected = [f"bolts/test/good/{n:03d}.png" for n in range(3)] + [f"bolts/test/spot/{n:03d}.png" for n in range(4)]
    assert [row["path"] for row in rows] == expected
    assert [(row["label"], row["defect"]) for row in rows] == [("0", "good")] * 3 + [("1", "spot")] * 4
    assert len({float(row["score"]) for row in rows}) == 7


def test_a_result_holds_what_is_needed_to_trust_and_to_redo_it(tiny, tiny_data, tmp_path):
    """A result names versions, options, data, protocol, times, memory, parameters and the command."""
    job = job_for(tiny, tiny_data, tmp_path, seed=3, command="adbench run -m tiny", overrides=(("lr", 0.01),), lr=0.01)
    result, folder = run_one(tiny, job)
    assert folder.read_result() == result
    assert (result.schema, result.method, result.preset, result.seed) == (result_file.SCHEMA, "tiny", "paper", 3)
    assert (result.dataset, result.class_name, result.synthetic) == ("folder", "bolts", False)
    assert (result.options["lr"], result.options["epochs"], result.overrides) == (0.01, 4, {"lr": 0.01})
    assert len(result.fingerprint) == 12
    assert len(result.content) == 64
    assert (result.train_images, result.test_images, result.skipped) == (6, 7, ())
    assert (result.protocol.size, result.protocol.mask_size) == ((64, 64), (64, 64))
    assert (result.protocol.picture_resampling, result.protocol.mask_resampling) == ("lanczos", "nearest")
    assert (result.protocol.epoch_policy, result.protocol.aupro_map) == ("last", "anomaly map")
    assert (result.protocol.backbone, result.protocol.resize) == (None, "stretch")
    found = {name for name in METRIC_NAMES if getattr(result.metrics, name) is not None}
    assert found == {*METRIC_NAMES[:8], "image_fpr95", "pg2", "pb2"}
    assert set(result.undefined) == set(METRIC_NAMES) - found
    assert result.undefined["segf1"] == "no pixel threshold: no held-out or validation images"
    assert result.last_epoch == 4
    assert {best.metric for best in result.oracle} == found
    assert min(result.timing.fit, result.timing.score, result.timing.evaluate) > 0
    assert result.timing.total >= result.timing.fit + result.timing.score + result.timing.evaluate
    assert result.timing.images_per_second > 0
    assert result.peak_memory_bytes > 10**7
    assert result.parameters == 8  # three weights and a bias for each of two outputs
    assert {"torch", "numpy", "FrEIA", "adbench"} <= set(result.environment.packages)
    assert result.environment.device == "cpu"
    assert (result.method_package, result.command) == ("tiny_method.py", "adbench run -m tiny")
    assert result.finished.endswith("+00:00")


def test_checkpoints_carry_the_model_and_not_its_optimiser(tiny, tiny_data, tmp_path):
    """last.pt and the oracles contain options, epoch and weights for scoring, but no optimiser."""
    _, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path, keep="oracle"))
    for name in ("last", "oracle_image_auroc"):
        saved = folder.load_checkpoint(name)
        assert set(saved["state"]) == {"model"}
        assert (saved["method"], saved["class"]) == ("tiny", "bolts")
    assert folder.load_checkpoint("last")["epoch"] == 4


@pytest.mark.parametrize(("every", "evaluated"), [(None, "2 4"), (0, "4"), (1, "1 2 3 4"), (3, "3 4")])
def test_evaluations_come_where_they_are_asked_for_and_always_at_the_end(tiny, tiny_data, tmp_path, every, evaluated):
    """By default evaluations come at milestones, else every N epochs, and always after the last epoch."""
    _, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path, eval_every=every))
    curve = curve_of(folder)
    assert [row["number"] for row in curve] == ["1", "2", "3", "4"]
    assert [row["number"] for row in curve if row["image_auroc"]] == evaluated.split()
    assert all(float(row["loss"]) > 0 and float(row["learning_rate"]) == 0.05 for row in curve)


def test_evaluating_more_often_changes_no_number(tiny, tiny_data, tmp_path):
    """The last epoch scores the same, however often the model was evaluated before."""
    results = [run_one(tiny, job_for(tiny, tiny_data, tmp_path / str(every), eval_every=every)) for every in (0, 1)]
    assert scores_of(results[0][1]) == scores_of(results[1][1])
    assert results[0][0].metrics == results[1][0].metrics
    assert [result.evaluations for result, _ in results] == [1, 4]


def test_an_oracle_is_the_first_best_of_all_evaluated_epochs(tiny, tiny_data, tmp_path):
    """The oracle is the curve's maximum, with the first epoch that reached it."""
    result, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path, eval_every=1, lr=0.3))
    curve = curve_of(folder)
    for best in result.oracle:
        values = [float(row[best.metric]) for row in curve]
        assert best.value == max(values)
        assert best.epoch == values.index(max(values)) + 1


def test_the_same_seed_gives_the_same_scores_bit_for_bit(tiny, tiny_data, tmp_path):
    """On the CPU a seed determines every digit, and another seed gives others."""
    first, again, other = (
        scores_of(run_one(tiny, job_for(tiny, tiny_data, tmp_path / name, seed=seed))[1])
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again
    assert first != other


def test_training_images_looked_at_for_scoring_do_not_move_the_bar(tiny_data, tmp_path):
    """Progress counts training only: one pass over the six training images in each epoch."""

    def fit(detector, images):
        detector.images = images
        for number in (1, 2):
            for _ in images:
                pass
            yield Epoch(number, 2, milestone=True)

    def score(detector, batch):
        for _ in detector.images:
            pass
        return brightness(batch)

    heard = []
    watch = Notes()
    watch.step = lambda done, total: heard.append((done, total))
    method = made_method(fit, score)
    run_one(method, job_for(method, tiny_data, tmp_path), watch)
    assert heard == [(4, 6), (6, 6)] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget a peak")
def test_peak_memory_is_that_of_the_run():
    """Memory that was freed before ``reset_peak_memory`` doesn't count."""
    big = torch.ones(100_000_000)
    del big
    before = devices.peak_memory(torch.device("cpu"))
    devices.reset_peak_memory(torch.device("cpu"))
    assert devices.peak_memory(torch.device("cpu")) < before - 2e8


def test_force_computes_again(tiny, tiny_data, tmp_path):
    """A finished run is read back, and only ``force`` computes it anew."""
    job = job_for(tiny, tiny_data, tmp_path, epochs=1)
    watches = [Notes(), Notes(), Notes()]
    run_one(tiny, job, watches[0])
    run_one(tiny, job, watches[1])
    run_one(tiny, job_for(tiny, tiny_data, tmp_path, epochs=1, force=True), watches[2])
    assert [watch.epochs for watch in watches] == [[1], [], [1]]


def test_skipped_images_are_recorded(tiny, tiny_data, tmp_path):
    """With ``skip_bad`` a broken image is left out and named in the result; otherwise it is an error."""
    import shutil

    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    (data / "bolts/train/good/000.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"000\.png"):
        run_one(tiny, job_for(tiny, data, tmp_path / "results", epochs=1))
    result, _ = run_one(tiny, job_for(tiny, data, tmp_path / "results", epochs=1, skip_bad=True))
    assert result.train_images == 5
    assert [text.partition(":")[0] for text in result.skipped] == ["bolts/train/good/000.png"]


def test_a_mistake_in_building_shows_before_images_are_decoded(tiny_data, tmp_path, monkeypatch):
    """A wrong backbone or missing weights are reported at once, not after minutes of decoding."""
    monkeypatch.setattr(image_store, "open_store", lambda *_, **__: pytest.fail("images were opened"))

    def build(options, device):
        raise UsageError("no such backbone")

    with pytest.raises(UsageError, match="no such backbone"):
        run_one(method := Method("made", "", build), job_for(method, tiny_data, tmp_path))


# ---------------------------------------------------------------- steps within an epoch, context, validation


class Steps(Notes):
    """A watch that writes down the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[int, int]] = []

    def step(self, done: int, total: int) -> None:
        """Keep both numbers."""
        self.steps.append((done, total))


def test_a_method_may_report_its_own_steps(tiny_data, tmp_path):
    """They take the place of the images' in that epoch, are not evaluated or saved, and images come back after it."""

    def fit(detector, images):
        yield Epoch(0, 2)
        for done in (0, 3, 5):
            yield Step(done, 5)
            list(images)
        yield Epoch(1, 2)
        list(images)
        yield Epoch(2, 2)

    watch = Steps()
    method = made_method(fit)
    result, folder = run_one(method, job_for(method, tiny_data, tmp_path), watch)
    assert watch.steps == [(0, 5), (3, 5), (5, 5), (4, 6), (6, 6)]
    assert watch.announced == [(0, 2)]
    assert [record["number"] for record in curve_of(folder)] == ["1", "2"]
    assert result.last_epoch == 2


def test_a_detector_is_built_for_its_context(tiny_data, tmp_path):
    """Device, seed, data set, class and the number of images to train on, also where a checkpoint is scored."""
    seen = []
    method = made_method(one_epoch)

    def build(options, context):
        seen.append(context)
        return method.make(options, context)

    watching = Method("made", "", build)
    job = job_for(watching, tiny_data, tmp_path, seed=5, holdout=0.5)
    result, folder = run_one(watching, job)
    expected = BuildContext(torch.device("cpu"), 5, "folder", ("bolts",), result.train_images)
    assert result.train_images == 3
    trial.run(job, registry_of(watching), checkpoint.read(folder.path / "last.pt"))
    Reopener(registry_of(watching), [tiny_data], "cpu").model(folder)
    assert seen == [expected] * 4  # to train, to look at the checkpoint, to test it, to reopen it


def test_a_validation_of_the_methods_own_is_in_the_protocol(tiny_data, tmp_path):
    """The share that the method splits off is stored with the result and with its checkpoint."""

    def fit(detector, images):
        kept, held_out = images.split(0.25)
        assert len(kept) + len(held_out) == len(images)
        list(kept)
        yield Epoch(1, 1)

    method = made_method(fit)
    job = job_for(method, tiny_data, tmp_path)
    result, folder = run_one(method, job)
    assert result.protocol.validation == 0.25
    assert "0.25 of the training images for validation" in protocol_text(result.protocol)
    tested = trial.run(job, registry_of(method), checkpoint.read(folder.path / "last.pt"))
    assert tested.protocol.validation == 0.25
    other = made_method(one_epoch)
    plain, _ = run_one(other, job_for(other, tiny_data, tmp_path / "plain"))
    assert plain.protocol.validation == 0
    assert "validation" not in protocol_text(plain.protocol)


def test_a_crop_of_resized_images_is_in_the_protocol(tiny_data, tmp_path):
    """What the method saw, how it was resampled, and that the rest of the masks does not count."""
    method = made_method(one_epoch)
    job = job_for(method, tiny_data, tmp_path, resize_to=(80, 80), interpolation="bicubic", eval_size="native")
    result, _ = run_one(method, job)
    assert (result.protocol.size, result.protocol.resize_to) == ((64, 64), (80, 80))
    text = protocol_text(result.protocol)
    assert "64x64 of 80x80 by stretch (bicubic)" in text
    assert "the crop alone" in text
    plain, _ = run_one(method, job_for(method, tiny_data, tmp_path))
    assert "64x64 by stretch (lanczos)" in protocol_text(plain.protocol)
    assert "crop" not in protocol_text(plain.protocol)
