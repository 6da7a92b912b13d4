"""``adbench run FILE``: a suite from a file, and the command line over it."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import save
from runs import TINY, adbench

from adbench.cli.file_keys import keys_of
from adbench.cli.main import app
from adbench.run.run_file import DATA_KEYS

HEAD = 'device = "cpu"\nsize = 64\namp = "off"\nplugin = {plugin}\n'


@pytest.fixture
def suite(tiny_data, tmp_path, monkeypatch):
    """Write a run file over the tiny data in a folder below the working folder, and return its path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    data = f'data = {{name = "folder", root = {json.dumps(str(tiny_data))}}}\n'

    def write(text: str, *, head: str = HEAD, data: str = data) -> Path:
        path = Path("sub", "suite.toml")
        path.write_text(data + head.format(plugin=json.dumps(str(TINY))) + text, encoding="utf-8")
        return path

    return write


def dry(path: Path, *words: object) -> list[dict[str, Any]]:
    found = adbench("run", path, *words, "--dry-run", "--format", "json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)[0]["rows"]


def refused(path: Path, *words: object) -> str:
    found = adbench("run", path, *words)
    assert found.exit_code == 2, found.output
    return " ".join(found.stderr.split())


GRID = 'methods = ["random", {name = "tiny", options = {epochs = [1, 2]}}]\nclasses = ["bolts"]\nseeds = [1]\n'


def test_a_suite_runs_and_ends_with_all_in_one_table(suite):
    """Methods, a grid and seeds of a file are trained; paths are relative to it; the same again computes nothing."""
    path = suite('results = "out"\npreset = "cpu"\n' + GRID)
    assert [row["state"] for row in dry(path)] == ["left"] * 3
    found = adbench("run", path, "--format", "json")
    assert found.exit_code == 0, found.output
    assert f"{path}: 3 tasks, with tiny.epochs=1,2." in found.stderr
    ranking, by_option = json.loads(found.stdout)
    assert len(ranking["rows"]) == 3
    assert [row["value"] for row in by_option["rows"]] == ["1", "2"]
    assert [row["state"] for row in dry(path)] == ["done"] * 3
    (stored, *_) = Path("sub/out").rglob("tiny/*/result.json")
    command = json.loads(stored.read_text(encoding="utf-8"))["command"]
    assert command.startswith("adbench run -m tiny -d folder -c bolts -p cpu --data-root ")


def test_the_command_line_wins_and_picks_from_the_file(suite):
    """-m takes the file's entry of that method, -o replaces a list, and other options replace the file's values."""
    path = suite('preset = "cpu"\n' + GRID)
    assert {row["method"] for row in dry(path, "-m", "tiny")} == {"tiny"}
    assert [row["options"] for row in dry(path, "-m", "tiny", "--seed", "5")] == ["epochs=1", "epochs=2"]
    assert len(dry(path, "-m", "tiny", "-o", "epochs=3", "--seeds", "7,8")) == 2
    assert {row["data"] for row in dry(path, "-c", "nuts", "-m", "random")} == {"folder/nuts"}
    assert {row["preset"] for row in dry(path, "-p", "paper", "-m", "random")} == {"paper"}
    assert {row["setting"] for row in dry(path, "--shots", "2", "-m", "tiny")} == {"few-shot=2"}


def test_what_the_file_gives_to_other_methods_does_not_stop_the_picked_one(suite):
    """-m picks one without the options and auxiliary data of the rest; one of "all" keeps its preset."""
    path = suite('preset = "cpu"\nmethods = ["tiny", "draem"]\noptions = {epochs = [1, 3]}\naux = {textures = "x"}\n')
    assert {row["method"] for row in dry(path, "-m", "random")} == {"random"}
    assert {row["options"] for row in dry(path, "-m", "tiny")} == {"epochs=1", "epochs=3"}
    path = suite('methods = {name = "all", preset = "cpu"}\naux = {textures = "x"}\n')
    assert {row["preset"] for row in dry(path, "-m", "tiny")} == {"cpu"}


def test_several_data_sets_and_settings_are_one_suite(suite, tiny_data, tmp_path):
    """Each data set has its own root and classes; -d picks one of them, and a single --data-root is not for both."""
    shutil.copytree(tiny_data / "bolts", tmp_path / "mvtec" / "bottle")
    root = json.dumps(str(tiny_data))
    data = f'data = [{{name = "mvtec", root = "../mvtec", classes = "bottle"}}, {{name = "folder", root = {root}}}]\n'
    path = suite('methods = "tiny"\nsetting = ["one-class", "few-shot"]\nshots = 2\nclasses = ["nuts"]\n', data=data)
    found = [(row["data"], row["setting"]) for row in dry(path)]
    assert found == [
        (name, setting) for name in ("mvtec/bottle", "folder/nuts") for setting in ("one-class", "few-shot=2")
    ]
    assert {row["data"] for row in dry(path, "-d", "folder")} == {"folder/nuts"}
    assert "--data-root: found several data sets (mvtec, folder)" in refused(path, "--data-root", tiny_data)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('methods = ["tiny", {name = "padam"}]', "methods[1]: unknown method 'padam'"),
        ('methods = ["tiny", {name = "padam"}]', "Did you mean 'padim'?"),
        ('methods = [{name = "tiny", options = {epoch = 2}}]', "methods[0].options.epoch: found an unknown key"),
        ('methods = [{name = "tiny", options = {epochs = "many"}}]', "methods[0].options.epochs: found 'many', wanted"),
        ('methods = [{name = "tiny", preset = "fast"}]', "methods[0].preset: unknown preset of tiny 'fast'"),
        ('methods = "tiny"\npreset = "fast"', "suite.toml: preset: unknown preset of tiny 'fast'"),
        ('methods = "tiny"\nclasses = "bolt"', "suite.toml: classes: unknown class of folder 'bolt'"),
        ('methods = "tiny"\noptions = {dimensions = 3}', "options.dimensions: found an unknown key"),
        ('methods = "tiny"\naux = {textures = "x"}', "aux.textures: found an unknown key"),
        ('methods = "tiny"\nholdout = "much"', "suite.toml: holdout: found 'much', wanted a number"),
        ('methods = "tiny"\nholdout = 0.7', "suite.toml: holdout: found 0.7, wanted a number from 0 to 0.5"),
        ('methods = "tiny"\nkeep = "all"', "suite.toml: keep: found 'all', wanted one of last, oracle"),
        ('methods = "tiny"\nskip_bad = 1', "suite.toml: skip_bad: found 1, wanted true or false"),
        ('methods = "tiny"\neval_size = "big"', "suite.toml: eval_size: found 'big', wanted native, or HxW"),
        ('methods = "tiny"\nthreads = "some"', "suite.toml: threads: found 'some', wanted auto"),
        ('methods = "tiny"\ntrack = ["wand"]', "suite.toml: track: unknown tracker 'wand'"),
        ('methods = "tiny"\nevalsize = 3', "suite.toml: evalsize: found an unknown key"),
        ('methods = "tiny"\nforce = true', "suite.toml: force: found an unknown key"),
        ('methods = ["all", "tiny"]', "methods[0]: found all, beside others"),
        ("seeds = [0]", "suite.toml: found no methods, wanted methods = ... there, or --method"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_and_key(text, said, suite):
    """Names and values that don't fit are one short message with the place in the file, and the exit code is 2."""
    message = refused(suite(text))
    assert "suite.toml" in message
    assert said in message


def test_a_mistake_of_the_command_line_is_not_blamed_on_the_file(suite):
    """What the user typed is named as typed, though the file sets the same option."""
    message = refused(suite('methods = "tiny"\neval_size = 64'), "--eval-size", "big")
    assert message.startswith("Error: --eval-size: found 'big'")


def test_options_of_the_data_set_are_checked(suite):
    """A reader's unknown option, and a value that doesn't fit, have their key."""
    data = 'data = {name = "folder", root = "x", options = {KEY}}\n'
    unknown = refused(suite('methods = "tiny"', data=data.replace("KEY", "goods = 1")))
    assert "data.options.goods: unknown option of data set folder 'goods'" in unknown
    general = refused(suite('methods = "tiny"', data=data.replace("KEY", "range = '0:4095'")))
    assert "Give --range, or range at the top of a run file" in general
    wrong = refused(suite('methods = "tiny"', data=data.replace("KEY", "test_share = 5")))
    assert "test_share" in wrong
    missing = refused(suite('methods = "tiny"', data='data = "folder"\n'))
    assert "suite.toml: data: data set folder: found no --data-root" in missing


@pytest.fixture
def deep(tmp_path):
    """Two folders of images of 12 bits with the same names; the second one says a range itself."""
    for folder in ("one", "two"):
        for number in range(8):
            values = np.random.default_rng(number).integers(0, 4096, (32, 32), np.uint16)
            save(tmp_path / folder / ("bad" if number > 5 else "good") / f"{number}.png", values)
    (tmp_path / "two/dataset.toml").write_text('range = "0:1023"\n', encoding="utf-8")
    return tmp_path


BOTH = """
[[data]]
name = "folder"
root = "../one"
range = "0:4095"
eval_size = 48
skip_bad = true
[[data]]
name = "folder"
root = "../two"
"""


@pytest.mark.parametrize(
    ("top", "own", "words", "ranges"),
    [
        ("", "", (), ["0:4095", "0:1023"]),
        ('range = "0:2000"\n', "", (), ["0:4095", "0:2000"]),
        ('range = "0:2000"\n', 'range = "0:9000"\n', (), ["0:4095", "0:9000"]),
        ("", 'range = "0:9000"\n', ("--range", "0:500"), ["0:500", "0:500"]),
    ],
)
def test_each_data_set_may_have_its_own_range(suite, deep, top, own, words, ranges):
    """What is typed wins over a data set's table, that over the file's top, and that over dataset.toml."""
    path = suite(f'methods = "random"\nresults = "out"\n{top}{BOTH}{own}', data="")
    found = adbench("run", path, *words)
    assert found.exit_code == 0, found.output
    stored = [json.loads(each.read_text(encoding="utf-8")) for each in deep.rglob("result.json")]
    levels = {run["class_name"]: run["protocol"]["levels"]["white"] for run in stored}
    assert [f"0:{levels[name]:g}" for name in ("one", "two")] == ranges
    commands = {run["class_name"]: shlex.split(run["command"]) for run in stored}
    assert [("--skip-bad" in command, "48x48" in command) for _, command in sorted(commands.items())] == [
        (True, True), (False, False)
    ]  # fmt: skip


def test_a_range_of_dataset_toml_says_what_overrides_it(suite, deep):
    """The line names the place in the run file, so that nobody looks for an option that wasn't typed."""
    path = suite(f'methods = "random"\n{BOTH}range = "0:9000"\n', data="")
    said = adbench("run", path, "--dry-run").stderr
    assert f"sets range=0:1023, which {path}: data[1].range overrides." in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("range = '9:1'", "suite.toml: data[0].range: found '9:1', wanted BLACK:WHITE"),
        ("range = 4095", "suite.toml: data[0].range: found 4095, wanted BLACK:WHITE"),
        ("eval_size = 'big'", "suite.toml: data[0].eval_size: found 'big', wanted native, or HxW"),
        ("skip_bad = 1", "suite.toml: data[0].skip_bad: found 1, wanted true or false"),
        ("good = 'ok'", "Options of its reader, such as good and mask_rule, stand in options"),
    ],
)
def test_what_is_wrong_in_a_table_of_data_is_said(suite, tiny_data, text, said):
    """Each message has the place in the file."""
    data = f'[[data]]\nname = "folder"\nroot = {json.dumps(str(tiny_data))}\n{text}\n'
    assert said in refused(suite('methods = "random"\n' + data, data=""))


