"""The command ``check-method``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..util.errors import AdbenchError, ResultError
from . import options as arguments
from . import values
from .console import load_plugins, print_tables, print_tracebacks, say, status_line, warn

if TYPE_CHECKING:
    from ..run.audit import Auditor
    from ..run.check_outcome import CheckResult
    from ..util.threads import Choice


@click.command("check-method", short_help="Test a method on a few generated images; takes seconds.")
@click.argument("name", metavar="METHOD")
@click.option("--preset", "-p", help="The preset to try, made small.  [default: cpu, or else quick or paper]")
@arguments.change_option("Keep an option at this value.")
@arguments.auxiliary_option
@arguments.plugin_option
@arguments.threads_option
@arguments.results_option
@arguments.format_option
@arguments.debug_option
def check_method(name: str, preset: str | None, changes: Sequence[str], auxiliary: Sequence[str],
                 plugin_files: tuple[Path, ...], threads: Choice, results: Path, format_: str) -> None:  # fmt: skip
    """Check a method on a few generated images: does it peek, repeat, save and resume? Takes seconds.

    The outcome is stored in RESULTS/audits, from where `adbench list methods METHOD`, the report and the site show it.

    \b
    adbench check-method padim
    adbench check-method msflow -p quick -o lr=0.01
    """  # noqa: D301
    registry = load_plugins(plugin_files)
    method = registry.method(name)
    chosen = values.overrides([method], changes, {})[name]
    given = values.auxiliary([method], auxiliary)[name]
    from ..report import lists
    from ..run.audit import Auditor
    from ..run.check_method import run

    auditor = Auditor(registry)
    auditor.begin(name)
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
    store_audit(auditor, results, name, preset, chosen, found)
    failed = [result for result in found if result.outcome == "failed"]
    if failed:
        if arguments.debugging(click.get_current_context()):
            print_tracebacks([result.error for result in failed])
        say(f"{len(failed)} of {len(found)} checks failed.")
        raise click.exceptions.Exit(AdbenchError.exit_code)


def store_audit(
    auditor: Auditor, results: Path, name: str, preset: str | None, changes: Mapping[str, Any],
    found: Sequence[CheckResult],
) -> None:  # fmt: skip
    """Store what was found of a method, and say where; where that can't be, a warning says why."""
    try:
        say(f"Stored in {auditor.store(results, name, preset, changes, found)}.")
    except ResultError as error:  # what was found is printed, and is what the command is for
        warn(str(error))
