"""Scoring with a checkpoint: the run's own numbers, and clear messages about a wrong checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import Notes, brightness, job_for, made_method, registry_of, run_one

from adbench import Epoch, Method
from adbench.api import registry as plugins
from adbench.data import image_store
from adbench.results.records import Result
from adbench.results.store import RunFolder
from adbench.run import checkpoint, trial
from adbench.run.job import Job
from adbench.util.errors import CheckpointError, OptionError


@pytest.fixture(scope="module")
def trained(tiny, tiny_data, tmp_path_factory) -> tuple[Job, Result, RunFolder]:
    """A run of the tiny method with an option that no preset has."""
    job = job_for(tiny, tiny_data, tmp_path_factory.mktemp("results"), size=(48, 64), epochs=2, lr=0.2)
    return job, *run_one(tiny, job)


def scored(job: Job, method: Method, path: Path, **more: Any) -> trial.Trial:
    """What a file scores."""
    return trial.run(job, registry_of(method), checkpoint.read(path), **more)


def test_our_last_checkpoint_gives_exactly_the_metrics_of_its_run(tiny, trained, tiny_data, tmp_path):
    """A run's last.pt contains its options: scored from the method's defaults, every digit is the same."""
    _, result, folder = trained
    job = job_for(tiny, tiny_data, tmp_path)
    again = scored(job, tiny, folder.path / "last.pt")
    assert again.metrics == result.metrics
    assert (again.method, again.dataset, again.class_name, again.epoch) == ("tiny", "folder", "bolts", 2)


def test_maps_are_compared_where_the_run_compared_them(tiny, tiny_data, tmp_path):
    """A checkpoint of a run at the images' own size is evaluated there, with a message."""
    job = job_for(tiny, tiny_data, tmp_path, eval_size="native", epochs=1)
    result, folder = run_one(tiny, job)
    again = scored(job_for(tiny, tiny_data, tmp_path), tiny, folder.path / "last.pt")
    assert again.metrics == result.metrics
    assert again.protocol == replace(result.protocol, epoch_policy="the checkpoint's")


def test_a_threshold_is_not_judged_on_other_scores(tiny, tiny_data, tmp_path):
    """It was made for the size of its run; another batch size leaves the scores as they are."""
    result, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path, epochs=1))
    job, registry = job_for(tiny, tiny_data, tmp_path), registry_of(tiny)
    found = [
        trial.run(job, registry, checkpoint.read(folder.path / "last.pt"), changes=changes).threshold
        for changes in ({}, {"batch_size": 2}, {"size": (48, 48)})
    ]
    assert found == [result.threshold, result.threshold, None]


def test_a_threshold_of_another_scale_is_not_used(tiny, tiny_data, tmp_path):
    """A checkpoint with another scale of scores keeps its metrics; a note says why there is no threshold."""
    result, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path, epochs=1))
    saved = torch.load(folder.path / "last.pt", weights_only=True)
    torch.save({**saved, "score_scale": 7}, tmp_path / "old.pt")
    notes = Notes()
    found = trial.run(
        job_for(tiny, tiny_data, tmp_path), registry_of(tiny), checkpoint.read(tmp_path / "old.pt"), watch=notes
    )
    assert found.metrics == result.metrics
    assert found.threshold is None
    assert any("is not used: it was suggested for scores of an older scale of tiny" in note for note in notes.notes)


HALVES = """
from dataclasses import dataclass
import torch
from adbench import Detector, Epoch, Method, Options, Scores, hookimpl

class Half(torch.nn.Module):
    def forward(self, images):
        return images[:, :1, ::2, ::2] * 1

class Halves(Detector):
    def __init__(self, options, device):
        super().__init__(options, device)
        self.net = Half().eval()

    def fit(self, images):
        yield Epoch(1, 1)

    def score(self, batch):
        return Scores(image=batch.features(self.net)[0].amax(dim=(1, 2, 3)))

@hookimpl
def adbench_methods():
    return [Method("halves", "the brightest pixel of every other", Halves, Options)]
"""


def test_features_by_other_code_are_not_used(tiny_data, tmp_path):
    """A checkpoint scored by an edited plugin gets features by the present code, whatever is cached."""
    plugin = tmp_path / "halves.py"

    def metrics(text: str) -> float | None:
        plugin.write_text(text)
        registry = plugins.load([plugin])
        job = job_for(registry.method("halves"), tiny_data, tmp_path / "results")
        if not path.exists():
            run_one(registry.method("halves"), replace(job, results=path.parent))
            next(path.parent.glob("*/*/*/*/last.pt")).rename(path)
        return trial.run(job, registry, checkpoint.read(path)).metrics.image_auroc

    path = tmp_path / "stored" / "model.pt"
    found = [metrics(text) for text in (HALVES, HALVES.replace("* 1", "* -1"), HALVES)]
    assert found[0] == found[2] != found[1]


def test_an_oracle_checkpoint_gives_the_oracle_value(tiny, tiny_data, tmp_path):
    """The oracle's checkpoint gives the value in the result."""
    result, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path, eval_every=1, lr=0.3, keep="oracle"))
    best = next(best for best in result.oracle if best.metric == "pixel_auroc")
    again = trial.run(
        job_for(tiny, tiny_data, tmp_path), registry_of(tiny), checkpoint.read(folder.path / "oracle_pixel_auroc.pt")
    )
    assert (again.metrics.pixel_auroc, again.epoch) == (best.value, best.epoch)


