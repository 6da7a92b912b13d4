"""Whether a folder has results, and takes them."""

from __future__ import annotations

import pytest
from made_results import make_result

from adbench.results import writable
from adbench.results.store import RunFolder
from adbench.util.errors import ResultError


def test_a_place_for_results_is_tried_and_left_as_it_was(tmp_path):
    """A folder that doesn't exist yet is not made; one below a file can't be."""
    writable.require_writable(tmp_path / "new/deep")
    assert not list(tmp_path.iterdir())
    assert not writable.has_results(tmp_path)
    result = make_result()
    RunFolder(tmp_path, result.dataset, result.class_name, result.method, result.run).write_result(result, [], [])
    assert writable.has_results(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ResultError, match=r"results folder .*file/deep can't be written: found .*file, a file\."):
        writable.require_writable(tmp_path / "file/deep")
