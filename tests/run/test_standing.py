"""Stored results against the present data and code: current, stale with the reason, or unchecked."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from made_results import make_result, records_of
from PIL import Image
from runs import TINY, adbench, files_in, line_of, metrics_of, only_run

from adbench import report
from adbench.api import registry as plugins
from adbench.api.data import Dataset, Sample, Task
from adbench.api.options import BackboneOptions
from adbench.cli import stored as cli_stored
from adbench.cli.main import app
from adbench.results.records import Identity
from adbench.results.store import read_all
from adbench.results.variants import boards
from adbench.run import engine, plan, standing
from adbench.run.identity import Identifier, backbone_codes
from adbench.run.job import Job, prepare, run_name
from adbench.run.reopen import Reopener
from adbench.run.standing import Inspector
from adbench.util import digests, numerics
from adbench.util.digests import Digests
from adbench.util.errors import DataError, ResultError, WeightsError


class Place:
    """A class ``bolts`` with masks of a fixed length, a method in its own file, and one stored run of both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.results, self.plugin = folder / "data", folder / "results", folder / "mine.py"
        draw = np.random.default_rng(5)
        for number in range(4):
            self.write("train/good", number, draw.integers(90, 130, (64, 64, 3), dtype=np.uint8))
            self.write("test/good", number, draw.integers(90, 130, (64, 64, 3), dtype=np.uint8))
            bad = draw.integers(90, 130, (64, 64, 3), dtype=np.uint8)
            bad[10:30, 10:30] += 100
            self.write("test/spot", number, bad)
            self.write_mask(number, 10)
        shutil.copyfile(TINY, self.plugin)

    def write(self, part: str, number: int, pixels: np.ndarray) -> None:
        path = self.data / "bolts" / part / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    def write_mask(self, number: int, top: int) -> None:
        mask = np.zeros((64, 64), np.uint8)
        mask[top : top + 20, 10:30] = 255
        self.write("ground_truth/spot", number, mask)

    def run(self, *words: object):
        command = ("run", "-m", "tiny", "--plugin", self.plugin, "-d", "folder", "--data-root", self.data, "-p", "cpu")
        done = adbench(*command, "--results", self.results, "-o", "epochs=1", "--device", "cpu", *words)
        assert done.exit_code == 0, done.stderr
        for path in self.results.glob("*/*/*/*/result.json"):  # pytest's own command line is not the run's
            facts = json.loads(path.read_text())
            facts["command"] = f"adbench run -m tiny --plugin {self.plugin} --data-root {self.data}"
            path.write_text(json.dumps(facts))
        return done

    def adbench(self, *words: object):
        return adbench(*words, "--results", self.results)

    def states(self) -> list[tuple[str, str]]:
        listed = self.adbench("list", "runs", "--format", "json")
        assert listed.exit_code == 0, listed.stderr
        return sorted((row["state"], row["reason"]) for row in json.loads(listed.stdout)[0]["rows"])


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


@pytest.mark.parametrize(
    ("backbone", "name"),
    [("resnet18", "cpu-seed0-77304fa1"), ("timm:test_resnet", "cpu-seed0-bc5c624f")],
)
def test_runs_of_an_older_adbench_keep_their_names(backbone, name):
    """A stored run with a backbone of adbench is found again: what the identity holds of plugins' changes no name."""
    options = BackboneOptions(backbone=backbone, amp="off")
    job = Job(
        method="padim", preset="cpu", overrides=(("backbone", backbone),), options=options, dataset="folder",
        class_name="bolts", data_root=Path("data"),
    )  # fmt: skip
    files = backbone_codes(plugins.load(), vars(options))
    assert run_name(job, Identity("d" * 32, "c" * 16, 1, files), amp="off") == name


