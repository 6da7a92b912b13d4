"""--aux NAME=PATH in the commands: required before anything is decoded, and in the run's identity by content."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import needy_method
import pytest
from PIL import Image
from runs import adbench, line_of, only_run

from adbench import Requirements
from adbench.api import registry
from adbench.api.requirements import examine
from adbench.data import image_store
from adbench.results.store import read_all
from adbench.results.variants import boards
from adbench.run import check_method, parcel
from adbench.run.plan import Plan
from adbench.util.errors import AuxiliaryError, UsageError

NEEDY = Path(needy_method.__file__)


@pytest.fixture
def textures(tmp_path) -> Path:
    folder = tmp_path / "textures"
    folder.mkdir()
    for name in "ab":
        (folder / name).write_bytes(b"x" * 7)
    return folder


def run(data: Path, results: Path, *words: object):
    where = ("-d", "folder", "-c", "bolts", "--data-root", data, "--results", results)
    return adbench("run", "-m", "needy", "--plugin", NEEDY, *where, *words)


def test_a_missing_folder_ends_the_command_before_anything_is_decoded(tiny_data, tmp_path, monkeypatch):
    """One line, exit code 2, and no image opened."""
    monkeypatch.setattr(image_store, "decode_sample", lambda *_: pytest.fail("an image was decoded"))
    done = run(tiny_data, tmp_path)
    assert done.exit_code == 2
    assert "needy needs textures: images that defects are painted from. Give --aux textures=DIR" in line_of(done)


def test_the_content_names_the_run_and_not_the_path(tiny_data, tmp_path, textures):
    """A copied folder is the same run; another file, another name or another content is another one."""
    copied = tmp_path / "copied"
    shutil.copytree(textures, copied)
    (copied / ".DS_Store").write_bytes(b"hidden")
    results = tmp_path / "results"
    assert run(tiny_data, results, "--aux", f"textures={textures}").exit_code == 0
    folder = only_run(results)
    again = run(tiny_data, results, "--aux", f"needy.textures={copied}")
    assert "already there" in again.stderr
    assert only_run(results) == folder

    (copied / "a").write_bytes(b"y" * 7)
    assert run(tiny_data, results, "--aux", f"textures={copied}").exit_code == 0
    (copied / "a").rename(copied / "c")
    assert run(tiny_data, results, "--aux", f"textures={copied}").exit_code == 0
    assert len(list((results / "folder" / "bolts" / "needy").iterdir())) == 3
    labels = [variant.label for board in boards(read_all(results).results) for variant in board.variants]
    assert all(label.startswith("needy:aux.textures=") and len(label) == 31 for label in labels)
    assert len(set(labels)) == 3


def test_a_checkpoint_is_scored_without_it(tiny_data, tmp_path, textures):
    """The state contains what scoring needs; an unknown name is still refused."""
    assert run(tiny_data, tmp_path / "results", "--aux", f"textures={textures}").exit_code == 0
    checkpoint = only_run(tmp_path / "results") / "last.pt"
    stored = json.loads((checkpoint.parent / "result.json").read_text())["metrics"]
    words = ("-m", "needy", "--plugin", NEEDY, "-d", "folder", "--data-root", tiny_data, "--checkpoint", checkpoint)
    tested = adbench("test", *words, "--format", "json")
    assert tested.exit_code == 0
    assert json.loads(tested.stdout)[0]["rows"][0]["image_auroc"] == pytest.approx(stored["image_auroc"])
    refused = adbench("test", *words, "--aux", "texture=x")
    assert refused.exit_code == 2
    assert "unknown auxiliary data 'texture': wanted one of teacher, textures" in line_of(refused)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("textures", "--aux textures: found no path, wanted NAME=PATH"),
        ("textures=", "found no path"),
        ("other.textures=x", "unknown auxiliary data 'other.textures'"),
        ("textures=gone", "--aux textures=gone: found no such file or folder, wanted a folder"),
    ],
)
def test_slips_are_refused(tiny_data, tmp_path, word, text):
    """Each is one line with exit code 2."""
    done = run(tiny_data, tmp_path, "--aux", word)
    assert done.exit_code == 2
    assert text in line_of(done)


def test_an_empty_folder_is_refused(tiny_data, tmp_path):
    """An empty folder is useless, and could not distinguish two runs."""
    (tmp_path / "empty").mkdir()
    done = run(tiny_data, tmp_path / "results", "--aux", f"textures={tmp_path / 'empty'}")
    assert done.exit_code == 2
    assert "found an empty folder, wanted a folder with files" in done.stderr


def test_list_methods_shows_what_is_needed():
    """A second table beside the options' has source, licence and the cost of going without."""
    shown = json.loads(adbench("list", "methods", "needy", "--plugin", NEEDY, "--format", "json").stdout)
    rows = {row["requirement"]: row for row in shown[1]["rows"]}
    assert rows["textures"]["kind"] == "folder"
    assert rows["textures"]["licence"] == "for research only"
    assert "-o textures=none" in rows["textures"]["without"]
    assert len(json.loads(adbench("list", "methods", "random", "--format", "json").stdout)) == 1


