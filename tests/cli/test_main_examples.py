"""Every command's help has an example."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from adbench.cli.main import app


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """All commands and groups with the words that call them."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        if not each.hidden:
            yield from commands(each, f"{path} {name}")


ALL = dict(commands(app, "adbench"))


def examples(path: str) -> list[str]:
    """The lines of a help text that call a command, as they are printed at 80 columns."""
    context = click.Context(ALL[path], info_name=path, terminal_width=80)
    lines = [line.strip() for line in ALL[path].get_help(context).partition("Options:")[0].splitlines()]
    return [line for line in lines[1:] if line.startswith("adbench ") or line.startswith('eval "$(adbench ')]


@pytest.mark.parametrize("path", ALL)
def test_every_help_has_an_example(path):
    """The help of each command and group has a line that calls it, whole at 80 columns."""
    assert [line for line in examples(path) if path in line], ALL[path].help


def test_all_commands_are_walked():
    """Groups are entered, so that no command is left out."""
    assert {"adbench", "adbench run", "adbench cache", "adbench cache prune", "adbench plugin new"} <= set(ALL)
    assert len(ALL) > 20
