"""The command ``check-method``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..util.errors import AdbenchError
from . import options as arguments
from . import values
from .console import load_plugins, print_tables, print_tracebacks, say, status_line

if TYPE_CHECKING:
    from ..util.threads import Choice


@click.command("check-method", short_help="Test a method on a few generated images; takes seconds.")
@click.argument("name", metavar="METHOD")
@click.option("--preset", "-p", help="The preset to try, made small.  [default: cpu, or else quick or paper]")
@arguments.change_option("Keep an option at this value.")
@arguments.auxiliary_option
@arguments.plugin_option
@arguments.threads_option
@arguments.format_option
@arguments.debug_option
def check_method(name: str, preset: str | None, changes: Sequence[str], auxiliary: Sequence[str],
                 plugin_files: tuple[Path, ...], threads: Choice, format_: str) -> None:  # fmt: skip
    """Check a method on a few generated images: does it peek, repeat, save and resume? Takes seconds.

    \b
    adbench check-method padim
    adbench check-method msflow -p quick -o lr=0.01
    """  # noqa: D301
    method = load_plugins(plugin_files).method(name)
    chosen = values.overrides([method], changes, {})[name]
    given = values.auxiliary([method], auxiliary)[name]
    from ..report import lists
    from ..run.check_method import run

    values.compute_with(1 if threads == "auto" else threads)  # a fixed number, so that checks repeat
    with status_line() as show:
        found = run(
            method,
            preset=preset,
            changes=chosen,
            auxiliary=given,
            watch=lambda check: show(f"checking {name}: {check}"),
        )
    print_tables([lists.checks(name, found)], format_)
    failed = [result for result in found if result.outcome == "failed"]
    if failed:
        if arguments.debugging(click.get_current_context()):
            print_tracebacks([result.error for result in failed])
        say(f"{len(failed)} of {len(found)} checks failed.")
        raise click.exceptions.Exit(AdbenchError.exit_code)