COMMON = {
    "a file is what reads them": {"dataset", "data_root", "class"},  # there they are name, root and classes
    "they stand in options of the data set": {
        "good", "bad", "test_share", "mask_rule", "min_defect_area", "ignore_mask", "data_option"
    },
    "of a model, and so of methods, which have tables of their own": {
        "method", "preset", "option", "aux", "grid", "backbone", "weights", "size", "tile", "overlap", "amp"
    },
    "how every model is trained and judged, so that data sets can be compared": {
        "seed", "seeds", "setting", "shots", "eval_every", "holdout", "target_false_alarms", "folds", "segf1"
    },
    "of the machine": {
        "device", "threads", "max_megapixels", "cache_limit", "plugin", "executor", "workers", "gpus_per_job",
        "address", "executor_option"
    },
    "of the command, its results and what it shows": {
        "force", "dry_run", "schema", "keep", "label", "save_maps", "report", "track", "metrics", "results", "format"
    },
}  # fmt: skip
"""Options of the command that no table of data has, and why."""


def test_a_table_of_data_has_all_that_may_differ_between_data_sets():
    """Each option of the command is either a key there, or there is a reason why not."""
    others = set().union(*COMMON.values())
    assert set(keys_of(app.commands["run"])) - others == set(DATA_KEYS) - {"name", "root", "classes", "options"}
    assert others <= set(keys_of(app.commands["run"]))


