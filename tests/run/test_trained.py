"""A model comes back from its checkpoint alone, wherever the file is copied."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from runs import TINY, job_for, only_run, registry_of, run_one, run_tiny

from adbench.api import registry
from adbench.api.data import Sample
from adbench.data import memory_store
from adbench.results.run_files import read_scores
from adbench.run.predict import describe
from adbench.run.trained import open_model, scoring
from adbench.util.errors import CheckpointError, UsageError


@pytest.fixture(scope="module")
def ran(tiny, tiny_data, tmp_path_factory):
    """A run of the tiny method: its result and its folder."""
    return run_one(tiny, job_for(tiny, tiny_data, tmp_path_factory.mktemp("results"), epochs=1))


def test_a_copied_checkpoint_scores_as_its_run_did(ran, tiny, tiny_data, tmp_path):
    """The file alone, elsewhere, gives each test image the stored score."""
    result, folder = ran
    copied = shutil.copy(folder.checkpoint("last"), tmp_path / "model.pt")
    model = open_model(copied, registry_of(tiny), device="cpu")
    stored = read_scores(folder, result)
    samples = [Sample(tiny_data / each.path) for each in stored]
    found = model.score(memory_store.read(samples, model.framing))
    np.testing.assert_allclose(found.image.numpy(), [each.score for each in stored], rtol=1e-5)
    assert found.maps is not None
    assert found.maps.shape == (len(stored), *model.size)


def test_the_file_has_its_provenance_threshold_and_colours(ran, tiny):
    """They are those of the run: its name, its images, the judged threshold, and a range of map values."""
    result, folder = ran
    model = open_model(folder.checkpoint("last"), registry_of(tiny), device="cpu")
    provenance = model.saved.provenance
    assert provenance is not None
    assert (provenance.run, provenance.data, provenance.code) == (
        result.run, result.identity.data, result.identity.code,
    )  # fmt: skip
    assert provenance.packages["torch"] == result.environment.packages["torch"]
    assert model.threshold("bolts").value == result.threshold.value
    low, high = model.saved.map_scale
    assert low < high


def test_the_class_of_a_model_with_one_needs_no_name(ran, tiny):
    """It is the only one; another name is refused with those that there are."""
    model = open_model(ran[1].checkpoint("last"), registry_of(tiny), device="cpu")
    assert model.class_named(None) == model.class_named("bolts") == "bolts"
    with pytest.raises(UsageError, match="found 'nuts', wanted one of bolts"):
        model.class_named("nuts")


def test_a_model_of_several_classes_wants_a_name(tiny_data, tmp_path):
    """Each class has its own threshold, so none of them is taken by chance."""
    done = run_tiny(tiny_data, tmp_path, "-c", "all", "-o", "epochs=1", "--setting", "multi-class")
    assert done.exit_code == 0, done.stderr
    model = open_model(only_run(tmp_path) / "last.pt", registry.load([TINY]), device="cpu")
    with pytest.raises(UsageError, match=r"found none, wanted one of bolts, nuts\. Give --class NAME"):
        model.class_named(None)
    assert model.threshold("bolts") != model.threshold("nuts")


def test_other_weights_of_the_backbone_are_refused(ran, tiny, tmp_path, monkeypatch):
    """Scores through another network than that of the training would be wrong without a word."""
    saved = torch.load(ran[1].checkpoint("last"), weights_only=True)
    saved["provenance"]["backbone_weights"] = "0123456789ab"
    torch.save(saved, tmp_path / "a.pt")

    class Looked:
        weights_hash = "ba9876543210"

    monkeypatch.setattr(tiny.build, "backbone", Looked(), raising=False)
    with pytest.raises(CheckpointError, match="found weights ba9876543210, wanted weights 0123456789ab"):
        open_model(tmp_path / "a.pt", registry_of(tiny), device="cpu")


@pytest.mark.parametrize(
    ("field", "value"),
    [("run", 3), ("numerics", "1"), ("packages", {"torch": 2}), ("backbone_weights", 1), ("device", None)],
)
def test_an_invalid_provenance_is_refused(ran, tiny, tmp_path, field, value):
    """A file from elsewhere with an odd field is one message that names the field."""
    saved = torch.load(ran[1].checkpoint("last"), weights_only=True)
    saved["provenance"][field] = value
    torch.save(saved, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=f"another '{field}'"):
        open_model(tmp_path / "a.pt", registry_of(tiny), device="cpu")


def test_a_precision_that_is_not_here_becomes_float32(ran, tiny, tmp_path):
    """A model of a GPU with fp16 scores on a CPU, and says how."""
    saved = torch.load(ran[1].checkpoint("last"), weights_only=True)
    saved["options"]["amp"] = "fp16"
    torch.save(saved, tmp_path / "a.pt")
    model = open_model(tmp_path / "a.pt", registry_of(tiny), device="cpu")
    assert model.options.amp == "off"
    assert describe(model).endswith("computed with --amp off, as cpu has no fp16")


def test_an_error_within_a_method_is_one_of_its_checkpoint(tmp_path):
    """Tensors of any shape may be in a file; memory that runs out and the house's own errors stay what they are."""
    path = tmp_path / "last.pt"
    with pytest.raises(CheckpointError, match=r"last\.pt can't be scored by tiny: found Runt"), scoring(path, "tiny"):
        raise RuntimeError("sizes of tensors must match")
    with pytest.raises(UsageError, match="another"), scoring(path, "tiny"):
        raise UsageError("another")
    with pytest.raises(MemoryError), scoring(path, "tiny"):
        raise MemoryError
