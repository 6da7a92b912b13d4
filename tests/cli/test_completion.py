"""Completion: scripts for three shells, and names that are found quickly and quietly."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete
from made_results import make_result
from runs import TINY, adbench

from adbench.api import registry
from adbench.cli import completion
from adbench.cli.main import app
from adbench.results.run_files import folder_of


def complete(*words: object) -> list[str]:
    """What the shell would offer for the last word."""
    *before, last = map(str, words)
    return [item.value for item in BashComplete(app, {}, "adbench", completion.VARIABLE).get_completions(before, last)]


@pytest.fixture(scope="module")
def _loaded_once() -> Iterator[None]:
    """Let the parameters of a test share what is loaded; a shell loads it for each completion."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "load", cache(registry.load))
        yield


@pytest.fixture
def results(tmp_path) -> Path:
    """Two finished runs, one of a model of two classes, and an unfinished one."""
    for method, class_name, run, changes in (
        ("tiny", "bolts", "cpu-seed0-11aa", {}),
        ("tiny", "nuts", "paper-seed0-22bb", {"setting": "multi-class", "classes": ("bolts", "nuts")}),
        ("tiny", "bolts", "paper-seed0-22bb", {"setting": "multi-class", "classes": ("bolts", "nuts")}),
    ):
        result = replace(make_result(method, class_name, **changes), run=run)
        folder_of(tmp_path, result).write_result(result, [], [])
    unfinished = tmp_path / "folder" / "bolts" / "tiny" / "quick-seed0-33cc"
    unfinished.mkdir(parents=True)
    (unfinished / "state.pt").touch()
    return tmp_path


@pytest.mark.usefixtures("_loaded_once")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("le",), ["leaderboard"]),
        (("plugin", ""), ["check", "list", "new"]),
        (("run", "-m", "msf"), ["msflow"]),
        (("run", "-m", "msflow,cfl"), ["msflow,cflow"]),
        (("run", "-m", "padim,pad"), []),
        (("run", "-d", "f"), ["folder"]),
        (("run", "-m", "padim", "-p", ""), ["paper", "quick", "cpu"]),
        (("run", "--plugin", TINY, "-m", "tiny", "-p", ""), ["cpu", "big", "paper"]),
        (("run", "--plugin", TINY, "-m", "ti"), ["tiny"]),
        (("reproduce", "ms"), ["msflow"]),
        (("list", "methods", "pati"), []),
        (("list", "methods", "patch"), ["patchcore"]),
        (("list", "runs", "patch"), []),
        (("check-method", "stf"), ["stfpm"]),
        (("plugin", "check", "vis"), ["visa"]),
        (("plugin", "new", ""), []),
        (("leaderboard", "--metric", "image_au"), ["image_auroc"]),
        (("run", "--backbone", "wide_resnet50"), ["wide_resnet50_2"]),
        (("run", "--track", "mlflow,wa"), ["mlflow,wandb"]),
        (("run", "--device", "c"), ["cpu", "cuda"]),
        (("completion", "b"), ["bash"]),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_names_are_completed(words, offered):
    """Commands, methods, data sets, presets of the method that is typed, backbones, metrics; lists by commas."""
    found = complete(*words)
    assert sorted(found) == sorted(offered)


def test_stored_runs_are_completed(results):
    """By name, or by DATASET/CLASS/METHOD/RUN once a slash is typed; only rm knows the unfinished ones."""

    def offered(command: str, text: str) -> list[str]:
        return complete(command, "--results", results, text)

    assert offered("show", "") == ["cpu-seed0-11aa", "paper-seed0-22bb"]
    assert offered("heatmaps", "pa") == ["paper-seed0-22bb"]
    assert offered("show", "folder/n") == ["folder/nuts/tiny/paper-seed0-22bb"]
    assert offered("rm", "q") == ["quick-seed0-33cc"]
    assert complete("leaderboard", "--results", results, "-c", "bolts,") == ["bolts,nuts"]


@pytest.mark.parametrize(
    "words", [("show", "x"), ("predict", ""), ("predict", "11aa", "new/"), ("run", "--weights", "w")], ids=" ".join
)
def test_files_are_offered_where_they_will_do(words, tmp_path, monkeypatch):
    """A folder or a checkpoint in place of a run's name, images, weights: the shell knows them better."""
    monkeypatch.chdir(tmp_path)
    *before, last = words
    (item,) = BashComplete(app, {}, "adbench", completion.VARIABLE).get_completions(before, last)
    assert (item.type, item.value) == ("file", last)


def test_every_name_of_every_command_is_completed():
    """Each argument or option for a method, data set, preset, backbone, metric or run has its source."""
    for command in completion.commands_of(app):
        for parameter in command.params:
            if parameter.name in completion.SOURCES and not isinstance(parameter.type, (click.Path, click.Choice)):
                assert isinstance(parameter.type, completion.Names), (command.name, parameter.name)


def test_a_broken_plugin_offers_nothing_and_prints_nothing(tmp_path, capfd):
    """A plugin that prints, or raises, must not disturb the line that is typed."""
    (tmp_path / "loud.py").write_text("print('loud')\nraise ValueError('no')\n")
    assert complete("run", "--plugin", tmp_path / "loud.py", "-m", "pa") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_script_is_printed(shell):
    """Standard output is the script alone, which asks adbench by click's variable."""
    done = adbench("completion", shell)
    assert done.exit_code == 0
    assert completion.VARIABLE in done.stdout
    assert f"{shell}_complete" in done.stdout


def test_no_script_for_another_shell():
    """The message names those that there are."""
    done = adbench("completion", "tcsh")
    assert done.exit_code == 2
    assert "bash, zsh, fish" in done.stderr


def test_completion_imports_nothing_heavy(results, tmp_path):
    """A completion doesn't wait for torch, and prints only names: of a method, and of a stored run."""
    code = f"""
import os, sys
from adbench.cli.main import main
sys.argv = ["adbench"]
os.environ["{completion.VARIABLE}"] = "bash_complete"
for line in ("adbench run -m stf", "adbench show --results {results} cpu"):
    os.environ.update(COMP_WORDS=line, COMP_CWORD=str(len(line.split()) - 1))
    try:
        main()
    except SystemExit:
        pass
heavy = {{"torch", "numpy", "rich", "PIL", "scipy"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "plain,stfpm\nplain,cpu-seed0-11aa\n"
