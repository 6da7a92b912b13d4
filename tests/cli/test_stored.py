"""Output of the commands: tables in every format, help, pipes and narrow terminals."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys

import pytest
from runs import TINY, adbench, adbench_process, posix_only

from adbench.api.scores import METRIC_NAMES
from adbench.cli import main

# ---------------------------------------------------------------- tables


def test_leaderboard_in_every_format(ran):
    """The same board as a table, JSON, CSV, Markdown, LaTeX and SVG, each whole on standard output."""
    texts = {}
    for name in ("table", "json", "csv", "markdown", "latex", "svg"):
        done = adbench("leaderboard", "--results", ran, "--format", name)
        assert (done.exit_code, done.stderr) == (0, "")
        texts[name] = done.stdout
        assert "random:cpu" in done.stdout.replace("&#160;", " ")
    (table,) = json.loads(texts["json"])
    assert [row["rank"] for row in table["rows"]] == [1, 2]
    assert {row["variant"] for row in csv.DictReader(io.StringIO(texts["csv"]))} == {"tiny:cpu,epochs=1", "random:cpu"}
    assert texts["svg"].startswith("<svg")
    assert "\\begin{tabular}" in texts["latex"]
    assert "| ---" in texts["markdown"] or "|---" in texts["markdown"] or "| :" in texts["markdown"]


@pytest.mark.parametrize("classes", ["all", "bolts,nuts", "nuts, bolts"])
def test_stored_results_are_chosen_by_class_as_runs_are(ran, classes):
    """--class takes a list or all here, too, and gives the same as no --class."""
    plain = adbench("leaderboard", "--results", ran, "--format", "json")
    for option in ("--class", "-c"):
        chosen = adbench("leaderboard", "--results", ran, "--format", "json", option, classes)
        assert json.loads(chosen.stdout) == json.loads(plain.stdout)


def test_leaderboard_by_class_and_of_one_class(ran):
    """--by-class has a row per class; --class leaves the others out."""
    tables = json.loads(adbench("leaderboard", "--results", ran, "--by-class", "--format", "json").stdout)
    assert [[row["class"] for row in table["rows"]] for table in tables] == [["bolts", "nuts"]] * 2
    (table,) = json.loads(adbench("leaderboard", "--results", ran, "--class", "nuts", "--format", "json").stdout)
    assert {row["classes"] for row in table["rows"]} == {1}


def test_compare_puts_methods_side_by_side(ran):
    """Compare shows both methods per class, their difference, and the mean; --format json is one document."""
    done = adbench("compare", "tiny", "random", "--results", ran, "--metric", "pixel_auroc")
    assert done.exit_code == 0, done.stderr
    for text in ("bolts", "nuts", "mean"):
        assert text in done.stdout
    document = adbench("compare", "tiny", "random", "--results", ran, "--format", "json")
    assert document.stderr == ""
    assert len(json.loads(document.stdout)[0]["rows"]) >= 2


@pytest.mark.slow
def test_csv_has_all_metrics(ran):
    """A ranking has them as columns, a comparison as the metric of its rows; --metric still chooses."""
    (header, *_) = adbench("leaderboard", "--results", ran, "--format", "csv").stdout.splitlines()
    assert set(METRIC_NAMES) <= set(header.split(","))
    done = adbench("compare", "tiny", "random", "--results", ran, "--format", "csv")
    assert {row["metric"] for row in csv.DictReader(io.StringIO(done.stdout))} == set(METRIC_NAMES)
    one = adbench("compare", "tiny", "random", "--results", ran, "--format", "csv", "--metric", "aupro_05")
    assert {row["metric"] for row in csv.DictReader(io.StringIO(one.stdout))} == {"aupro_05"}


@pytest.mark.parametrize("what", ["methods", "datasets", "backbones", "runs"])
def test_lists_in_every_format(ran, what):
    """Each list is a table for people, and one JSON document for programs."""
    words = ("list", what, "--results", ran, "--plugin", TINY)
    assert adbench(*words).exit_code == 0
    (table,) = json.loads(adbench(*words, "--format", "json").stdout)
    expected = {
        "methods": {"cflow", "msflow", "random", "tiny"},
        "datasets": {"demo", "folder", "mvtec", "visa"},
        "backbones": {"wide_resnet50_2", "efficientnet_lite0", "resnet18"},
        "runs": {"tiny:cpu,epochs=1", "random:cpu"},
    }[what]
    assert expected <= {value for row in table["rows"] for value in row.values()}


def test_list_of_one_method_shows_its_options_in_each_preset():
    """``list methods NAME`` has a row for each option; a star marks presets that vary by class."""
    (table,) = json.loads(adbench("list", "methods", "tiny", "--plugin", TINY, "--format", "json").stdout)
    rows = {row["option"]: row for row in table["rows"]}
    assert (rows["epochs"]["paper"], rows["epochs"]["cpu"], rows["lr"]["big"]) == ("4", "3", "0.05*")
    assert rows["size"]["paper"] == "64x64"


# ---------------------------------------------------------------- around the commands


@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("--version",), ("list", "methods", "--help")])
def test_help_imports_nothing_heavy(tmp_path, words):
    """Help and version answer at once: no torch, NumPy, pandas, rich or Pillow is loaded for them."""
    code = (
        "import sys; from adbench.cli.main import app\n"
        f"try: app({list(words)!r})\n"
        "except SystemExit as leaving: assert not leaving.code\n"
        "heavy = {'torch', 'numpy', 'pandas', 'rich', 'PIL', 'scipy', 'sklearn', 'skimage', 'torchvision', 'FrEIA'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(done.stdout.splitlines()) > 1


def test_the_version_is_one_line():
    """``adbench --version`` prints the installed version."""
    from importlib.metadata import version

    assert adbench("--version").stdout == f"adbench {version('adbench-suite')}\n"


def test_every_command_and_option_explains_itself():
    """Every command and every option has a help text."""
    for name, command in main.app.commands.items():
        assert command.help, name
        for option in command.params:
            assert getattr(option, "help", None) or option.param_type_name == "argument", (name, option.name)


def test_large_pages_are_asked_for_unless_the_user_decided(monkeypatch):
    """Torch gets its switch before it is loaded, and an explicit 0 stays."""
    monkeypatch.setattr(sys, "argv", ["adbench", "--version"])
    for found, kept in (("", "1"), ("0", "0")):
        monkeypatch.setenv(main.LARGE_PAGES, found)
        if not found:
            monkeypatch.delenv(main.LARGE_PAGES)
        with pytest.raises(SystemExit, match="0"):
            main.main()
        assert os.environ[main.LARGE_PAGES] == kept


@posix_only
@pytest.mark.parametrize(
    ("what", "format_", "unbuffered"),
    [
        ("datasets", "csv", ""),
        ("runs", "table", "1"),
        pytest.param("runs", "csv", "", marks=pytest.mark.slow),
        pytest.param("runs", "csv", "1", marks=pytest.mark.slow),
    ],
)
def test_a_closed_pipe_is_no_error(ran, tmp_path, what, format_, unbuffered):
    """In ``adbench list ... | head`` the reader ends early, and no error is printed."""
    with subprocess.Popen(
        [sys.executable, "-m", "adbench", "list", what, "--results", str(ran), "--format", format_],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    ) as process:  # fmt: skip
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, "")


def test_pipes_and_files_get_all_letters_whatever_the_locale():
    """If the system's encoding lacks letters, such as a code page of Windows, a file is written in UTF-8."""
    poor = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    poor.pop("PYTHONIOENCODING", None)
    done = subprocess.run(
        [sys.executable, "-m", "adbench", "list", "methods"], check=True, capture_output=True, env=poor
    )
    assert "─" in done.stdout.decode("utf-8")


