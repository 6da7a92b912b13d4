"""Stored results against the present data and code: current, stale with the reason, or unchecked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from made_results import make_result, records_of
from runs import files_in, line_of, metrics_of, only_run
from stored_place import Place, made

from adbench import report
from adbench.api import registry as plugins
from adbench.api.data import Dataset, Task
from adbench.cli import stored as cli_stored
from adbench.cli.main import app
from adbench.results.records import Identity, Result
from adbench.results.store import read_all
from adbench.results.variants import boards
from adbench.run import standing
from adbench.run.reopen import Reopener
from adbench.run.standing import Inspector
from adbench.util import numerics
from adbench.util.digests import Digests
from adbench.util.errors import DataError


def age(place: Place) -> None:
    """Turn the stored run into one of adbench 0.1, which had no identities, also not in names of runs."""
    folder = only_run(place.results)
    facts = json.loads((folder / "result.json").read_text())
    del facts["identity"]
    facts["run"] = "cpu-seed0-01010101"
    (folder / "result.json").write_text(json.dumps(facts))
    folder.rename(folder.with_name(facts["run"]))


def edit(place: Place) -> None:
    text = place.plugin.read_text()
    place.plugin.write_text(text.replace("maps = (self", "maps = -(self"))


# ---------------------------------------------------------------- what counts as another identity


def test_a_run_that_would_come_out_the_same_is_there_already(place):
    """If nothing changed, nothing is computed, and no message appears."""
    assert "already there" in place.run().stderr
    assert place.states() == [("current", "")]
    shown = place.adbench("leaderboard")
    assert "stale" not in shown.stdout + shown.stderr
    assert "unchecked" not in (shown.stdout + shown.stderr).lower()


def test_masks_of_the_same_length_are_another_run(place):
    """Corrected masks give new numbers by the same command; the old ones stay on disk as stale."""
    old = only_run(place.results)
    before = metrics_of(old)
    for number in range(4):
        place.write_mask(number, 44)
    assert place.states() == [("stale", "images or masks changed")]
    said = place.run().stderr
    assert f"computed again, since run {old.name} is stale (images or masks changed)" in " ".join(said.split())
    assert place.states() == [("current", ""), ("stale", "images or masks changed")]
    (new,) = {path.parent for path in place.results.glob("*/*/*/*/result.json")} - {old}
    assert metrics_of(old) == before
    assert metrics_of(new)["pixel_auroc"] < before["pixel_auroc"] - 0.1


@pytest.mark.parametrize("change", ["train image", "test image", "added", "removed", "renamed", "relabelled"])
def test_every_change_of_the_images_makes_a_run_stale(place, change):
    """Contents, names and labels count, for training and test images."""
    test = place.data / "bolts" / "test"
    if change == "train image":
        place.write("train/good", 1, np.full((64, 64, 3), 100, np.uint8))
    elif change == "test image":
        place.write("test/good", 1, np.full((64, 64, 3), 100, np.uint8))
    elif change == "added":
        place.write("test/good", 9, np.full((64, 64, 3), 100, np.uint8))
    elif change == "removed":
        (test / "good" / "1.bmp").unlink()
    elif change == "renamed":
        (test / "good" / "1.bmp").rename(test / "good" / "7.bmp")
    else:
        (test / "spot").rename(test / "dent")
        (place.data / "bolts" / "ground_truth" / "spot").rename(place.data / "bolts" / "ground_truth" / "dent")
    assert place.states() == [("stale", "images or masks changed")]


def test_a_touched_or_copied_data_set_is_the_same(place, tmp_path):
    """Times and folders move no number; the copy is found by --data-root."""
    for path in place.data.rglob("*.bmp"):
        path.touch()
    assert place.states() == [("current", "")]
    place.data.rename(tmp_path / "elsewhere")
    listed = place.adbench("list", "runs", "--format", "json", "--data-root", tmp_path / "elsewhere")
    assert json.loads(listed.stdout)[0]["rows"][0]["state"] == "current"


def test_an_edited_plugin_file_is_another_run(place):
    """Its author sees the numbers of the new code; comments may change."""
    before = metrics_of(only_run(place.results))
    place.plugin.write_text("# a comment\n" + place.plugin.read_text())
    assert "already there" in place.run().stderr
    edit(place)
    assert place.states() == [("stale", "the method's code changed")]
    assert "already there" not in place.run().stderr
    assert place.states() == [("current", ""), ("stale", "the method's code changed")]
    numbers = [metrics_of(path.parent)["pixel_auroc"] for path in place.results.glob("*/*/*/*/result.json")]
    assert sorted(numbers) == pytest.approx(sorted([before["pixel_auroc"], 1 - before["pixel_auroc"]]))


def test_a_stale_run_of_another_evaluation_is_not_what_is_computed_again(place):
    """The run at the input's size is stale as well, but a run at the images' own size doesn't replace it."""
    place.write("train/good", 9, np.full((64, 64, 3), 100, np.uint8))
    assert "computed again" not in place.run("--eval-size", "48").stderr
    assert "computed again" in place.run().stderr


