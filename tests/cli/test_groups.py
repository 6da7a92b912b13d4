"""An unknown command is answered with the right one, also where another suite has that command."""

from __future__ import annotations

import pytest
from runs import adbench, line_of

from adbench.cli.groups import ELSEWHERE
from adbench.cli.main import app


@pytest.mark.parametrize("name", ["train", "fit", "eval", "benchmark", "inference", "validate"])
def test_commands_of_other_suites_find_ours(name):
    """One message names the command, and has an example; the exit code is that of a mistake."""
    done = adbench(name, "--model", "padim", "whatever")
    assert (done.exit_code, done.stdout) == (2, "")
    here = ELSEWHERE[name]
    assert f"unknown command '{name}': {here.command} " in line_of(done)
    assert f"Example: {here.example}." in line_of(done)


def test_no_name_of_another_suite_hides_a_command():
    """What is a command of adbench itself needs no answer, and each answer names a command that is there."""
    assert set(ELSEWHERE) & set(app.commands) == set()
    for here in ELSEWHERE.values():
        assert here.command.split()[1] in app.commands, here


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("leaderbord",), "unknown command 'leaderbord'. Did you mean 'leaderboard'?"),
        (("Runn",), "unknown command 'Runn'. Did you mean 'run'?"),
        (("results", "stales"), "unknown command 'stales'. Did you mean 'stale'?"),
        (("plugin", "nw"), "unknown command 'nw'. Did you mean 'new'?"),
        (("xyzzy",), "unknown command 'xyzzy'. See adbench --help."),
        (("cache", "xyzzy"), "unknown command 'xyzzy'. See adbench cache --help."),
    ],
    ids=" ".join,
)
def test_a_mistyped_command_is_answered_with_the_nearest(words, said):
    """In every group, in one line, with exit code 2."""
    done = adbench(*words)
    assert done.exit_code == 2
    assert line_of(done) == f"Error: {said}"
