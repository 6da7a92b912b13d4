"""A file ``dataset.toml`` in the folder of own images, which sets options of their reader."""

from __future__ import annotations

import json

import numpy as np
import pytest
from doc_blocks import blocks
from image_files import save
from runs import adbench

FLAT = [f"{kind}_{number}.png" for kind, count in (("ok", 10), ("ng", 2)) for number in range(count)]


@pytest.fixture
def flat(tmp_path):
    """Good and bad images in one folder, told apart by the file."""
    random = np.random.default_rng(0)
    for name in FLAT:
        save(tmp_path / "flat" / name, random.integers(0, 255, (32, 32, 3), np.uint8))
    (tmp_path / "flat/dataset.toml").write_text('good = "ok_*"\nbad = ["ng_*"]\ntest_share = 0.5\n')
    return tmp_path / "flat"


def checked(flat, *options):
    """How ``data check`` understood it, and what it said beside that."""
    done = adbench("data", "check", "folder", "--data-root", flat, "--format", "json", *options)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)[0]["rows"][0], done.stderr


def test_its_options_count_and_a_line_names_them(flat):
    """It is no image that was passed over; what counts is said."""
    row, said = checked(flat)
    assert row["images"] == "5 train, 5 test good, 2 test defective"
    assert f"{flat / 'dataset.toml'} sets good=ok_*, bad=ng_*, test_share=0.5." in said


@pytest.mark.parametrize(("share", "train"), [("0.2", 8), ("0.3", 7)])
def test_the_command_line_wins(flat, share, train):
    """Also with the value that is the default; the line says what is overridden."""
    row, said = checked(flat, "--test-share", share)
    assert row["images"].startswith(f"{train} train")
    assert "sets good=ok_*, bad=ng_*; its test_share is overridden." in said


def test_a_run_stores_what_was_used(flat, tmp_path):
    """The protocol has the options, so an edited file makes another run; with the default typed in it has that one."""
    names = []
    arguments = ("-d", "folder", "--data-root", flat, "--size", "32", "--results", tmp_path / "r")
    for more in ((), ("--test-share", "0.3"), ()):
        done = adbench("run", "-m", "random", *arguments, *more)
        assert done.exit_code == 0, done.stderr
        found = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "r").rglob("result.json")}
        names.append(set(found))
        shares = sorted(each["protocol"]["reading"]["options"]["test_share"] for each in found.values())
        assert shares == [0.5] if len(names) == 1 else [0.3, 0.5]
    assert names[1] == names[2]
    assert all("good=ok" in name for name in names[2])


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (
            "# mine\n\ncolour = 3\n",
            ["dataset.toml, line 3: colour", "unknown option of data set folder 'colour'", "test_share, or range"],
        ),
        ("tests_share = 0.3", ["line 1: tests_share", "Did you mean 'test_share'?"]),
        ("good = 'ok_*'\ntest_share = 'half'", ["line 2: test_share: found 'half', wanted a number"]),
        ("test_share = 1.5", ["line 1: test_share: found '1.5'"]),
        ("good = 3", ["line 1: good: found 3, wanted a text or several, separated by commas"]),
        ("bad = ['ng_*', 3]", ["line 1: bad: found ['ng_*', 3], wanted a text or several"]),
        ("good = true", ["line 1: good: found true, wanted a text"]),
        ("mask_rule = 3", ["line 1: mask_rule: found 3, wanted a text"]),
        ("split_seed = true", ["line 1: split_seed: found true, wanted a whole number"]),
        ("good = [\n  'a',\n  'b,c',\n]", ["line 1: good: found 'b,c', wanted texts without commas"]),
        ("good = '''\nbad = 1\n'''\nbad = {a = 1}", ["line 4: bad: found a table"]),
        ("range = '9:1'", ["line 1: range: found '9:1', wanted BLACK:WHITE"]),
        ("good = ['../x']", ["dataset.toml: option good of data set folder: found '../x'"]),
        ("good = ", ["dataset.toml, line 1, column 8"]),
    ],
)
def test_what_is_wrong_is_one_message(flat, text, wrong):
    """It names file, line and key, what was found and what was wanted; the exit code is 2."""
    (flat / "dataset.toml").write_text(text)
    for command in (("data", "check", "folder"), ("run", "-m", "random", "-d", "folder", "--dry-run")):
        done = adbench(*command, "--data-root", flat)
        assert done.exit_code == 2
        assert [part for part in wrong if part not in done.stderr] == []


def test_other_data_sets_do_not_read_it(flat):
    """A file of that name beside published images is nobody's options."""
    (flat / "dataset.toml").write_text("colour = 3")
    assert "colour" not in adbench("data", "check", "mtd", "--data-root", flat).stderr


