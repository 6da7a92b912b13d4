"""A file is kept if it scores as its model does, and otherwise nothing is left of it."""

from __future__ import annotations

import pytest
import torch

from adbench.run.export import job, writers
from adbench.run.export.runners import open_file
from adbench.util.errors import UsageError


def plan_for(path, **changes):
    return job.Plan(**{"target": "torch", "output": path, "input": "uint8", "image_size": None, "class_name": "bolts",
                       **changes})  # fmt: skip


@pytest.mark.slow
def test_a_file_is_written_with_its_proof(model, samples, tmp_path):
    """It runs without its model, its metadata are those of the run, and nothing else is in the folder."""
    made = job.export(model, samples, plan_for(tmp_path / "a.pt2", image_size=(80, 80)))
    assert made.check.problem == ""
    assert made.files == (tmp_path / "a.pt2",)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.pt2"]
    facts = open_file(tmp_path / "a.pt2", 1, trust=True).facts
    assert facts == made.facts
    assert (facts.method, facts.run, facts.threshold) == (
        "tiny", model.saved.provenance.run, model.threshold("bolts").value,
    )  # fmt: skip
    assert facts.provenance["data"] == model.saved.provenance.data


@pytest.mark.parametrize("accept", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_file_that_scores_otherwise_is_refused(model, samples, tmp_path, accept, monkeypatch):
    """An older file stays, unless the new one is accepted."""

    class Louder(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, images):
            score, found = self.module(images)
            return score * 1.02, found

    own = model.detector.module()
    monkeypatch.setattr(model.detector, "module", lambda: Louder(own))
    (tmp_path / "a.pt2").write_bytes(b"older")
    made = job.export(model, samples, plan_for(tmp_path / "a.pt2", accept=accept))
    assert "of their spread" in made.check.problem
    assert bool(made.files) == accept
    assert ((tmp_path / "a.pt2").read_bytes() == b"older") != accept
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "target", "words"),
    [("a.onnx", "torch", "wanted '.pt2' for torch"), ("folder.pt2", "torch", "a folder"), ("a.xml", "onnx", "'.onnx'")],
)
def test_plans_that_cannot_be_carried_out(tmp_path, name, target, words):
    """The end of a name belongs to its format, and a folder is no file."""
    (tmp_path / "folder.pt2").mkdir()
    with pytest.raises(UsageError, match=words):
        plan_for(tmp_path / name, target=target).require()


def test_a_missing_package_is_an_error_with_the_install_line(tmp_path, monkeypatch):
    """Before anything is traced."""
    monkeypatch.setattr(writers, "find_spec", lambda name: None if name == "openvino" else object())
    with pytest.raises(UsageError, match=r"found no openvino\. pip install -e"):
        plan_for(tmp_path / "a.xml", target="openvino").require()
