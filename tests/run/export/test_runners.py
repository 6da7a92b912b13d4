"""Exported files are loaded, and other files are refused in one message."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from adbench.run.export.runners import open_file, target_of
from adbench.util.errors import UsageError


def test_formats_are_known_by_their_names(tmp_path):
    """Of three formats; anything else is a run."""
    names = ("a.onnx", "a.XML", "a.pt2", "a.pt", "padim")
    assert [target_of(tmp_path / name) for name in names] == ["onnx", "openvino", "torch", None, None]


@pytest.mark.parametrize(("name", "words"), [("a.pt2", "no such file"), ("a.pt", "wanted one of"), ("b.pt2", "loaded")])
def test_files_that_cannot_be_run(tmp_path, name, words):
    """A missing one, one of another format, and one that is broken."""
    (tmp_path / "b.pt2").write_bytes(b"broken")
    with pytest.raises(UsageError, match=words):
        open_file(tmp_path / name, 1, trust=True)


def test_a_file_that_may_run_code_is_opened_only_if_it_is_trusted(tmp_path, monkeypatch):
    """torch.export.load, which unpickles and executes what a .pt2 file holds, is not reached without trust."""
    opened = []

    def load(path: Path, **_: object) -> None:
        opened.append(path)
        raise RuntimeError("code ran")

    monkeypatch.setattr(torch.export, "load", load)
    path = tmp_path / "a.PT2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("serialized_state_dict.pt", b"a pickle")
    with pytest.raises(UsageError, match=r"may run any code.*--trust"):
        open_file(path, 1)
    assert opened == []
    with pytest.raises(UsageError, match="code ran"):
        open_file(path, 1, trust=True)
    assert opened == [path]
