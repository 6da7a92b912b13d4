"""A page for each command of adbench: its help, its options and its examples, as click knows them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from adbench.cli.main import app

from .markdown import Page, block, code, definitions, plain, table

FOLDER = "commands"

VERBATIM = "\b\n"
"""click's mark at the start of a paragraph that is not wrapped: adbench's are examples."""


def pages() -> list[Page]:
    """The list of all commands, and a page for each."""
    shown = [command for command in app.commands.values() if not command.hidden]
    rows = [[f"[`{app.name} {each.name}`]({each.name}.md)", plain(each.get_short_help_str(200))] for each in shown]
    text = (
        "# Commands\n\nEach page is made from the command itself; `adbench COMMAND --help` prints the same.\n\n"
        f"{table(['command', 'what it does'], rows)}\n## Exit codes\n\n{plain(_EXIT_CODES)}\n"
    )
    own = [Page(f"{FOLDER}/{each.name}.md", _page(each)) for each in shown]
    return [Page(f"{FOLDER}/index.md", text), *own]


_EXIT_CODES = (
    "0: done. 1: a task failed, and the results of the others are kept. 2: a mistake in the command or the data. "
    "130: stopped with Ctrl-C or SIGTERM. Results go to standard output, messages to standard error."
)


def _page(command: click.Command) -> str:
    """The text of one command; the commands of a group follow as sections."""
    parts = [f"# {app.name} {command.name}\n", *_body(command, _context(command, app.name or "adbench"))]
    return "\n".join(parts)


def _context(command: click.Command, before: str) -> click.Context:
    return click.Context(command, info_name=f"{before} {command.name}", **command.context_settings)


def _body(command: click.Command, context: click.Context) -> Iterator[str]:
    """The help, usage, examples and options of a command, and then its own commands."""
    paragraphs, examples = help_of(command)
    yield from (f"{plain(paragraph)}\n" for paragraph in paragraphs)
    yield block(f"{context.info_name} {' '.join(command.collect_usage_pieces(context))}", "text")
    if examples:
        title = "Example" if len(examples.splitlines()) == 1 else "Examples"
        yield f"**{title}**\n\n{block(examples)}"
    if rows := list(_options(command, context)):
        yield definitions(rows)
    for name, each in getattr(command, "commands", {}).items():
        if not each.hidden:
            yield f"## {context.info_name} {name}\n"
            yield from _body(each, _context(each, context.info_name or ""))


def help_of(command: click.Command) -> tuple[list[str], str]:
    """The paragraphs of a command's help, and the lines of its examples."""
    text = inspect.cleandoc(command.help or "")
    found = text.split("\n\n")
    paragraphs = [each for each in found if not each.startswith(VERBATIM)]
    return paragraphs, "\n".join(each.removeprefix(VERBATIM) for each in found if each.startswith(VERBATIM))


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """The options as ``--help`` lists them, without ``--help`` itself; arguments stand in the usage."""
    for parameter in command.params:
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None:
            yield code(record[0]), plain(record[1])
