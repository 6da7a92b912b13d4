"""One task: what it leaves on disk, how it goes on after a break, and what it refuses from a method."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import TINY, Notes, brightness, files_in, job_for, made_method, run_one

from adbench import Detector, Epoch, Method, Scores, UsageError, engine, evaluation, plugins, session, store
from adbench.errors import DataError, TaskError
from adbench.types import METRIC_NAMES


@pytest.fixture(scope="module")
def tiny() -> Method:
    return plugins.load([TINY]).method("tiny")


def one_epoch(detector, images):
    yield Epoch(1, 1)


def scores_of(folder: store.RunFolder) -> str:
    return (folder.path / "scores.csv").read_text()


def curve_of(folder: store.RunFolder) -> list[dict[str, str]]:
    with (folder.path / "epochs.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


# ---------------------------------------------------------------- what a run leaves


def test_a_finished_run_leaves_result_scores_curve_and_checkpoints(tiny, tiny_data, tmp_path):
    """A finished run leaves exactly the files that the store promises, and no state to go on from."""
    _, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path))
    oracles = {f"oracle_{name}.pt" for name in ("image_auroc", "pixel_auroc", "aupro")}
    assert files_in(folder.path) == {"result.json", "scores.csv", "epochs.csv", "evidence.npz", "last.pt", *oracles}


def test_the_scores_name_every_test_picture_with_its_label_and_defect(tiny, tiny_data, tmp_path):
    """scores.csv has a row per test picture, with the path below the data root."""
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
    assert (result.schema, result.method, result.preset, result.seed) == (store.SCHEMA, "tiny", "paper", 3)
    assert (result.dataset, result.class_name, result.synthetic) == ("folder", "bolts", False)
    assert (result.options["lr"], result.options["epochs"], result.overrides) == (0.01, 4, {"lr": 0.01})
    assert len(result.fingerprint) == 12
    assert len(result.content) == 64
    assert (result.train_images, result.test_images, result.skipped) == (6, 7, ())
    assert (result.protocol.size, result.protocol.mask_size) == ((64, 64), (64, 64))
    assert (result.protocol.picture_resampling, result.protocol.mask_resampling) == ("lanczos", "nearest")
    assert (result.protocol.epoch_policy, result.protocol.aupro_map) == ("last", "anomaly map")
    assert (result.protocol.backbone, result.protocol.resize) == (None, "stretch")
    assert all(getattr(result.metrics, name) is not None for name in METRIC_NAMES)
    assert result.last_epoch == 4
    assert {best.metric for best in result.oracle} == set(METRIC_NAMES)
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
    """last.pt and the oracles are made to score with: options, epoch and weights, no optimiser."""
    result, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path))
    last = folder.load_checkpoint("last")
    assert set(last["state"]) == {"model"}
    assert (last["epoch"], last["method"], last["class"]) == (4, "tiny", "bolts")
    best = {each.metric: each.epoch for each in result.oracle}
    assert folder.load_checkpoint("oracle_image_auroc")["epoch"] == best["image_auroc"]


@pytest.mark.parametrize(("every", "evaluated"), [(None, "2 4"), (0, "4"), (1, "1 2 3 4"), (3, "3 4")])
def test_evaluations_come_where_they_are_asked_for_and_always_at_the_end(tiny, tiny_data, tmp_path, every, evaluated):
    """By default evaluations come at milestones, else every N epochs; after the last one in any case."""
    _, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path, eval_every=every))
    curve = curve_of(folder)
    assert [row["number"] for row in curve] == ["1", "2", "3", "4"]
    assert [row["number"] for row in curve if row["image_auroc"]] == evaluated.split()
    assert all(float(row["loss"]) > 0 and float(row["learning_rate"]) == 0.05 for row in curve)


def test_evaluating_more_often_changes_no_number(tiny, tiny_data, tmp_path):
    """The last epoch scores the same however often the model was evaluated before."""
    results = [run_one(tiny, job_for(tiny, tiny_data, tmp_path / str(every), eval_every=every)) for every in (0, 1)]
    assert scores_of(results[0][1]) == scores_of(results[1][1])
    assert results[0][0].metrics == results[1][0].metrics
    assert [result.evaluations for result, _ in results] == [1, 4]


def test_an_oracle_is_the_first_best_of_all_evaluated_epochs(tiny, tiny_data, tmp_path):
    """What is marked as oracle is the curve's maximum, with the epoch where it was reached first."""
    result, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path, eval_every=1, lr=0.3))
    curve = curve_of(folder)
    for best in result.oracle:
        values = [float(row[best.metric]) for row in curve]
        assert best.value == max(values)
        assert best.epoch == values.index(max(values)) + 1


