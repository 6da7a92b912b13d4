"""Checkpoints read back: whole, or refused with one sentence."""

from __future__ import annotations

import warnings

import pytest
import torch

from adbench.results import torch_files
from adbench.util.errors import CheckpointError


def test_a_dict_comes_back(tmp_path):
    """With its tensors on the device that was asked for."""
    torch.save({"w": torch.arange(3.0), "epoch": 2}, tmp_path / "a.pt")
    loaded = torch_files.load(tmp_path / "a.pt")
    assert loaded["w"].tolist() == [0, 1, 2]
    assert loaded["epoch"] == 2
    assert torch_files.load(tmp_path / "a.pt", "meta")["w"].device.type == "meta"


def test_what_is_no_checkpoint_is_refused(tmp_path):
    """Missing, empty, a folder, text, a cut archive, and a tensor where a dict was wanted."""
    path = tmp_path / "a.pt"
    (tmp_path / "folder").mkdir()
    for name in ("missing", "folder"):
        with pytest.raises(CheckpointError, match="no such file"):
            torch_files.load(tmp_path / name)
    torch.save({"w": torch.arange(3.0)}, path)
    whole = path.read_bytes()
    for data in (b"", b"text", whole[:-1], whole[: len(whole) // 2], whole[4:]):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"a\.pt (can't be read|is damaged): found .*\. Do this\."):
            torch_files.load(path, hint="Do this")
    torch.save(torch.ones(3), path)
    with pytest.raises(CheckpointError, match="found Tensor, wanted a dict"):
        torch_files.load(path)


def test_a_damaged_file_is_refused_and_its_replacement_is_not(tmp_path):
    """What was found whole before doesn't count once the file was written to."""
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


def test_torch_says_nothing_of_its_own(tmp_path):
    """Its warnings about foreign files are kept from the user, who gets our sentence."""
    (tmp_path / "a.pt").write_bytes(b"\x80\x02}q\x00.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CheckpointError):
            torch_files.load(tmp_path / "a.pt")
