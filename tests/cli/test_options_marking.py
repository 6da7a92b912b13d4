"""The options --mask-rule, --min-defect-area and --ignore-mask: numbers, names, protocols and run files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from image_files import save
from runs import adbench

SIDE = 40


def grey(seed: int, mark: np.ndarray | None = None) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(60, 90, (SIDE, SIDE, 3), np.uint8)
    pixels[:] = pixels if mark is None else np.where(mark[..., None], 250, pixels)
    return pixels


@pytest.fixture
def parts(tmp_path):
    """Two classes whose first defective image has a large and a small region, the second one a large one."""
    for name in ("nut", "bolt"):
        for number in range(2):
            save(tmp_path / "data" / name / f"train/good/{number}.png", grey(number))
            save(tmp_path / "data" / name / f"test/good/{number}.png", grey(10 + number))
            mark = np.zeros((SIDE, SIDE), bool)
            mark[4:9, 4:9] = True
            mark[30, 30:32] = number == 0
            save(tmp_path / "data" / name / f"test/cut/{number}.png", grey(20 + number, mark))
            save(tmp_path / "data" / name / f"ground_truth/cut/{number}_mask.png", mark.astype(np.uint8) * 200)
    return tmp_path


def run(parts: Path, *words: object) -> list[dict]:
    """The new results of a run, by class."""
    before = set(parts.glob("results/*/*/*/*/result.json"))
    done = adbench(
        "run", "-m", "random", "-d", "folder", "--data-root", parts / "data", "--size", SIDE, "--device", "cpu",
        "--results", parts / "results", *words,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    made = set(parts.glob("results/*/*/*/*/result.json")) - before
    return [json.loads(path.read_text()) for path in sorted(made)]


def test_what_is_not_default_is_a_run_of_its_own(parts):
    """Another rule, least area or ignore mask has another name and protocol, and the same data; no path counts."""
    save(parts / "ignore.png", np.tri(SIDE, dtype=np.uint8) * 255)
    (plain,) = run(parts, "-c", "nut")
    (ruled,) = run(parts, "-c", "nut", "--mask-rule", "above:100")
    (least,) = run(parts, "-c", "nut", "--min-defect-area", 3)
    (ignoring,) = run(parts, "-c", "nut", "--ignore-mask", parts / "ignore.png")
    assert run(parts, "-c", "nut", "--min-defect-area", 0, "--mask-rule", "auto") == []
    (parts / "elsewhere").mkdir()
    shutil.copy(parts / "ignore.png", parts / "elsewhere/other.png")
    assert run(parts, "-c", "nut", "--ignore-mask", parts / "elsewhere/other.png") == []
    said = [[each["protocol"][key] for key in ("mask_rule", "min_defect_area")] for each in (plain, ruled, least)]
    assert said == [[None, 0], ["above:100", 0], [None, 3]]
    assert ignoring["protocol"]["ignore_mask"] == ignoring["identity"]["files"]["ignore-mask"]
    assert len({each["identity"]["data"] for each in (plain, ruled, least, ignoring)}) == 1
    assert len({each["run"] for each in (plain, ruled, least, ignoring)}) == 4
    for name in ("image_auroc", "image_ap"):
        assert len({each["metrics"][name] for each in (plain, ruled, least, ignoring)}) == 1
    assert plain["metrics"]["pixel_auroc"] == ruled["metrics"]["pixel_auroc"]
    assert len({each["metrics"]["pixel_auroc"] for each in (plain, least, ignoring)}) == 3
    board = adbench("leaderboard", "--results", parts / "results", "--format", "json")
    rows = json.loads(board.stdout)[0]["rows"]
    assert len({row["variant"] for row in rows}) == len({row["protocol"] for row in rows}) == 4


def test_results_are_current_and_a_checkpoint_counts_alike(parts):
    """Stored results with these options are not stale, and ``test`` has the same metrics without the options."""
    save(parts / "ignore.png", np.tri(SIDE, dtype=np.uint8) * 255)
    (made,) = run(parts, "-c", "nut", "--ignore-mask", parts / "ignore.png", "--min-defect-area", 3)
    listed = adbench("list", "runs", "--results", parts / "results", "--format", "json")
    assert [row["state"] for row in json.loads(listed.stdout)[0]["rows"]] == ["current"]
    done = adbench(
        "test", "-m", "random", "-d", "folder", "--data-root", parts / "data", "--device", "cpu",
        "--checkpoint", f"folder/nut/random/{made['run']}", "--results", parts / "results", "--format", "json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)[0]["rows"]
    assert row["pixel_auroc"] == pytest.approx(made["metrics"]["pixel_auroc"], abs=1e-12)
    assert "ignore mask" in done.stdout
    (parts / "ignore.png").rename(parts / "moved.png")
    words = ("test", "-m", "random", "-d", "folder", "--data-root", parts / "data", "--device", "cpu", "--checkpoint",
             f"folder/nut/random/{made['run']}", "--results", parts / "results")  # fmt: skip
    refused = adbench(*words)
    assert (refused.exit_code, "with --ignore-mask PATH" in " ".join(refused.stderr.split())) == (2, True)
    assert adbench(*words, "--ignore-mask", parts / "moved.png").exit_code == 0


def test_a_folder_of_ignore_masks_and_a_run_file_for_single_classes(parts):
    """A file CLASS.png is for its class alone; a run file sets options for one class, with paths beside it."""
    save(parts / "ignored/nut.png", np.tri(SIDE, dtype=np.uint8) * 255)
    bolt, nut = run(parts, "--ignore-mask", parts / "ignored")
    assert bolt["protocol"]["ignore_mask"] == nut["protocol"]["ignore_mask"]
    assert bolt["metrics"]["pixel_auroc"] != nut["metrics"]["pixel_auroc"]
    suite = parts / "suite.toml"
    suite.write_text(f"""
        methods = "random"
        size = {SIDE}
        device = "cpu"
        results = "others"
        mask_rule = "nonzero"
        [[data]]
        name = "folder"
        root = "data"
        classes = ["nut"]
        options = {{ignore_mask = "ignored/nut.png", min_defect_area = 3}}
        [[data]]
        name = "folder"
        root = "data"
        classes = ["bolt"]
    """)
    done = adbench("run", suite)
    assert done.exit_code == 0, done.output
    said = {}
    for path in parts.glob("others/*/*/*/*/result.json"):
        found = json.loads(path.read_text())
        how = found["protocol"]
        said[found["class_name"]] = (how["mask_rule"], how["min_defect_area"], how["ignore_mask"] is not None)
    assert said == {"nut": ("nonzero", 3, True), "bolt": ("nonzero", 0, False)}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--mask-rule", "black"), "--mask-rule: found 'black', wanted auto, nonzero, above:N"),
        (("--min-defect-area", "-1"), "--min-defect-area: found -1"),
        (("--min-defect-area", "few"), "found 'few'"),
        (("--ignore-mask", "gone.png"), "gone.png: found no such file"),
        (("--mask-rule", "inverted"), "a mask that marks 9"),
    ],
)
def test_mistakes_are_named(parts, words, found):
    """The message has the option, what was given and what was wanted; a wrong rule marks nearly all."""
    done = adbench(
        "run", "-m", "random", "-d", "folder", "--data-root", parts / "data", "--size", SIDE, "--results",
        parts / "results", *words,
    )  # fmt: skip
    text = " ".join(done.stderr.split())
    assert (done.exit_code, found in text) == (2, True), text


def test_what_is_ignored_is_said_once_before_training(parts):
    """The share of pixels, for several seeds once; an ignore mask of another size stops the run before anything."""
    words = ("--min-defect-area", 3, "--seeds", "0,1", "-c", "nut")
    save(parts / "ignore.png", np.tri(SIDE, dtype=np.uint8) * 255)
    done = adbench(
        "run", "-m", "random", "-d", "folder", "--data-root", parts / "data", "--size", SIDE, "--results",
        parts / "results", "--ignore-mask", parts / "ignore.png", *words,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    said = "folder/nut: 51.27% of the test images' pixels are ignored, and with them defects of 2 images."
    assert done.stderr.count(said) == 1
    save(parts / "ignore.png", np.tri(SIDE + 1, dtype=np.uint8) * 255)
    done = adbench(
        "run", "-m", "random", "-d", "folder", "--data-root", parts / "data", "--size", SIDE, "--results",
        parts / "others", "--ignore-mask", parts / "ignore.png", *words,
    )  # fmt: skip
    assert (done.exit_code, "found 41x41 pixels, wanted 40x40" in " ".join(done.stderr.split())) == (2, True)
    assert "epoch" not in done.stderr


def test_a_class_without_masks_is_said_once(parts):
    """The run says why metrics of pixels are empty, once for several seeds."""
    shutil.rmtree(parts / "data/nut/ground_truth")
    done = adbench(
        "run", "-m", "random", "-d", "folder", "--data-root", parts / "data", "--size", SIDE, "--results",
        parts / "results", "-c", "nut", "--seeds", "0,1",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert done.stderr.count("folder/nut: no masks, so no pixel metrics.") == 1


def test_defects_outside_of_the_crop_are_named(parts):
    """With a crop that leaves all defects of an image out, the run says which image has lost them."""
    mark = np.zeros((SIDE, 4 * SIDE), bool)
    mark[4:9, 2:9] = True
    folder = parts / "data/nut"
    shutil.rmtree(folder)
    for place in ("train/good/0.png", "test/good/0.png", "test/cut/0.png", "test/cut/1.png"):
        save(folder / place, np.full((SIDE, 4 * SIDE, 3), 90, np.uint8))
    save(folder / "ground_truth/cut/0_mask.png", mark.astype(np.uint8))
    save(folder / "ground_truth/cut/1_mask.png", np.roll(mark, 2 * SIDE, 1).astype(np.uint8))
    done = adbench(
        "run", "-m", "random", "-d", "folder", "--data-root", parts / "data", "-c", "nut", "--size", SIDE, "-o",
        "resize=crop", "--results", parts / "results",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "the defects of 1 of 2 images lie outside of the crop" in done.stderr
    assert "test/cut/0.png" in done.stderr


def test_inverted_masks_are_warned_of(parts):
    """Masks of defects that are not quite tiny are not refused, but mark over half; the rule makes them right."""
    for path in (parts / "data/nut/ground_truth/cut").glob("*"):
        mark = np.zeros((SIDE, SIDE), np.uint8)
        mark[4:16, 4:16] = 255
        save(path, 255 - mark)
    words = ("run", "-m", "random", "-d", "folder", "--data-root", parts / "data", "-c", "nut", "--size", SIDE,
             "--device", "cpu", "--results", parts / "results")  # fmt: skip
    warned, right = adbench(*words), adbench(*words, "--mask-rule", "inverted")
    assert "masks of 2 of 2 images mark over half of the pixels, up to 91.0%. Inverted" in warned.stderr
    assert right.exit_code == 0
    assert "over half" not in right.stderr