def test_a_dry_run_needs_no_file(tiny_data, tmp_path):
    """It shows what a command line would do, and its exit code says whether all of it can run."""
    words = ("-m", "random", "-d", "folder", "--data-root", tiny_data, "--device", "cpu", "--results", tmp_path)
    found = adbench("run", *words, "--dry-run")
    assert found.exit_code == 0
    assert "Dry run, nothing is trained. 2 tasks: 2 left" in found.stdout
    assert max(map(len, found.stdout.splitlines())) <= 80
    assert not any(tmp_path.iterdir())


def test_the_schema_is_printed_with_the_options_of_the_command():
    """Editors get all keys, those of plugin files as well."""
    found = adbench("run", "--schema", "--plugin", TINY)
    properties = json.loads(found.stdout)["properties"]
    assert properties["holdout"]["maximum"] == 0.5
    assert properties["keep"]["enum"] == ["last", "oracle"]
    assert {"methods", "preset", "target_false_alarms"} <= set(properties)
    assert not {"force", "method", "dry_run", "debug"} & set(properties)
    assert '"tiny"' in found.stdout
    tables = [each for each in json.loads(found.stdout)["definitions"]["data"]["anyOf"] if "properties" in each]
    assert all(set(each["properties"]) == set(DATA_KEYS) for each in tables)
