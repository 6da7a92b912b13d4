"""A stored run whose data and code a test may change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from stored_place import Place


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A ``Place`` with one run; tests must not change it."""
    folder = tmp_path_factory.mktemp("stale") / "place"
    Place(folder).run()
    return folder


@pytest.fixture
def place(finished, tmp_path) -> Place:
    """A copy of a ``Place`` with one run, which a test may change."""
    copied = Place(tmp_path / "place")
    shutil.rmtree(copied.data)
    shutil.copytree(finished, tmp_path / "place", dirs_exist_ok=True)
    for path in copied.results.glob("*/*/*/*/result.json"):
        path.write_text(path.read_text().replace(str(finished), str(copied.folder)))
    return copied
