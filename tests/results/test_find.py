"""Runs are found by name, by any part that only one run has, and by folder."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_results import make_result

from adbench.results.find import find_checkpoint, find_runs, near
from adbench.results.run_files import folder_of
from adbench.util.errors import ResultError, UnknownNameError, UsageError


@pytest.fixture
def stored(tmp_path):
    """Three runs with their folders: two methods on bolts, one of them on nuts, too."""
    runs = [
        replace(make_result(method, name), run=f"cpu-seed0-{digest}")
        for method, name, digest in (("a", "bolts", "11aa"), ("b", "bolts", "22bb"), ("b", "nuts", "33bb"))
    ]
    for run in runs:
        folder_of(tmp_path, run).path.mkdir(parents=True)
    return runs


@pytest.mark.parametrize("name", ["cpu-seed0-22bb", "22", "0-22bb", "bolts/b", "folder/bolts/b/cpu-seed0-22bb"])
def test_any_part_that_one_run_has_will_do(stored, tmp_path, name):
    """The whole name, its digest, the middle of it, or class and method."""
    assert find_runs(stored, [name], tmp_path) == [stored[1]]


def test_a_folder_and_a_file_in_it_will_do(stored, tmp_path, monkeypatch):
    """A path as the shell completes it works, relative or not, with a slash at the end."""
    place = folder_of(tmp_path, stored[2]).path
    (place / "last.pt").touch()
    monkeypatch.chdir(tmp_path)
    relative = place.relative_to(tmp_path)
    for name in (place, place / "last.pt", f"{place}/", relative, f"./{relative}/", relative.parent):
        assert find_runs(stored, [str(name)], tmp_path) == [stored[2]]


def test_runs_come_once_and_in_their_order(stored, tmp_path):
    """The order and the repetition of the names don't matter."""
    assert find_runs(stored, ["33", "11aa", "nuts"], tmp_path) == [stored[0], stored[2]]


def test_a_whole_name_counts_more_than_a_part(stored, tmp_path):
    """A run is found even if its name is part of another's."""
    longer = replace(stored[0], run="cpu-seed0-11aa-more")
    assert find_runs([*stored, longer], ["cpu-seed0-11aa"], tmp_path) == [stored[0]]


@pytest.mark.parametrize("name", ["bb", "cpu-seed0", "folder/bolts"])
def test_a_part_of_several_runs_is_a_mistake_that_lists_them(stored, tmp_path, name):
    """An ambiguous part is never resolved silently."""
    with pytest.raises(UsageError, match=r"(2|3) runs, wanted words that only one has\. Give .*bolts/b\b"):
        find_runs(stored, [name], tmp_path)


def test_an_unknown_name_is_a_mistake_with_the_nearest_one(stored, tmp_path):
    """For a typing error the message suggests the right name."""
    with pytest.raises(UnknownNameError, match="Did you mean 'cpu-seed0-11aa'"):
        find_runs(stored, ["cpu-seed0-11ab"], tmp_path)


def test_a_run_of_one_model_of_several_classes_is_one_run(tmp_path):
    """Its name, or a part of it, stands for the results of all its classes; a folder for one of them."""
    joint = [
        replace(make_result("tiny", name, setting="multi-class", classes=("bolts", "nuts")), run="cpu-multi-class-77")
        for name in ("bolts", "nuts")
    ]
    for name in ("cpu-multi-class-77", "class-77"):
        assert find_runs(joint, [name], tmp_path) == joint
    place = folder_of(tmp_path, joint[1]).path
    place.mkdir(parents=True)
    assert find_runs(joint, [str(place)], tmp_path) == joint[1:]


def test_a_renamed_folder_is_named_with_its_old_name(stored, tmp_path):
    """The run's name is right there, so it is not called unknown, nor offered as the nearest one."""
    folder_of(tmp_path, stored[2]).write_result(stored[2], [], [])
    old = tmp_path / "folder/nuts"
    moved = old.rename(tmp_path / "folder/renamed")
    place = moved / old.relative_to(old) / "b/cpu-seed0-33bb"
    for name in (place, place / "result.json"):
        with pytest.raises(ResultError, match=r"found the result of run folder/nuts/b/.*, wanted it in .*/nuts/b/"):
            find_runs(stored, [str(name)], tmp_path)


@pytest.mark.parametrize("name", ["cpuseed0", "seed-11aa", "cpu_seed0_11aa"])
def test_names_that_are_a_little_like_it_are_offered(stored, name):
    """A part of a run's name with a typing error has neighbours; a word of something else has none."""
    assert "cpu-seed0-11aa" in near(stored, name)
    assert near(stored, "nowhere.pt") == []


def test_a_lone_checkpoint_is_no_run(stored, tmp_path):
    """What needs the run's result says that the file alone is too little."""
    (tmp_path / "copied.pt").touch()
    with pytest.raises(UsageError, match="found a checkpoint without its result"):
        find_runs(stored, [str(tmp_path / "copied.pt")], tmp_path)


def test_a_checkpoint_is_found_by_file_folder_and_run(tmp_path):
    """A copied file or folder needs no results around it; else the name of a run does."""
    (tmp_path / "copied").mkdir()
    for name in ("model.pt", "copied/last.pt", "copied/result.json"):
        (tmp_path / name).touch()

    def found(name):
        return find_checkpoint(str(tmp_path / name), tmp_path / "results", thing="RUN")

    assert found("model.pt") == tmp_path / "model.pt"
    assert found("copied") == found("copied/result.json") == found("copied/last.pt") == tmp_path / "copied/last.pt"
    with pytest.raises(UsageError, match="RUN: found no such file, and no such run"):
        found("nowhere")
