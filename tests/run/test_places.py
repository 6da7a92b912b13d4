"""Where a run's images are looked for: where they lay, and beside results that moved with them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import make_result

from adbench.api import registry as plugins
from adbench.results.records import DataRoot
from adbench.results.store import read_all
from adbench.run import places
from adbench.run.reopen import Reopener
from adbench.run.standing import Inspector
from adbench.util.errors import DataError


def test_a_place_is_stored_absolute_and_relative(tmp_path, monkeypatch):
    """Both are made from what the user typed, wherever the command was started."""
    monkeypatch.chdir(tmp_path)
    wanted = DataRoot(str(tmp_path / "data" / "parts"), "../data/parts")
    assert places.data_root(Path("data/parts"), Path("results")) == wanted
    assert places.data_root(tmp_path / "data" / "parts", tmp_path / "results") == wanted


NAMES = st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join)


@settings(max_examples=50)
@given(NAMES, NAMES, NAMES)
def test_folders_that_move_together_are_found(data, results, elsewhere):
    """Wherever both folders are moved by the same way, the relative place leads from one to the other."""
    stored = places.data_root(Path("/old") / data, Path("/old") / results)
    result = replace(make_result(), data_root=stored, command="")
    new = Path("/new") / elsewhere
    assert places.of_data(result, new / results) == [Path("/old") / data, new / data]


def test_places_are_tried_in_order_and_once():
    """First where they lay, then beside the results, then what the command says; older results have that alone."""
    result = replace(make_result(), data_root=DataRoot("/a/data", "../data"), command="adbench run --data-root data")
    assert places.of_data(result, Path("/b/results")) == [Path("/a/data"), Path("/b/data"), Path("data")]
    assert places.of_data(result, Path("/a/results")) == [Path("/a/data"), Path("data")]
    assert places.of_data(result, None) == [Path("/a/data"), Path("data")]
    assert places.of_data(replace(result, data_root=None), Path("/b/results")) == [Path("data")]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("adbench run --data-root 'a b' -m x", ["a b"]),
        ("adbench run --data-root=c --data-root d", ["c", "d"]),
        ("adbench run --data-root", []),
        ("adbench run --data-root 'a", []),
        ("", []),
    ],
)
def test_folders_are_found_in_a_command(command, expected):
    """Both ways to write an option are parsed; text that is no command line names nothing."""
    assert places.named_in(command, "--data-root") == expected


# ---------------------------------------------------------------- stored runs


def test_a_run_finds_its_images_from_any_folder(place, tmp_path, monkeypatch):
    """A relative --data-root of the command means nothing elsewhere; the stored place does."""
    (stored,) = read_all(place.results).results
    relative = replace(stored, command="adbench run --data-root data")
    monkeypatch.chdir(tmp_path)
    registry = plugins.load([place.plugin])
    assert Reopener(registry, [], "cpu").task(relative).root == place.data
    with pytest.raises(DataError):
        Reopener(registry, [], "cpu").task(replace(relative, data_root=None))


def test_results_that_moved_with_their_data_are_current(place, tmp_path):
    """The images are found beside the results, for the standing and for galleries; without the folder they are not."""
    moved = tmp_path / "moved"
    shutil.move(place.folder, moved)
    (stored,) = read_all(moved / "results").results
    registry = plugins.load([moved / "mine.py"])
    assert Inspector(registry, results=moved / "results").standing(stored).state == "current"
    assert Reopener(registry, [], "cpu", results=moved / "results").task(stored).root == moved / "data"
    assert Inspector(registry).standing(stored).reason == "its images are not at hand"