def test_layers_of_transformers_are_no_longer_strides(place):
    """Runs of adbench 0.1 with one of timm's transformers are stale: their layers meant something else."""
    (run,) = read_all(place.results).results
    options = {**run.options, "backbone": "timm:vit_tiny_patch16_224"}
    inspector = Inspector(plugins.load([place.plugin]))
    assert inspector.standing(run).state == "current"
    assert inspector.standing(replace(run, options=options)).reason == "the backbone's code changed"
    files = backbone_codes(inspector.registry, options)
    known = replace(run, options=options, identity=replace(run.identity, files=files))
    assert inspector.standing(known).state == "current"


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
    result = replace(make_result(), identity=Identity("d", "c", 1), command="adbench run --data-root=/x")
    found = Inspector(registry).standing(result)
    assert (found.state, found.reasons) == ("unchecked", (standing.NO_CODE, standing.NO_IMAGES))


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
    assert standing.named_in(command, "--data-root") == expected


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
    monkeypatch.setattr(cli_stored, "_asks", lambda: True)
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


# ---------------------------------------------------------------- rows


def made(seed: int = 0, code: str = "one", data: str = "same", numerics: int = 1, **changes):
    result = make_result("m", seed=seed, **changes)
    return replace(result, run=f"{result.run}{code}{data}", identity=Identity(data, code, numerics))


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


def test_runs_on_images_of_other_content_do_not_compare():
    """Names and lengths may be the same; the newest images count."""
    old = made(0, data="old", finished="2024-01-01")
    (table,) = report.leaderboard([old, made(1, data="new", finished="2024-01-02")])
    assert [row["seeds"] for row in records_of(table)] == [1]
    assert any("1 older run(s) on other images" in note for note in table.notes)


# ---------------------------------------------------------------- files that options name


def test_weights_count_by_their_content(tmp_path, monkeypatch):
    """The same file by another path is the same run; another file under the same path is another run."""
    monkeypatch.chdir(tmp_path)
    Path("w.pth").write_bytes(b"one")
    Path("copy.pth").write_bytes(b"one")
    task = Task("folder", "bolts", tmp_path, (Sample(tmp_path / "w.pth"),), ())
    registry = plugins.load([TINY])

    def name(weights: str) -> str:
        job = Job("tiny", "cpu", (("weights", weights),), BackboneOptions(weights=weights), "folder", "bolts", tmp_path)
        return run_name(job, replace(Identifier(registry).of(job, [task]), data="d"), amp="off")

    first = name("w.pth")
    assert first == name("./w.pth") == name(str(tmp_path / "w.pth")) == name("copy.pth")
    Path("w.pth").write_bytes(b"two")
    assert name("w.pth") != first
    with pytest.raises(WeightsError, match=r"weights file gone.pth: found no such file"):
        name("gone.pth")


READER = """
from dataclasses import dataclass
from pathlib import Path
from adbench import BackboneOptions, Detector, Epoch, Method, Scores, hookimpl

@dataclass(frozen=True)
class ReaderOptions(BackboneOptions):
    size: tuple[int, int] = (64, 64)

class Reader(Detector):
    def fit(self, images):
        yield Epoch(1, 1)

    def score(self, batch):
        maps = batch.images.mean(dim=1) * float(Path(self.options.weights).read_text())
        return Scores(image=maps.amax(dim=(1, 2)), map=maps)

@hookimpl
def adbench_methods():
    return [Method("reader", "reads its weights", Reader, ReaderOptions)]
"""


def test_runs_find_each_other_by_the_content_of_their_weights(place, monkeypatch):
    """The same content by another path is the stored run, with another seed the same row; other content is not."""
    monkeypatch.chdir(place.folder)
    place.plugin.write_text(READER)
    shutil.rmtree(place.results)

    def run(*words: object) -> str:
        command = ("run", "-m", "reader", "--plugin", place.plugin, "-d", "folder", "--data-root", place.data)
        done = adbench(*command, "--results", place.results, "--device", "cpu", *words)
        assert done.exit_code == 0, done.stderr
        return done.stderr

    Path("w.pth").write_text("1.0")
    run("--weights", "w.pth")
    assert "already there" in run("--weights", "./w.pth")
    run("--weights", place.folder / "w.pth", "--seed", 1)
    (table,) = report.leaderboard(read_all(place.results).results)
    assert [row["seeds"] for row in records_of(table)] == [2]
    Path("w.pth").write_text("-1.0")
    assert "already there" not in run("--weights", "w.pth")
    (table,) = report.leaderboard(read_all(place.results).results)
    rows = records_of(table)
    assert sorted(row["seeds"] for row in rows) == [1, 2]
    assert all(row["variant"].startswith("reader:weights=") for row in rows)
    assert rows[0]["pixel_auroc"] == pytest.approx(1 - rows[1]["pixel_auroc"])


