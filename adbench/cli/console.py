"""Console output of commands: results go to standard output, messages to standard error."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..util.text import printable

if TYPE_CHECKING:
    from rich.console import Console

    from ..api.registry import Registry
    from ..report.tables import AnyTable

LOG_EVERY = 15.0
"""Seconds between two lines of progress in a log."""

STOPPED = 130
"""Exit code after Ctrl-C, as in shells."""


def console() -> Console:
    """The console for messages, which go to standard error."""
    from rich.console import Console

    return Console(stderr=True)


def is_terminal() -> bool:
    """Whether a person at a terminal can answer."""
    return sys.stdin.isatty()


@contextlib.contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """A line on a terminal about the present work, removed at the end; in a log a line now and then."""
    from rich.text import Text

    shown = console()
    if not shown.is_terminal:
        yield now_and_then()
        return
    with shown.status("") as status:
        yield lambda text: status.update(Text(printable(text)))


def now_and_then(clock: Callable[[], float] = time.monotonic) -> Callable[[str], None]:
    """Make a function that prints a text if it printed none in the last ``LOG_EVERY`` seconds."""
    last = clock()

    def show(text: str) -> None:
        nonlocal last
        if clock() - last >= LOG_EVERY:
            last = clock()
            say(text)

    return show


def counted(show: Callable[[str], None], name: str) -> Callable[[str, int, int], None]:
    """Turn progress such as ("score", done, total) into texts for ``show``."""
    return lambda what, done, total: show(f"{name}: {what} {done}/{total}")


def say(text: str, *, style: str = "") -> None:
    """Print a message in one line, however long, with control characters as escapes."""
    console().print(printable(text), style=style, highlight=False, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """Print a warning, while the work goes on."""
    say(f"Warning: {text}", style="yellow")


def print_path(path: Path) -> None:
    """Write a path to standard output: unchanged for programs, with control characters as escapes for a terminal."""
    import click

    click.echo(printable(str(path)) if sys.stdout.isatty() else os.fsencode(path))


def print_tracebacks(errors: Sequence[BaseException | None]) -> None:
    """Print the tracebacks of those that are there to standard error."""
    import traceback

    for error in errors:
        if error is not None:
            traceback.print_exception(error)


def print_tables(tables: Sequence[AnyTable], format_: str) -> None:
    """Write results to standard output and flush it."""
    from ..report import render

    render.write(tables, format_)
    sys.stdout.flush()  # so that a closed pipe raises its error here


def load_plugins(files: Sequence[Path]) -> Registry:
    """Find all plugins, and warn about broken ones."""
    from ..api import registry as plugins

    registry = plugins.load(files)
    for line in registry.broken:
        warn(line)
    return registry
