"""Checkpoints are read intact, or refused with one sentence."""

from __future__ import annotations

import os
import pickle
import warnings

import numpy as np
import pytest
import torch

from adbench.backbones import weights
from adbench.util import torch_files
from adbench.util.errors import CheckpointError, WeightsError


def test_a_dict_comes_back(tmp_path):
    """Its tensors are on the requested device."""
    torch.save({"w": torch.arange(3.0), "epoch": 2}, tmp_path / "a.pt")
    loaded = torch_files.load(tmp_path / "a.pt")
    assert loaded["w"].tolist() == [0, 1, 2]
    assert loaded["epoch"] == 2
    assert torch_files.load(tmp_path / "a.pt", "meta")["w"].device.type == "meta"


def test_what_is_no_checkpoint_is_refused(tmp_path):
    """Missing, empty, a folder, text, a cut archive, and a tensor in place of a dict are refused."""
    path = tmp_path / "a.pt"
    (tmp_path / "folder").mkdir()
    for name, found in (("missing", "no such file"), ("folder", "a folder")):
        with pytest.raises(CheckpointError, match=f"found {found}, wanted a file"):
            torch_files.load(tmp_path / name)
    torch.save({"w": torch.arange(3.0)}, path)
    whole = path.read_bytes()
    for data in (b"", b"text", whole[:-1], whole[: len(whole) // 2], whole[4:]):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"a\.pt (can't be read|is damaged): found .*\. Do this\."):
            torch_files.load(path, hint="Do this")
    torch.save(torch.ones(3), path)
    with pytest.raises(CheckpointError, match="found a Tensor, wanted a dict"):
        torch_files.load(path)


def test_a_damaged_file_is_refused_and_its_replacement_is_not(tmp_path):
    """An intact file doesn't count as intact once it is written to."""
    path = tmp_path / "a.pt"
    torch.save({"w": torch.arange(3.0)}, path)
    whole = path.read_bytes()
    torch_files.load(path)
    place = whole.index(torch.arange(3.0).numpy().tobytes())
    path.write_bytes(whole[: place + 7] + b"\x01" + whole[place + 8 :])
    with pytest.raises(CheckpointError, match=r"a\.pt is damaged: found another content in .* Get the file again"):
        torch_files.load(path)
    path.write_bytes(whole)
    assert torch_files.load(path)["w"].tolist() == [0, 1, 2]


class Runs:
    """An object whose pickle makes a folder."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def hostile(kind, path, place):
    """Write a file that would make the folder ``place`` when it is loaded without care."""
    if kind == "a zip":
        torch.save({"state": {"w": torch.ones(2), "x": Runs(place)}}, path)
    elif kind == "a file of torch 1.5":
        torch.save({"x": Runs(place)}, path, _use_new_zipfile_serialization=False)
    elif kind == "a pickle":
        path.write_bytes(pickle.dumps({"x": Runs(place)}, protocol=2))
    elif kind == "a whole module":
        torch.save(torch.nn.Linear(2, 2), path)
    elif kind == "NumPy":
        torch.save({"x": np.ones(3)}, path)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), path)


@pytest.mark.parametrize("kind", ["a zip", "a file of torch 1.5", "a pickle", "a whole module", "NumPy", "TorchScript"])
@pytest.mark.parametrize(
    ("load", "error"), [(torch_files.load, CheckpointError), (weights.from_file, WeightsError)], ids=["load", "weights"]
)
def test_a_file_with_code_is_refused_without_torchs_advice(kind, load, error, tmp_path):
    """The code is not run; the sentence gives the reason, and not how to switch the safety off."""
    path, place = tmp_path / "a.pt", tmp_path / "made"
    hostile(kind, path, place)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(
            error, match=r"a\.pt holds more than tensors \(.+\) and is refused, since it could run code\."
        ):
            load(path)
    assert not place.exists()


def test_foreign_pickles_are_named_as_such(tmp_path):
    """A pickle of a newer protocol, which torch doesn't read, is a foreign file: no advice, no operand numbers."""
    path = tmp_path / "a.pt"
    path.write_bytes(pickle.dumps({"x": Runs(tmp_path / "made")}, protocol=4))
    for load in (torch_files.load, weights.from_file):
        with pytest.raises((CheckpointError, WeightsError), match=torch_files.FOREIGN) as caught:
            load(path)
        assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "made").exists()


def test_torch_says_nothing_of_its_own(tmp_path):
    """Its warnings about foreign files are hidden; the user gets our sentence."""
    (tmp_path / "a.pt").write_bytes(b"\x80\x02}q\x00.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CheckpointError):
            torch_files.load(tmp_path / "a.pt")