@posix_only
def test_a_name_that_is_no_text_is_no_traceback():
    """File names are bytes there; bytes that are no letter are replaced, in a pipe and on a terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "adbench", "leaderboard", "--results", b"no\xffwhere"], capture_output=True
    )
    assert done.returncode == 2
    assert done.stderr.decode("utf-8").startswith("Error: results folder no")


def test_messages_hold_no_command_for_the_terminal(ran):
    """Names in errors and warnings come from other people's folders and files."""
    done = adbench("leaderboard", "--results", ran, "--class", "\x1b[2Jnuts\n")
    assert done.exit_code == 2
    assert r"'\x1b[2Jnuts'" in done.stderr
    assert "\x1b" not in done.stderr


def test_pipes_get_no_escape_codes(tiny_data, tmp_path):
    """In a pipe, neither the table nor the progress has escape codes, and no line is wrapped."""
    done = adbench_process(
        "run", "-m", "tiny", "--plugin", TINY, "-d", "folder", "--data-root", tiny_data, "-c", "bolts",
        cwd=tmp_path, COLUMNS="40", TERM="xterm-256color",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "[1/1] tiny · folder/bolts: epoch 4/4 · loss" in done.stderr
    assert len(done.stderr.splitlines()) <= 4


@posix_only
@pytest.mark.parametrize("no_color", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_narrow_terminal_keeps_all_digits(ran, tmp_path, no_color):
    """On a terminal of 40 columns every number is whole; NO_COLOR removes the colours."""
    import pty

    outside, inside = pty.openpty()
    env = {**os.environ, "COLUMNS": "40", "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
    env.pop("NO_COLOR", None)
    if no_color:
        env["NO_COLOR"] = "1"
    process = subprocess.Popen(
        [sys.executable, "-m", "adbench", "leaderboard", "--results", str(ran)],
        cwd=tmp_path, stdout=inside, stderr=inside, env=env,
    )  # fmt: skip
    os.close(inside)
    shown = b""
    try:
        while chunk := os.read(outside, 65536):
            shown += chunk
    except OSError:  # Linux says so at the end
        pass
    os.close(outside)
    assert process.wait(timeout=60) == 0
    text = shown.decode()
    (table,) = json.loads(adbench("leaderboard", "--results", ran, "--format", "json").stdout)
    for row in table["rows"]:
        for name in ("image_auroc", "pixel_auroc", "aupro"):
            assert f"{100 * row[name]:.2f}" in text
        assert f"{row['images_per_second']:.1f}" in text
    assert ("\x1b[36m" in text) is not no_color