def test_the_same_seed_gives_the_same_scores_bit_for_bit(tiny, tiny_data, tmp_path):
    """On the CPU a seed decides every digit, and another seed gives other ones."""
    first, again, other = (
        scores_of(run_one(tiny, job_for(tiny, tiny_data, tmp_path / name, seed=seed))[1])
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again
    assert first != other


def test_force_computes_again(tiny, tiny_data, tmp_path):
    """A finished run is read back, and only ``force`` computes it anew."""
    job = job_for(tiny, tiny_data, tmp_path, epochs=1)
    watches = [Notes(), Notes(), Notes()]
    run_one(tiny, job, watches[0])
    run_one(tiny, job, watches[1])
    run_one(tiny, job_for(tiny, tiny_data, tmp_path, epochs=1, force=True), watches[2])
    assert [watch.epochs for watch in watches] == [[1], [], [1]]


def test_skipped_pictures_are_recorded(tiny, tiny_data, tmp_path):
    """With ``skip_bad`` a broken picture is left out and named in the result; without, it is an error."""
    import shutil

    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    (data / "bolts/train/good/000.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"000\.png"):
        run_one(tiny, job_for(tiny, data, tmp_path / "results", epochs=1))
    result, _ = run_one(tiny, job_for(tiny, data, tmp_path / "results", epochs=1, skip_bad=True))
    assert result.train_images == 5
    assert [text.partition(":")[0] for text in result.skipped] == ["bolts/train/good/000.png"]


def test_a_mistake_in_building_shows_before_pictures_are_decoded(tiny_data, tmp_path, monkeypatch):
    """A wrong backbone or missing weights are told at once, not after minutes of decoding."""
    monkeypatch.setattr(engine.pictures, "open_store", lambda *_, **__: pytest.fail("pictures were opened"))

    def build(options, device):
        raise UsageError("no such backbone")

    with pytest.raises(UsageError, match="no such backbone"):
        run_one(method := Method("made", "", build), job_for(method, tiny_data, tmp_path))


# ---------------------------------------------------------------- going on after a break


def stopped(method: Method, job, watch=None) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_one(method, job, watch)


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4])
def test_a_run_broken_off_in_any_epoch_ends_in_the_same_numbers(tiny, tiny_data, tmp_path, monkeypatch, stop_at):
    """Broken off and started again, a run goes on after its last finished epoch and ends as an unbroken one."""
    broken = job_for(tiny, tiny_data, tmp_path / "broken", stop_at=stop_at, eval_every=1)
    stopped(tiny, broken)
    monkeypatch.setenv("TINY_SURVIVES", "1")
    watch = Notes()
    result, folder = run_one(tiny, broken, watch)
    whole, whole_folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path / "whole", stop_at=stop_at, eval_every=1))
    assert watch.notes == ([f"tiny bolts: going on after epoch {stop_at - 1}"] if stop_at > 1 else [])
    assert watch.announced == [(stop_at - 1, 4)]
    assert watch.epochs == list(range(stop_at, 5))
    assert result.metrics == whole.metrics
    assert result.oracle == whole.oracle
    assert scores_of(folder) == scores_of(whole_folder)
    same = ("number", "loss", "learning_rate", *METRIC_NAMES)
    pairs = zip(curve_of(folder), curve_of(whole_folder), strict=True)
    assert all(row[name] == other[name] for row, other in pairs for name in same)
    assert "state.pt" not in files_in(folder.path)