def test_another_number_of_the_numerics_is_another_run(place, monkeypatch):
    """Raising it by hand makes all results stale, besides other reasons."""
    monkeypatch.setattr(numerics, "NUMERICS", numerics.NUMERICS + 1)
    assert place.states() == [("stale", "adbench's own numerics changed")]
    edit(place)
    assert place.states() == [("stale", "the method's code changed, adbench's own numerics changed")]
    place.run()
    assert [state for state, _ in place.states()] == ["current", "stale"]


def test_a_run_of_an_older_adbench_is_stale_where_it_can_be_computed_again(place):
    """Its contents and code are unknown; the same command computes it, and the old one stays."""
    age(place)
    assert place.states() == [("stale", standing.OLDER)]
    place.run()
    assert place.states() == [("current", ""), ("stale", standing.OLDER)]


# ---------------------------------------------------------------- what isn't at hand


def test_without_its_images_or_code_a_run_is_unchecked_and_ranked(place):
    """Merged results, or results on a laptop without the data, count; the table says that they are unchecked."""
    shutil.rmtree(place.data)
    assert place.states() == [("unchecked", "its images are not at hand")]
    place.plugin.unlink()
    assert place.states() == [("unchecked", "its method is not at hand, its images are not at hand")]
    age(place)
    assert place.states() == [("unchecked", f"{standing.OLDER}, its method is not at hand, its images are not at hand")]
    (table,) = json.loads(place.adbench("leaderboard", "--format", "json").stdout)
    assert [row["rank"] for row in table["rows"]] == [1]
    assert any(note.startswith("1 run unchecked: tiny:cpu,epochs=1 (") for note in table["notes"])


def test_code_that_differs_makes_a_run_stale_without_its_images(place):
    """One part that is known to differ is enough."""
    shutil.rmtree(place.data)
    edit(place)
    assert place.states() == [("stale", "the method's code changed")]


def test_images_that_would_take_long_to_read_are_left_unchecked(place, monkeypatch):
    """A command that only shows results doesn't read a data set of many gigabytes that is new here."""
    monkeypatch.setattr(standing, "READ_AT_MOST", 1000)
    monkeypatch.setattr(Digests, "bytes_to_read", lambda self, paths: 2000)
    assert place.states() == [("unchecked", "its images have not been read here yet")]


def test_a_data_set_that_breaks_is_one_that_is_not_at_hand():
    """A foreign reader may raise any error."""

    def load(root: Path, class_name: str) -> Task:
        raise ZeroDivisionError

    registry = plugins.Registry({}, {"folder": Dataset("folder", "", lambda root: [], load)})
    result = replace(
        make_result(), identity=Identity("d", "c", numerics.NUMERICS), command="adbench run --data-root=/x"
    )
    found = Inspector(registry).standing(result)
    assert (found.state, found.reasons) == ("unchecked", (standing.NO_CODE, standing.NO_IMAGES))


# ---------------------------------------------------------------- what is done with stale runs


def test_stale_runs_are_left_out_of_ranking_comparison_and_report(place):
    """One note under each table gives their number, the reason, and what to do."""
    place.run("--seeds", "1,2")
    for number in range(4):
        place.write_mask(number, 44)
    place.run()
    note = (
        "3 stale runs left out (images or masks changed). "
        "The same command computes them again; adbench results stale shows them."
    )
    for words in (["leaderboard"], ["leaderboard", "--by-class"], ["compare", "tiny", "--metric", "aupro"]):
        table = json.loads(place.adbench(*words, "--format", "json").stdout)[0]
        assert table["notes"].count(note) == 1
    assert json.loads(place.adbench("leaderboard", "--format", "json").stdout)[0]["rows"][0]["seeds"] == 1
    page = place.adbench("report", "--no-images")
    assert page.exit_code == 0, page.stderr
    assert note in Path(page.stdout.strip()).read_text(encoding="utf-8")


def test_a_folder_of_stale_runs_alone_says_what_to_do(place):
    """There is nothing to rank: a mistake with a hint, not an empty table."""
    edit(place)
    for words in (["leaderboard"], ["compare", "tiny"], ["report", "--no-images"]):
        done = place.adbench(*words)
        assert done.exit_code == 2
        assert "found 1 stale run (the method's code changed)" in line_of(done)
        assert "adbench list runs" in line_of(done)


def test_people_see_which_run_is_stale_and_why(place):
    """The list marks the run and explains the mark under the table."""
    edit(place)
    shown = place.adbench("list", "runs").stdout
    assert "stale [1]" in shown
    assert "[1] the method's code changed." in shown