def test_an_edit_within_a_second_that_keeps_the_length_is_run(place):
    """Python's bytecode cache goes by length and second, so it would run the old code under the new name."""
    times = place.plugin.stat()
    before = plugins.load([place.plugin]).method("tiny").summary
    place.plugin.write_text(place.plugin.read_text().replace(before, before.upper()))
    os.utime(place.plugin, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert plugins.load([place.plugin]).method("tiny").summary == before.upper()


def test_the_images_of_a_class_are_looked_at_once_for_all_its_stored_runs(place, monkeypatch):
    """A start with several seeds and finished methods reads each file's times once."""
    place.run("--seeds", "0,1,2")
    looked: list[Path] = []
    original = digests.signature
    monkeypatch.setattr(digests, "signature", lambda path: looked.append(path) or original(path))
    assert place.run("--seeds", "0,1,2").stderr.count("already there") == 3
    images = [path for path in looked if path.suffix == ".bmp"]
    assert len(images) == len(set(images)) == 16


def test_images_that_change_while_other_tasks_run_stop_their_task(place):
    """The images found at the start name the run, so they must be those that are trained on."""
    registry = plugins.load([place.plugin])
    options = registry.method("tiny").options(epochs=1)
    task = registry.dataset("folder").load(place.data, "bolts")
    job = Job("tiny", "cpu", (), options, "folder", "bolts", place.data, device="cpu", results=place.folder / "new")
    bench = prepare(job, [task], Identifier(registry).of(job, [task]))
    place.write_mask(1, 44)
    with pytest.raises(DataError, match="files that changed since the run began"):
        engine.run(bench, registry)
    assert not bench.folder.is_finished()


def test_the_same_weights_by_two_paths_are_one_row():
    """Content names them, so two seeds are averaged."""
    results = [
        replace(
            made(seed, backbone="resnet18", overrides={"weights": path}, options={"weights": path}),
            identity=Identity("same", "one", 1, {"weights": "f" * 32}),
        )
        for seed, path in enumerate(("w.pth", "./w.pth"))
    ]
    (table,) = report.leaderboard(results)
    assert [(row["variant"], row["seeds"]) for row in records_of(table)] == [("m:weights=0123456789ab", 2)]


# ---------------------------------------------------------------- suites


def test_classes_of_one_name_in_two_data_sets_keep_their_own_images(tiny_data, tmp_path):
    """A suite over several data sets must not score one's class on the other's images."""
    folder = plugins.load([TINY]).dataset("folder")
    other = tmp_path / "other"
    shutil.copytree(tiny_data / "nuts", other / "bolts")
    again = Dataset("again", "", folder.classes, lambda root, name: replace(folder.load(other, name), dataset="again"))
    loaded = plugins.load([TINY])
    registry = plugins.Registry(loaded.methods, {"folder": folder, "again": again}, (), loaded.origins)
    jobs = [
        Job("tiny", "cpu", (), loaded.method("tiny").options(epochs=1), dataset, "bolts", tiny_data,
            device="cpu", results=tmp_path / "results")
        for dataset in ("folder", "again")
    ]  # fmt: skip
    tasks = plan.load_tasks(jobs, registry)
    roots = [tasks[name, "bolts", tiny_data, None].root for name in ("folder", "again")]
    assert roots == [tiny_data, other]
    first, second = (outcome.result for outcome in plan.run_here(jobs, registry))
    assert (first.dataset, second.dataset) == ("folder", "again")
    assert first.identity.data != second.identity.data
    assert first.content != second.content


def test_there_must_be_something_to_sort_out():
    """No results are no error here; only stale ones are."""
    assert standing.sort([]).results == ()
    newer = replace(make_result(), identity=Identity("d", "c", numerics.NUMERICS + 1))
    with pytest.raises(ResultError, match="1 stale run"):
        standing.sort(Inspector(plugins.Registry({}, {})).inspect([newer]))