def test_nothing_is_stored(tiny, trained, tiny_data, tmp_path):
    """A trial stores no file in the results folder."""
    scored(job_for(tiny, tiny_data, tmp_path), tiny, trained[2].path / "last.pt")
    assert not list(tmp_path.iterdir())


def test_what_the_user_gives_counts_more_than_what_the_checkpoint_says(tiny, trained, tiny_data, tmp_path):
    """A given value counts even if it is the preset's own: the checkpoint was made with another."""
    _, result, folder = trained
    job = job_for(tiny, tiny_data, tmp_path)
    changed = scored(job, tiny, folder.path / "last.pt", changes={"size": (64, 64)})
    assert changed.metrics != result.metrics
    with pytest.raises(OptionError, match="size"):
        scored(job, tiny, folder.path / "last.pt", changes={"size": (8, 8)})


def test_another_class_than_the_trained_one_is_reported(tiny, trained, tiny_data, tmp_path):
    """Scoring nuts with a model of bolts is allowed, with a message."""
    job = replace(job_for(tiny, tiny_data, tmp_path), class_name="nuts")
    watch = Notes()
    scored(job, tiny, trained[2].path / "last.pt", watch=watch)
    assert len(watch.notes) == 1
    assert "was trained on folder/bolts and is scored on folder/nuts" in watch.notes[0]


def test_a_checkpoint_of_another_method_is_refused(tiny, trained, tiny_data, tmp_path):
    """The message names the other method and gives a hint."""
    other = made_method(lambda detector, images: iter([Epoch(1, 1)]))
    with pytest.raises(CheckpointError, match=r"found method 'tiny', wanted 'made'. Use --method tiny"):
        scored(job_for(other, tiny_data, tmp_path), other, trained[2].path / "last.pt")


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x04\x95", "a list", "half"])
def test_a_file_that_is_no_checkpoint_is_refused(tiny, trained, tiny_data, tmp_path, content):
    """An empty, foreign, cut or otherwise wrong file is one message that names it."""
    path = tmp_path / "model.pt"
    if content == "a list":
        torch.save([1, 2], path)
    elif content == "half":
        whole = (trained[2].path / "last.pt").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint .*model\.pt") as caught:
        scored(job_for(tiny, tiny_data, tmp_path), tiny, path)
    assert "\n" not in str(caught.value)


def test_a_missing_checkpoint_is_named(tiny, tiny_data, tmp_path):
    """The message says that there is no such file."""
    with pytest.raises(CheckpointError, match=r"nowhere\.pt: found no such file"):
        scored(job_for(tiny, tiny_data, tmp_path), tiny, Path("nowhere.pt"))


def test_weights_that_do_not_fit_are_refused(tiny, trained, tiny_data, tmp_path, monkeypatch):
    """For a checkpoint with other shapes the message says that it doesn't fit, before images are decoded."""
    monkeypatch.setattr(image_store, "open_store", lambda *_, **__: pytest.fail("images were decoded"))
    saved = torch.load(trained[2].path / "last.pt", weights_only=True)
    saved["state"]["model"]["weight"] = torch.zeros(5, 3, 1, 1)
    torch.save(saved, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="does not fit Tiny"):
        scored(job_for(tiny, tiny_data, tmp_path), tiny, tmp_path / "model.pt")


def test_a_checkpoint_with_code_in_it_is_not_run(tiny, tiny_data, tmp_path):
    """A pickle that would run a command is refused unread."""
    import pickle

    mark = tmp_path / "was run"

    class Evil:
        def __reduce__(self):
            return Path.touch, (mark,)

    (tmp_path / "model.pt").write_bytes(pickle.dumps({"state": Evil()}))
    with pytest.raises(CheckpointError):
        scored(job_for(tiny, tiny_data, tmp_path), tiny, tmp_path / "model.pt")
    assert not mark.exists()


@pytest.mark.parametrize("place", range(6))
def test_a_damaged_checkpoint_is_refused(tiny, trained, tiny_data, tmp_path, place):
    """A flipped bit in the weights is an error, never another number."""
    _, _, folder = trained
    path, data = tmp_path / "last.pt", bytearray((folder.path / "last.pt").read_bytes())
    weights = torch.load(folder.path / "last.pt", weights_only=True)["state"]["model"]["weight"].numpy().tobytes()
    data[data.index(weights) + 4 * place + 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"last.pt is damaged: found another content in .*data/\d"):
        scored(job_for(tiny, tiny_data, tmp_path), tiny, path)


def test_the_authors_checkpoint_is_completed_on_training_images(tiny_data, tmp_path):
    """A state dict without our mark takes the job's options and is calibrated; ours is not."""
    seen = []
    method = made_method(lambda detector, images: iter([Epoch(1, 1)]), lambda detector, batch: brightness(batch))

    def build(options, device):
        detector = method.build(options, device)
        detector.net = torch.nn.Linear(2, 1)
        detector.calibrate = lambda images: seen.append(
            [sample.path.parent.parent.name for sample in images.store.samples]
        )
        return detector

    theirs = Method("theirs", "", build)
    torch.save({"net": torch.nn.Linear(2, 1).state_dict()}, tmp_path / "authors.pt")
    result = trial.run(
        job_for(theirs, tiny_data, tmp_path), registry_of(theirs), checkpoint.read(tmp_path / "authors.pt")
    )
    assert seen == [["train"] * 6]
    assert result.epoch is None
    assert result.metrics.image_auroc == 1