def test_stale_runs_are_listed_and_removed(place, monkeypatch):
    """--delete names what it removes, and asks on a terminal; the others stay."""
    none = place.adbench("results", "stale", "--delete")
    assert (none.exit_code, none.stdout) == (0, "")
    assert line_of(none) == f"No run in {place.results} is stale."
    old = only_run(place.results)
    edit(place)
    place.run()
    (table,) = json.loads(place.adbench("results", "stale", "--format", "json").stdout)
    assert [row["run"] for row in table["rows"]] == [old.name]
    monkeypatch.setattr(cli_stored, "is_terminal", lambda: True)
    refused = CliRunner().invoke(app, ["results", "stale", "--delete", "--results", str(place.results)], input="n\n")
    assert refused.exit_code == 1
    assert f"Remove 1 stale run from {place.results}" in refused.stderr
    assert "result.json" in files_in(old)
    monkeypatch.undo()
    done = place.adbench("results", "stale", "--delete")
    assert done.exit_code == 0
    assert done.stderr.splitlines()[-1] == f"Removed 1 of 1 stale run from {place.results}."
    assert not old.exists()
    assert place.states() == [("current", "")]


def test_removing_the_last_run_leaves_no_empty_folders(place):
    """The folders of data set, class and method are removed with it."""
    edit(place)
    assert place.adbench("results", "stale", "--delete", "--yes").exit_code == 0
    assert list(place.results.iterdir()) == []


def test_a_stale_run_that_is_being_computed_stays(place):
    """If another process holds it, the exit code is 1, with a message."""
    edit(place)
    (stored,) = read_all(place.results).results
    folder = standing_folder(place, stored)
    with folder.lock():
        done = place.adbench("results", "stale", "--delete", "--yes")
    assert done.exit_code == 1
    assert "is being computed by another process" in done.stderr
    assert folder.is_finished()


def standing_folder(place: Place, stored):
    from adbench.results.run_files import folder_of

    return folder_of(place.results, stored)


def test_images_of_a_run_are_found_by_their_contents(place):
    """For a gallery a report must not score other images of the same names and lengths."""
    (stored,) = read_all(place.results).results
    registry = plugins.load([place.plugin])
    assert Reopener(registry, [], "cpu").task(stored).class_name == "bolts"
    place.write("test/good", 1, np.full((64, 64, 3), 100, np.uint8))
    with pytest.raises(DataError, match="other images"):
        Reopener(registry, [], "cpu").task(stored)


def test_seeds_of_different_code_are_never_one_row():
    """Two seeds of one code are averaged; other code or other numerics have rows of their own."""
    (table,) = report.leaderboard([made(0, image=0.9), made(1, image=0.8)])
    assert [(row["seeds"], row["image_auroc"]) for row in records_of(table)] == [(2, pytest.approx(0.85))]
    for other in (made(1, "two", image=0.8), made(1, numerics=2, image=0.8), make_result("m", seed=1, image=0.8)):
        (table,) = report.leaderboard([made(0, image=0.9), other])
        rows = records_of(table)
        assert [(row["seeds"], row["image_auroc"]) for row in rows] == [(1, 0.9), (1, 0.8)]
        assert len({row["variant"] for row in rows}) == 2


def test_classes_of_different_code_are_never_one_mean():
    """A mean over classes is one of a single method."""
    (board,) = boards([made(class_name="bolts"), made(class_name="nuts", code="two")])
    assert [list(variant.runs) for variant in board.variants] == [["bolts"], ["nuts"]]


def test_joint_models_of_other_images_of_another_class_are_never_seeds_of_one():
    """The images of each class that a model was trained on count, not those of the scored class alone."""
    protocol = replace(make_result("m").protocol, setting="multi-class", classes=("bolts", "nuts"))

    def joint(seed: int, class_name: str, nuts: str, finished: str) -> Result:
        data = {"bolts": "same", "nuts": nuts}
        identity = Identity(data[class_name], "one", 1, {}, data)
        run = made(seed, class_name=class_name, finished=finished)
        return replace(run, protocol=protocol, identity=identity)

    both = ("bolts", "nuts")
    runs = [joint(0, name, "old", "2024-01-01") for name in both] + [
        joint(1, name, "new", "2024-01-02") for name in both
    ]
    (table,) = report.leaderboard(runs)
    assert [row["seeds"] for row in records_of(table)] == [1]
    assert any("bolts: 1 older run(s) on other images" in note for note in table.notes)


def test_runs_on_images_of_other_content_do_not_compare():
    """Names and lengths may be the same; the newest images count."""
    old = made(0, data="old", finished="2024-01-01")
    (table,) = report.leaderboard([old, made(1, data="new", finished="2024-01-02")])
    assert [row["seeds"] for row in records_of(table)] == [1]
    assert any("1 older run(s) on other images" in note for note in table.notes)