def test_states_are_saved_so_rarely_that_they_cost_little(tiny, tiny_data, tmp_path, monkeypatch):
    """A slow save is not repeated after each quick epoch, and a run broken off then still ends the same."""
    saved = []
    plain = store.RunFolder.save_checkpoint

    def slow(folder, name, payload):
        if name == "state":
            saved.append(payload["epoch"])
            later = session.time.monotonic() + 30
            monkeypatch.setattr(session.time, "monotonic", lambda: later)
        plain(folder, name, payload)

    monkeypatch.setattr(store.RunFolder, "save_checkpoint", slow)
    run_one(tiny, job_for(tiny, tiny_data, tmp_path))
    assert saved == [1, 4]


def test_a_run_broken_off_while_it_is_stored_is_not_trained_again(tiny, tiny_data, tmp_path, monkeypatch):
    """Everything trained and nothing stored: the second go scores again and writes the result."""

    def stop(*_):
        raise KeyboardInterrupt

    job = job_for(tiny, tiny_data, tmp_path / "broken")
    with monkeypatch.context() as patch:
        patch.setattr(store.RunFolder, "write_result", stop)
        stopped(tiny, job)
    watch = Notes()
    result, folder = run_one(tiny, job, watch)
    whole, whole_folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path / "whole"))
    assert watch.epochs == []
    assert (result.metrics, result.last_epoch, result.oracle) == (whole.metrics, 4, whole.oracle)
    assert scores_of(folder) == scores_of(whole_folder)


@pytest.mark.parametrize("announces", [True, False])
@pytest.mark.parametrize("saved", [1, 2])
def test_a_method_that_cannot_go_on_starts_again(tiny_data, tmp_path, saved, announces):
    """A method that always counts from 1 is started anew with a note, and ends as if it had not been broken off."""
    stopping = [True]

    def build(options, device):
        return Forgetful(options, device)

    class Forgetful(Detector):
        def __init__(self, options, device):
            super().__init__(options, device)
            self.level = torch.zeros(1)

        def fit(self, images):
            if announces:
                yield Epoch(0, 3)
            for epoch in range(3):
                for batch in images:
                    self.level = self.level + batch.pictures.mean() * torch.rand(1)
                if epoch == saved and stopping:
                    raise KeyboardInterrupt
                yield Epoch(epoch + 1, 3, loss=1.0)

        def score(self, batch):
            maps = (batch.pictures.mean(dim=1) - self.level).abs()
            return Scores(maps.mean(dim=(1, 2)), maps)

    method = Method("made", "", build)
    job = job_for(method, tiny_data, tmp_path / "broken")
    stopped(method, job)
    stopping.clear()
    watch = Notes()
    _, folder = run_one(method, job, watch)
    _, whole = run_one(method, job_for(method, tiny_data, tmp_path / "whole"))
    assert any("does not go on from a saved state. Starting again" in note for note in watch.notes)
    assert watch.epochs == [1, 2, 3]
    assert scores_of(folder) == scores_of(whole)


@pytest.mark.parametrize("damage", ["no checkpoint", "other parts", "fields missing"])
def test_a_state_that_cannot_be_used_costs_only_its_epochs(tiny, tiny_data, tmp_path, monkeypatch, damage):
    """An unreadable or unfitting state is thrown away with a note, and the run starts again."""
    monkeypatch.delenv("TINY_SURVIVES", raising=False)
    job = job_for(tiny, tiny_data, tmp_path, stop_at=3)
    stopped(tiny, job)
    (path,) = Path(tmp_path).rglob("state.pt")
    state = torch.load(path, weights_only=True)
    if damage == "no checkpoint":
        path.write_bytes(b"garbage")
    elif damage == "other parts":
        torch.save({**state, "detector": {"other": {}}}, path)
    else:
        torch.save({key: value for key, value in state.items() if key != "random"}, path)
    monkeypatch.setenv("TINY_SURVIVES", "1")
    watch = Notes()
    run_one(tiny, job, watch)
    assert watch.notes == ["tiny bolts: the saved state cannot be used. Starting again."]
    assert watch.epochs == [1, 2, 3, 4]


