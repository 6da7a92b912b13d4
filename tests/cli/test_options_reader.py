"""Options of a data set's reader on the command line, and runs on folders without a split."""

from __future__ import annotations

import json
import shutil

import pytest
from conftest import make_class
from runs import TINY, adbench, run_tiny

SHORT = ("-p", "cpu", "-o", "epochs=1", "--device", "cpu")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Ten good and four bad images, in a folder each."""
    folder = tmp_path_factory.mktemp("plain")
    made = make_class(folder / "made", "bolts", train=10)
    shutil.copytree(made / "train/good", folder / "parts/good")
    shutil.copytree(made / "test/spot", folder / "parts/bad/spot")
    return folder / "parts"


@pytest.fixture(scope="module")
def ran(parts, tmp_path_factory):
    """Results with the usual share for two seeds, and with another one."""
    results = tmp_path_factory.mktemp("results")
    for words in (("--seeds", "0,1"), ("--test-share", "0.5")):
        done = run_tiny(parts, results, *SHORT, *words)
        assert done.exit_code == 0, done.stderr
        command = f"adbench run -m tiny --plugin {TINY} -d folder --data-root {parts}"  # pytest's own is not the run's
        for path in results.rglob("result.json"):
            path.write_text(json.dumps({**json.loads(path.read_text()), "command": command}))
    return results


def facts(results):
    return [json.loads(path.read_text()) for path in sorted(results.rglob("result.json"))]


def words(results):
    return ("--results", results, "--plugin", TINY)


def test_a_root_with_two_folders_is_all_that_is_typed(parts, tmp_path):
    """Neither a class nor a split is given; one line says what was made of it."""
    done = run_tiny(parts, tmp_path, *SHORT)
    assert done.exit_code == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("folder/parts:")]
    assert said == [
        "folder/parts: folders without a split: 7 good images for training, 3 good and 4 bad (spot 4) for testing "
        "(--test-share 0.3); no masks, so no pixel metrics."
    ]
    (result,) = facts(tmp_path)
    assert (result["class_name"], result["train_images"], result["test_images"]) == ("parts", 7, 7)
    assert result["metrics"]["image_auroc"] is not None
    assert result["metrics"]["pixel_auroc"] is None
    again = run_tiny(parts, tmp_path, *SHORT, "--test-share", "0.3", "--good", "good")
    assert "already there, nothing to compute" in again.stderr


def test_shares_never_mix(ran):
    """Names, protocols and boards say the share that is not the usual one; seeds of one share are one row."""
    runs = {result["run"]: result["protocol"]["reading"] for result in facts(ran)}
    changed = [name for name in runs if "-test_share=0.5-" in name]
    assert len(runs) == 3
    assert [runs[name]["changed"] for name in changed] == [["test_share"]]
    tables = json.loads(adbench("leaderboard", *words(ran), "--format", "json").stdout)
    assert [[row["variant"] for row in table["rows"]] for table in tables] == [
        ["tiny:cpu,epochs=1"], ["tiny:cpu,test_share=0.5,epochs=1"],
    ]  # fmt: skip
    assert [table["rows"][0]["seeds"] for table in tables] == [2, 1]
    assert tables[1]["title"].startswith("folder, test_share=0.5")
    assert "read with good=good, bad=bad, test_share=0.5, split_seed=0" in tables[1]["rows"][0]["protocol"]


def test_stored_runs_find_their_images_again(ran):
    """Each is read as then: neither is stale, and the maps and the report show the images of its own split."""
    rows = json.loads(adbench("list", "runs", *words(ran), "--format", "json").stdout)[0]["rows"]
    assert [row["state"] for row in rows] == ["current"] * 3
    (other,) = (result for result in facts(ran) if "test_share" in result["run"])
    done = adbench("heatmaps", other["run"], *words(ran), "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    assert len(list((ran / "folder/parts/tiny" / other["run"] / "maps").glob("*/**/*.png"))) == 9
    done = adbench("report", *words(ran), "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    assert "test_share=0.5" in (ran / "report/index.html").read_text()


def test_a_checkpoint_is_tested_on_the_images_that_its_run_tested(ran, parts):
    """Its share is in the file; with another one a note says that training images may be scored."""
    for result in facts(ran)[1:]:
        command = ("test", "-m", "tiny", "-d", "folder", "--data-root", parts, "--checkpoint", result["run"],
                   *words(ran), "--device", "cpu")  # fmt: skip
        done = adbench(*command, "--format", "json")
        (metrics,), images = (table["rows"] for table in json.loads(done.stdout))
        assert metrics["image_auroc"] == result["metrics"]["image_auroc"]
        assert len(images) == result["test_images"]
        assert "Note:" not in done.stderr
    every = adbench(*command, "--test-share", "1", "--format", "json")
    assert len(json.loads(every.stdout)[1]["rows"]) == 14
    assert "its training images may be among those that are scored" in every.stderr


def test_other_images_are_another_result(parts, tmp_path):
    """The split is a part of the identity of the images: the run is made again. Copies are named before training."""
    shutil.copytree(parts, tmp_path / "parts")
    run_tiny(tmp_path / "parts", tmp_path / "results", *SHORT)
    for number in range(10):
        shutil.copy(tmp_path / "parts/good/000.png", tmp_path / f"parts/good/copy{number}.png")
    done = run_tiny(tmp_path / "parts", tmp_path / "results", *SHORT)
    assert "computed again, since run" in done.stderr
    assert "copies of training images, so the metrics are too good: parts/good/" in done.stderr
    assert len(facts(tmp_path / "results")) == 2


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("--test-share", "2"), "option test_share of data set folder: found '2', wanted a number, from 0 to 1."),
        (("--data-option", "split"), "--data-option split: found no '=', wanted KEY=VALUE."),
        (("--data-option", "sed=1"), "unknown option of data set folder 'sed'"),
        (("-d", "demo", "--bad", "x"), "--bad: found data set demo, whose reader has none"),
        (("--data-option", "mask_rul=auto"), "ignore_mask, mask_rule, min_defect_area, "),
        (("--test-share", "1"), "no training image in"),
        (("--test-share", "1"), "or give a smaller --test-share."),
    ],
)
def test_mistakes_are_one_message(parts, tmp_path, given, text):
    """Before anything is read or trained; the exit code is 2."""
    done = run_tiny(parts, tmp_path, *SHORT, *given)
    assert (done.exit_code, done.stdout) == (2, "")
    assert text in done.stderr.splitlines()[-1]


def test_the_options_of_a_reader_are_listed():
    """With types, defaults and meanings; a data set without any says so."""
    (table,) = json.loads(adbench("list", "datasets", "folder", "--format", "json").stdout)
    assert [(row["option"], row["default"]) for row in table["rows"]] == [
        ("good", "good"), ("bad", "bad"), ("test_share", "0.3"), ("split_seed", "0"),
    ]  # fmt: skip
    assert all(row["meaning"] for row in table["rows"])
    assert "Its reader has no options." in adbench("list", "datasets", "mvtec").stdout
    assert adbench("list", "datasets", "foldr").exit_code == 2


def test_reproduce_takes_them_too(parts, tmp_path):
    """A data set without published numbers is refused for that, not for its options."""
    done = adbench(
        "reproduce", "padim", "-d", "folder", "--data-root", parts, "--test-share", "0.5", "--results", tmp_path
    )
    assert done.exit_code == 2
    assert "published" in done.stderr