def test_the_file_of_the_documentation_is_one(flat):
    """docs/own-images.md shows a file whose keys are known and whose values fit."""
    (text,) = (block.text for block in blocks("toml") if block.text.startswith("# dataset.toml"))
    (flat / "dataset.toml").write_text(text)
    (flat / "ng_0.png").rename(flat / "dent_0.png")
    row, _ = checked(flat)
    assert row["images"] == "8 train, 2 test good, 1 test defective"


def test_it_may_set_the_range_of_deep_images(flat, tmp_path):
    """The run has it as if --range were given, which wins; a check of the folder refuses a wrong one as well."""
    for path in flat.glob("*.png"):
        save(path, np.random.default_rng(0).integers(0, 4095, (32, 32), np.uint16))
    with (flat / "dataset.toml").open("a") as file:
        file.write("range = '0:4095'\n")
    found = []
    for more in ((), ("--range", "0:1023")):
        results = tmp_path / f"r{len(more)}"
        arguments = ("-d", "folder", "--data-root", flat, "--size", "32", "--results", results)
        done = adbench("run", "-m", "random", *arguments, *more)
        assert done.exit_code == 0, done.stderr
        assert "sets range=0:4095" + (", which --range overrides." if more else ".") in done.stderr
        found += [json.loads(path.read_text())["protocol"] for path in results.rglob("result.json")]
    assert [each["levels"]["white"] for each in found] == [4095, 1023]
    assert [each["levels_by"] for each in found] == ["dataset.toml", "--range"]


@pytest.mark.parametrize(("top", "own", "area"), [("", "", 10), ("20", "", 20), ("20", "30", 30)])
def test_a_run_file_wins_over_it(flat, tmp_path, top, own, area):
    """Both what a run file says of all data sets and, before that, of this one; the file beats the defaults alone."""
    with (flat / "dataset.toml").open("a") as file:
        file.write("min_defect_area = 10\n")
    text = f"methods = 'random'\nsize = 32\n{top and f'min_defect_area = {top}'}\n[[data]]\nname = 'folder'\n"
    text += f"root = 'flat'\n{own and f'options = {{min_defect_area = {own}}}'}\n"
    (tmp_path / "suite.toml").write_text(text)
    done = adbench("run", tmp_path / "suite.toml", "--results", tmp_path / "r")
    assert done.exit_code == 0, done.stderr
    (stored,) = (json.loads(path.read_text()) for path in (tmp_path / "r").rglob("result.json"))
    assert stored["protocol"]["min_defect_area"] == area


def test_its_range_wins_over_the_users_default(flat, tmp_path, monkeypatch):
    """As its other options do: adbench.toml is for all data sets, dataset.toml for this one."""
    monkeypatch.chdir(tmp_path)
    for path in flat.glob("*.png"):
        save(path, np.full((32, 32), 100, np.uint16))
    (tmp_path / "adbench.toml").write_text("range = '0:255'\ntest_share = 0.2\n")
    with (flat / "dataset.toml").open("a") as file:
        file.write("range = '0:4095'\n")
    row, said = checked(flat)
    assert (row["range"], row["images"][:7]) == ("0:4095", "5 train")
    assert "sets range=0:4095." in said


def test_its_range_is_that_of_a_run_with_the_option_and_of_a_check(flat, tmp_path):
    """Both runs have one name and one variant; the findings of data check on depth are those of the run."""
    for path in flat.glob("*.png"):
        save(path, np.full((32, 32), 100, np.uint16))
    plain = (flat / "dataset.toml").read_text()
    command = ("run", "-m", "random", "-d", "folder", "--data-root", flat, "--size", "32")
    assert adbench(*command, "--results", tmp_path / "r1", "--range", "0:4095").exit_code == 0
    (flat / "dataset.toml").write_text(f"{plain}range = '0:4095'\n")
    assert adbench(*command, "--results", tmp_path / "r2").exit_code == 0
    first, second = (json.loads(next((tmp_path / name).rglob("result.json")).read_text()) for name in ("r1", "r2"))
    assert "range0" in first["run"]
    assert first["run"] == second["run"]
    row, _ = checked(flat)
    assert row["range"] == "0:4095"
    table = json.loads(adbench("data", "check", "folder", "--data-root", flat, "--format", "json").stdout)[1]
    assert "nearly black image" in str(table["rows"])
    (flat / "dataset.toml").write_text(plain)
    table = json.loads(adbench("data", "check", "folder", "--data-root", flat, "--format", "json").stdout)[1]
    assert "nearly black image" not in str(table["rows"])


def test_it_may_say_what_masks_mark(flat):
    """The options that every data set has are in it as well, typed as those of the reader."""
    with (flat / "dataset.toml").open("a") as file:
        file.write("mask_rule = 'nonzero'\nmin_defect_area = 10\n")
    assert "mask_rule=nonzero, min_defect_area=10." in checked(flat)[1]
    (flat / "dataset.toml").write_text("min_defect_area = 'few'")
    done = adbench("data", "check", "folder", "--data-root", flat)
    assert (done.exit_code, "line 1: min_defect_area: found 'few', wanted a whole number" in done.stderr) == (2, True)