# ---------------------------------------------------------------- what a method must not do


@pytest.mark.parametrize("numbers", [[2], [1, 3], [1, 1], [1, 2, 1], [-1]])
def test_wrong_epoch_numbers_are_refused(tiny_data, tmp_path, numbers):
    """Epochs that skip, repeat or go back are an error that names the method and the epoch wanted."""

    def fit(detector, images):
        for number in numbers:
            for _ in images:
                pass
            yield Epoch(number, 9)

    method = made_method(fit)
    with pytest.raises(TaskError, match=r"made: fit yielded epoch -?\d after epoch \d: wanted epoch \d"):
        run_one(method, job_for(method, tiny_data, tmp_path))


def test_a_fit_that_is_no_generator_or_yields_something_else_is_refused(tiny_data, tmp_path):
    """A fit that returns, or yields a number, gets a message for its author instead of a riddle."""
    for fit, text in (
        (lambda detector, images: None, "made: fit: found a NoneType"),
        (lambda detector, images: iter([0.5]), "made: fit yielded a float: wanted an Epoch"),
    ):
        method = made_method(fit)
        with pytest.raises(TaskError, match=text):
            run_one(method, job_for(method, tiny_data, tmp_path))


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_task(tiny_data, tmp_path, loss):
    """A diverged training is an error with a way out, not a result."""
    method = made_method(lambda detector, images: iter([Epoch(1, 2, loss)]))
    with pytest.raises(TaskError, match=r"made: loss in epoch 1: .*lower learning rate"):
        run_one(method, job_for(method, tiny_data, tmp_path))
    assert not list(Path(tmp_path).rglob("result.json"))


def test_a_fit_that_ends_early_is_scored_at_its_last_epoch(tiny_data, tmp_path):
    """Early stopping: what ranks is the last epoch that was trained, not the last that was evaluated."""

    def fit(detector, images):
        for number in (1, 2, 3):
            yield Epoch(number, 9, milestone=number < 3)

    def score(detector, batch):
        found = brightness(batch)
        return found if detector.epoch == 3 else Scores(-found.image, -found.map)

    method = made_method(fit, score)
    result, folder = run_one(method, job_for(method, tiny_data, tmp_path))
    assert result.last_epoch == 3
    assert result.metrics.image_auroc == 1
    assert {best.metric: best.epoch for best in result.oracle}["image_auroc"] == 3
    assert [row["number"] for row in curve_of(folder)] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda s: Scores(s.image * float("nan"), s.map), "Scores.image: found NaN"),
        (lambda s: Scores(s.image, s.map / 0), "Scores.map: found NaN or infinity"),
        (lambda s: Scores(s.image[:-1], s.map), r"Scores.image: found shape \(3,\), wanted shape \(4,\)"),
        (lambda s: Scores(s.image, s.map[:, :32]), r"Scores.map: found shape \(4, 32, 64\)"),
        (lambda s: Scores(s.image, s.map, s.map[0]), "Scores.region_map: found shape"),
        (lambda s: Scores(None, s.map), "Scores.image: found None"),
        (lambda s: Scores(s.image.tolist(), s.map), "Scores.image: found a list, wanted a tensor"),
        (lambda s: Scores(s.image.double() * 1e300, s.map), "Scores.image: found NaN or infinity"),
        (lambda s: s.map, "score returned a Tensor: wanted Scores"),
    ],
)
def test_scores_that_would_poison_the_metrics_are_refused(tiny_data, tmp_path, wrong, text):
    """NaN, infinity, wrong shapes and types are an error in the method's name."""
    method = made_method(one_epoch, lambda detector, batch: wrong(brightness(batch)))
    with pytest.raises(TaskError, match=f"made: {text}"):
        run_one(method, job_for(method, tiny_data, tmp_path))


