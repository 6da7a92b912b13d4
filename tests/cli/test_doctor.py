"""The command ``doctor``: its table, its JSON and its exit code."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from runs import adbench

from adbench.run import doctor, installation
from adbench.run.doctor import freia, places, round_trip, software
from adbench.run.doctor.finding import Finding
from adbench.util import installed
from adbench.util.installed import Needed


@pytest.fixture
def quick(monkeypatch):
    """Only one check is made, which yields what the test says."""

    def say(*found: Finding) -> None:
        monkeypatch.setattr(software, "python", lambda asked: iter(found))

    monkeypatch.setattr(doctor, "CHECKS", (("Python", "software", "python"),))
    return say


@pytest.mark.slow
def test_the_doctor_finds_this_machine_sound(tmp_path, monkeypatch, tiny_data):
    """All checks are made here, none is red, and each line is in the JSON with its remedy."""
    monkeypatch.chdir(tmp_path)
    done = adbench("doctor", "--format", "json", "--data-root", tiny_data, "--device", "cpu")
    (table,) = json.loads(done.stdout)
    rows = table["rows"]
    assert [row for row in rows if row["status"] == "red"] == []
    assert done.exit_code == 0
    checks = {row["check"] for row in rows}
    assert {name for name, _, _ in doctor.CHECKS} - {"packages", "results"} <= checks | {"disk of the results"}
    assert all(row["found"] for row in rows)
    assert not list(tmp_path.iterdir())  # it writes nothing


def test_red_ends_with_exit_code_1_and_yellow_with_0(quick):
    """The table is printed in both cases; red lines are counted on standard error."""
    quick(Finding("Python", "yellow", "old", "Get another"))
    done = adbench("doctor")
    assert done.exit_code == 0
    assert "Get another" in done.stdout
    quick(Finding("Python", "red", "too old", "Get another"), Finding("Python", "green", "fine"))
    done = adbench("doctor")
    assert done.exit_code == 1
    assert "Doctor: 1 green, 1 red" in done.stdout
    assert "1 of 2 lines are red." in done.stderr


def test_a_check_that_breaks_hides_no_other(monkeypatch):
    """An unforeseen error is a red line, and one of a setting has its own remedy."""

    def broken(asked):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(doctor, "CHECKS", (("a", "software", "python"), ("cache", "places", "cache_and_disk")))
    monkeypatch.setattr(software, "python", broken)
    monkeypatch.setenv("ADBENCH_CACHE_LIMIT", "plenty")
    done = adbench("doctor", "--format", "json")
    rows = json.loads(done.stdout)[0]["rows"]
    assert [row["status"] for row in rows] == ["red", "red"]
    assert "the check broke: ZeroDivisionError: division by zero" in rows[0]["found"]
    assert "ADBENCH_CACHE_LIMIT: found 'plenty'" in rows[1]["found"]
    assert done.exit_code == 1


def test_the_data_roots_come_from_the_environment(quick, monkeypatch, tmp_path):
    """ADBENCH_DATA may have several folders; --data-root takes their place."""
    monkeypatch.setattr(doctor, "CHECKS", (("data", "places", "data"),))
    monkeypatch.setenv("ADBENCH_DATA", f"{tmp_path / 'a'}{__import__('os').pathsep}{tmp_path / 'b'}")
    assert len(json.loads(adbench("doctor", "--format", "json").stdout)[0]["rows"]) == 2
    rows = json.loads(adbench("doctor", "--format", "json", "--data-root", tmp_path / "c").stdout)[0]["rows"]
    assert [str(tmp_path / "c") in row["found"] for row in rows] == [True]


@pytest.mark.slow
def test_without_torch_it_is_a_red_line_and_no_crash(tmp_path):
    """Python, packages, plugins and the disk are still checked; what needs torch says that it wasn't."""
    code = (
        "import sys; sys.modules['torch'] = None\nfrom adbench.cli.main import app\napp(['doctor', '--format', 'json'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    rows = json.loads(done.stdout)[0]["rows"]
    status = {row["check"]: row["status"] for row in rows}
    assert [row["check"] for row in rows if row["status"] == "red"] == ["torch"]
    assert (status["Python"], status["plugins"], status["cache"]) == ("green", "green", "green")
    assert {check for check, each in status.items() if each == "yellow"} >= {"GPU", "memory", "self-check"}


@pytest.mark.parametrize("format_", ["table", "json"])
def test_without_what_tables_need_the_findings_are_printed_plainly(quick, monkeypatch, format_):
    """A missing package such as psutil must not hide the line that says so."""
    monkeypatch.setitem(sys.modules, "adbench.report", None)
    quick(Finding("psutil", "red", "not installed", "pip install psutil"))
    done = adbench("doctor", "--format", format_)
    assert done.exit_code == 1
    if format_ == "json":
        assert json.loads(done.stdout)[0]["rows"][0]["remedy"] == "pip install psutil"
    else:
        assert done.stdout == "red     psutil: not installed -> pip install psutil\n"


# ---------------------------------------------------------------- troubles of the reference deployment
# Each has a test of its check as well: a changed FrEIA in test_freia.py, a removed NumPy name in test_plugins.py, out
# of memory on 6 GB in test_memory.py, test mode's unpacking in test_round_trip.py.


def test_a_missing_wandb_stops_nothing(monkeypatch):
    """The authors' program imported it always; here the line is green, and a run needs none."""
    monkeypatch.setattr(installed, "version_of", lambda name: None)
    monkeypatch.setattr(installation, "needs", lambda: [Needed("wandb", "0.17", extra="wandb")])
    monkeypatch.setattr(
        doctor, "CHECKS", (("optional packages", "software", "optional"), ("self-check", "round_trip", "check"))
    )
    monkeypatch.setattr(round_trip, "train_and_test", lambda registry: (1.0, 1.0))
    done = adbench("doctor", "--format", "json")
    rows = json.loads(done.stdout)[0]["rows"]
    assert done.exit_code == 0
    assert "wandb" in rows[0]["found"]
    assert rows[0]["remedy"] == "For one of them: adbench install wandb --yes"


def test_a_changed_freia_in_front_of_the_released_one_is_red(tmp_path, monkeypatch):
    """The exit code is 1, and the line names the folder that hides the package."""
    copy = tmp_path / "FrEIA"
    copy.mkdir()
    (copy / "__init__.py").write_text("")
    monkeypatch.setattr(doctor, "CHECKS", (("FrEIA", "freia", "check"),))
    monkeypatch.setattr(freia, "_imported_from", lambda: copy)
    done = adbench("doctor", "--format", "json")
    (row,) = json.loads(done.stdout)[0]["rows"]
    assert (done.exit_code, row["status"]) == (1, "red")
    assert f"Remove or rename {copy}" in row["remedy"]


def test_at_80_columns_nothing_is_cut(quick, monkeypatch):
    """Long texts are folded, and the status stands in the first column."""
    monkeypatch.setattr(places, "LITTLE", 0)
    quick(Finding("memory", "yellow", " ".join(["preset:paper (9.1 GB),"] * 20), "Use " + "another preset " * 12))
    done = adbench("doctor")
    assert done.stdout.count("preset:paper") == 20