def test_check_method_takes_it_too(textures):
    """Without it there is nothing to check; with it all checks pass, including that of reopening without it."""
    where = ("--plugin", NEEDY, "--aux", f"textures={textures}", "--results", textures.parent)
    checked = adbench("check-method", "needy", *where, "-o", "size=32")
    assert checked.exit_code == 0, checked.output
    with pytest.raises(UsageError, match="needy needs textures"):
        check_method.run("needy", plugin_files=[NEEDY])


def test_a_state_that_lacks_what_scoring_needs_is_caught(textures):
    """A report can't reopen a detector that needs auxiliary data to score: check-method says so."""

    class Forgetful(needy_method.Needy):
        def score(self, batch):
            assert self.context.auxiliary["textures"].is_dir()
            return super().score(batch)

    (honest,) = needy_method.adbench_methods()
    method, given = replace(honest, build=Forgetful), {"textures": textures}
    found = check_method.run(method, changes={"size": (32, 32)}, auxiliary=given)
    (failed,) = (each for each in found if each.outcome == "failed")
    assert failed.check == "state saved and loaded scores the same"
    assert failed.reason.startswith("KeyError: 'textures', in test_options_auxiliary.py, line ")


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder with one picture and one file that only looks like one."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (9, 9), (200, 30, 30)).save(folder / "good.png")
    (folder / "text.png").write_text("no picture")
    return folder


@pytest.mark.parametrize("method", ["draem", "glass"])
def test_textures_that_cannot_be_read_end_the_command_before_any_method_trains(
    tiny_data, tmp_path, pictures, monkeypatch, method
):
    """One line with the file and exit code 2, also beside a method that needs none; no image is decoded."""
    monkeypatch.setattr(image_store, "decode_sample", lambda *_: pytest.fail("an image was decoded"))
    (pictures / "good.png").unlink()
    words = ("-d", "folder", "-c", "bolts", "--data-root", tiny_data, "--results", tmp_path / "results", "-p", "cpu")
    done = adbench("run", "-m", f"random,{method}", "--aux", f"textures={pictures}", *words)
    assert done.exit_code == 2
    assert f"--aux textures={pictures}: found no picture that can be read: text.png (no image)" in line_of(done)
    assert not list((tmp_path / "results").rglob("result.json"))


def test_pictures_that_are_passed_over_are_named_once(tiny_data, tmp_path, pictures):
    """For all methods and classes; and the run goes on."""
    words = ("-d", "folder", "-c", "bolts,nuts", "--data-root", tiny_data, "--results", tmp_path / "results")
    small = ("-p", "cpu", "--size", "32", "-o", "epochs=1", "-o", "width=2", "-o", "segmentation_width=2")
    done = adbench("run", "-m", "draem", "--aux", f"textures={pictures}", *words, *small)
    assert done.exit_code == 0, done.stderr
    named = f"Warning: --aux textures={pictures}: 1 of 2 pictures can't be read and is passed over: text.png (no image)"
    assert done.stderr.count(named) == 1


def test_nothing_is_looked_at_where_nothing_is_trained(tiny_data, tmp_path, pictures, monkeypatch):
    """A dry run and a stored result leave the content alone; training looks at it once."""
    seen = []
    monkeypatch.setattr("adbench_plugins.pictures.checked", lambda name, folder: seen.append(folder) or [])
    words = ("run", "-m", "draem", "-d", "folder", "-c", "bolts", "--data-root", tiny_data, "-p", "cpu", "--size", "32")
    small = ("-o", "epochs=1", "-o", "width=2", "-o", "segmentation_width=2", "--aux", f"textures={pictures}")
    where = ("--results", tmp_path / "results")
    assert adbench(*words, *small, *where, "--dry-run").exit_code == 0
    assert seen == []
    for _ in range(2):
        assert adbench(*words, *small, *where).exit_code == 0
    assert seen == [pictures]


def test_each_machine_looks_at_its_own_copy(tiny_data, pictures):
    """An executor's machines are asked before anything is trained; what is wrong on one is said with its file."""
    (pictures / "good.png").unlink()
    found = registry.load()
    method = found.method("draem")
    plan = Plan(
        methods=[method], overrides={"draem": {}}, dataset=found.dataset("folder"), classes=["bolts"],
        data_root=tiny_data, auxiliary={"draem": {"textures": pictures}},
    )  # fmt: skip
    place = parcel.Inspection(tuple(plan.jobs()), pictures)(found, lambda message: None)
    assert [problem for problem in place.problems if "text.png (no image)" in problem] == [*place.problems]
    assert len(place.problems) == 1


def test_a_broken_check_of_a_plugin_is_named(tmp_path):
    """What a plugin raises by mistake is an error about the data that it looked at."""
    broken = replace(needy_method.TEXTURES, check=lambda path, options: 1 // 0)
    with pytest.raises(AuxiliaryError, match=r"--aux textures=.*: found ZeroDivisionError"):
        examine(Requirements(auxiliary=(broken,)), needy_method.NeedyOptions(), {"textures": tmp_path})
