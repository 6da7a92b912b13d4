"""Defaults of the user's own: adbench.toml, and [tool.adbench] in pyproject.toml."""

from __future__ import annotations

import json
import os
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from runs import TINY, adbench, posix_only

DRY = ("run", "-m", "random", "-d", "folder", "-c", "bolts", "--device", "cpu", "--dry-run", "--format", "json")


@pytest.fixture
def here(tiny_data, tmp_path, monkeypatch) -> Path:
    """The working folder, below the folder of the file."""
    monkeypatch.setenv("ADBENCH_DATA", str(tiny_data))
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def written(folder: Path, text: str, name: str = "adbench.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def rows(*words: object) -> tuple[list[dict], str]:
    found = adbench(*DRY, *words)
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)[0]["rows"], " ".join(found.stderr.split())


def after(words: list[str], option: str) -> list[str]:
    """What follows each use of an option."""
    return [value for name, value in pairwise(words) if name == option]


def test_a_file_in_a_folder_above_gives_defaults_and_a_line_says_so(here):
    """A table is for its command; the top is for all; what is typed wins, and then nothing is said of it."""
    path = written(here.parent, 'results = "kept"\n[run]\npreset = "cpu"\nseeds = [3, 4]\n')
    found, said = rows()
    assert [(row["preset"], row["seed"]) for row in found] == [("cpu", 3), ("cpu", 4)]
    assert f"Defaults of {path}: " in said
    assert "seeds = 3,4" in said
    assert "preset = cpu" in said
    assert f"results = {path.parent / 'kept'}" in said
    found, said = rows("--seeds", "5,6", "-p", "paper", "--results", "x")
    assert [(row["preset"], row["seed"]) for row in found] == [("paper", 5), ("paper", 6)]
    assert "Defaults" not in said


def test_the_project_file_counts_where_it_has_the_table(here):
    """A pyproject.toml of something else is passed over, and a nearer file hides the others."""
    written(here.parent.parent, '[tool.adbench.run]\npreset = "cpu"\n', "pyproject.toml")
    written(here, '[tool.other]\nname = "adbench"\n', "pyproject.toml")
    assert {row["preset"] for row in rows()[0]} == {"cpu"}
    written(here.parent, '[run]\npreset = "quick"\n')
    assert {row["preset"] for row in rows()[0]} == {"quick"}


def test_a_run_file_wins_over_defaults_and_the_stored_command_has_both(here, tiny_data):
    """Defaults are no part of the command that was typed, but of that which is stored."""
    written(here.parent, '[run]\npreset = "quick"\nsize = 32\noption = {epochs = 1}\ndevice = "cpu"\n')
    data = f'data = {{name = "folder", root = {json.dumps(str(tiny_data))}}}\n'
    text = f'{data}plugin = {json.dumps(str(TINY))}\nmethods = "tiny"\nclasses = "bolts"\npreset = "cpu"\nsize = 48\n'
    written(here, text, "suite.toml")
    assert adbench("run", "suite.toml").exit_code == 0
    (path,) = Path("results").rglob("result.json")
    words = shlex.split(json.loads(path.read_text(encoding="utf-8"))["command"])
    assert after(words, "-p") == ["cpu"]
    assert sorted(after(words, "-o")) == ["epochs=1", "size=48x48"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("devise = 1", "adbench.toml: devise: found an unknown key"),
        ("devise = 1", "Did you mean 'device'?"),
        ("[rum]\npreset = 1", "rum: found an unknown key"),
        ('[run]\nprest = "cpu"', "run.prest: found an unknown key"),
        ('[run]\npreset = "cpu"\nkeep = "all"', "run.keep: found 'all', wanted one of last, oracle"),
        ("[run]\nshots = 0", "run.shots: found 0, wanted a whole number from 1 up"),
        ('[run]\neval_size = "big"', "run.eval_size: found 'big', wanted native"),
        ("force = true", "force: found an unknown key"),
        ("doctor = 1", "doctor: found 1, wanted a table [doctor]"),
        ("run = 1 2", "adbench.toml, line 1, column 9"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_key(text, said, here):
    """Unknown keys and values that don't fit are mistakes, also where a flag would be for all commands."""
    written(here, text)
    found = adbench(*DRY)
    assert found.exit_code == 2, found.output
    assert said in " ".join(found.stderr.split())


def test_help_and_version_dont_need_the_file(here):
    """A broken file doesn't keep anyone from the help."""
    written(here, "= broken")
    assert adbench("--help").exit_code == 0
    assert adbench("--version").exit_code == 0


def test_commands_in_groups_have_tables_in_tables(here):
    """[weights.list] is for that command alone."""
    written(here, '[weights.list]\nformat = "json"\n')
    found = adbench("weights", "list")
    assert found.exit_code == 0
    assert json.loads(found.stdout)
    assert "format = json" in found.stderr


@posix_only
def test_a_folder_that_is_gone_has_no_defaults(here):
    """Commands that need nothing of the working folder go on where somebody has removed it."""
    here.rmdir()
    found = adbench("list", "methods", "--format", "json")
    assert found.exit_code == 0, found.output


def test_a_project_file_that_may_not_be_read_is_passed_over(here, monkeypatch):
    """It is for other programs; the file of a folder above counts."""
    written(here, "[tool.adbench]\n", "pyproject.toml")
    written(here.parent, '[run]\npreset = "cpu"\n')
    read = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.name == "pyproject.toml":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    assert {row["preset"] for row in rows()[0]} == {"cpu"}


@posix_only
def test_plugins_of_another_users_file_are_refused(here, monkeypatch):
    """A file above the working folder may be anybody's, and a plugin file is code; other defaults of it count."""
    path = written(here.parent, f"[run]\nplugin = ['{TINY}']\n")
    assert adbench(*DRY).exit_code == 0
    if os.getuid() == 0:
        os.chown(path, 4321, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    found = adbench(*DRY)
    assert found.exit_code == 2
    assert "run.plugin: found a file that another user owns" in " ".join(found.stderr.split())