def test_maps_for_some_pictures_only_are_refused(tiny_data, tmp_path):
    """A method gives maps for all pictures or for none."""

    def score(detector, batch):
        found = brightness(batch)
        return found if len(batch) == 4 else Scores(found.image)

    method = made_method(one_epoch, score)
    with pytest.raises(TaskError, match=r"made: Scores\.map: found None for some pictures"):
        run_one(method, job_for(method, tiny_data, tmp_path))


def test_a_method_without_maps_has_no_pixel_metrics(tiny_data, tmp_path):
    """A method that does not localise gets its image metrics, and None for the others."""
    method = made_method(one_epoch, lambda detector, batch: Scores(brightness(batch).image))
    result, _ = run_one(method, job_for(method, tiny_data, tmp_path))
    assert result.metrics.image_auroc == 1
    assert (result.metrics.pixel_auroc, result.metrics.aupro) == (None, None)


def test_a_region_map_is_used_for_aupro_and_said_so(tiny_data, tmp_path):
    """Where a method has a map for regions, AUPRO comes from it, and the protocol says which was used."""

    def score(detector, batch):
        found = brightness(batch)
        return Scores(found.image, -found.map, found.map)

    method = made_method(one_epoch, score)
    result, _ = run_one(method, job_for(method, tiny_data, tmp_path))
    assert result.protocol.aupro_map == "region map"
    assert result.metrics.aupro > 0.9
    assert result.metrics.pixel_auroc < 0.1


# ---------------------------------------------------------------- evaluation


def test_scoring_leaves_every_random_generator_as_it_was(tiny_data, tmp_path):
    """A score that draws random numbers does not move the training's ones, in torch, NumPy or Python."""
    drawn = []

    def fit(detector, images):
        for number in (1, 2):
            drawn.append((torch.rand(1).item(), np.random.random(), random.random()))
            yield Epoch(number, 2)

    def score(detector, batch):
        torch.rand(3), np.random.random(3), random.random()
        return brightness(batch)

    method = made_method(fit, score)
    run_one(method, job_for(method, tiny_data, tmp_path / "often", eval_every=1))
    run_one(method, job_for(method, tiny_data, tmp_path / "once", eval_every=0))
    assert drawn[:2] == drawn[2:]


class CountingBackbone:
    """Stands for a frozen network; counts the pictures it looked at."""

    key = "counting backbone"

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """Hand the pictures through."""
        self.seen += len(pictures)
        return [pictures]


def test_throughput_is_measured_with_the_backbone_and_without_the_cache(tiny_data, tmp_path, monkeypatch):
    """Features come from the cache for scores, and are computed for the images per second."""
    backbone = CountingBackbone()
    seen = []

    def score(detector, batch):
        maps = batch.features(backbone)[0].mean(dim=1)
        return Scores(maps.amax(dim=(1, 2)), maps)

    measure = evaluation.images_per_second

    def watched(detector, images, pictures):
        seen.append(backbone.seen)
        return measure(detector, images, pictures)

    monkeypatch.setattr(engine, "images_per_second", watched)

    def fit(detector, images):
        yield Epoch(1, 2)
        yield Epoch(2, 2)

    method = made_method(fit, score)
    result, _ = run_one(method, job_for(method, tiny_data, tmp_path))
    assert seen == [7 + 6]  # two evaluations and a threshold: each of 7 test and 6 training pictures was seen once
    assert backbone.seen == 7 + 6 + 4  # one full batch, and the smaller last one is not measured
    assert result.timing.images_per_second > 0
