"""The pages of commands are those of click, whatever commands there are."""

from __future__ import annotations

import click
import pytest

from adbench.cli.main import app
from docsite import commands


def all_commands(group: click.Group, before: str = "adbench") -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name, command in group.commands.items():
        if not command.hidden:
            found.append((f"{before} {name}", command))
            found += all_commands(command, f"{before} {name}") if isinstance(command, click.Group) else []
    return found


TEXTS = {page.path: page.text for page in commands.pages()}


@pytest.mark.parametrize(("name", "command"), all_commands(app), ids=lambda each: each if isinstance(each, str) else "")
def test_every_command_has_its_help_its_options_and_an_example(name, command):
    """Each command, also of a group, has a heading, its options with their meanings, and the lines of its example."""
    text = TEXTS[f"commands/{name.split()[1]}.md"]
    level = "#" * (len(name.split()) - 1)
    section = text[text.index(f"{level} {name}\n") :]
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.opts[0] in section
    _, examples = commands.help_of(command)
    assert examples
    assert examples in section


def test_the_list_has_every_command():
    """The first page links to each command."""
    index = TEXTS["commands/index.md"]
    assert set(TEXTS) == {"commands/index.md", *(f"commands/{name}.md" for name in app.commands)}
    assert all(f"]({name}.md)" in index for name in app.commands)


def test_a_new_command_gets_a_page(monkeypatch):
    """A command that another part adds is found; a hidden one is not."""

    @click.command("fresh")
    @click.option("--many", metavar="N|M", help="How *many*.")
    def fresh(many: str) -> None:
        """Do it.

        \b
        adbench fresh --many 3
        """  # noqa: D301

    monkeypatch.setitem(app.commands, "fresh", fresh)
    monkeypatch.setitem(app.commands, "secret", click.Command("secret", hidden=True))
    pages = {page.path: page.text for page in commands.pages()}
    assert "commands/secret.md" not in pages
    assert pages["commands/fresh.md"] == (
        "# adbench fresh\n\nDo it.\n\n```text\nadbench fresh [OPTIONS]\n```\n\n**Example**\n\n"
        "```sh\nadbench fresh --many 3\n```\n\n`--many N|M`\n:   How &#42;many&#42;.\n"
    )
