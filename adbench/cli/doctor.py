"""The command ``doctor``."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..util.errors import AdbenchError
from ..util.text import printable
from . import options as arguments
from .console import print_tables, say, status_line

if TYPE_CHECKING:
    from ..run.doctor import Finding


@click.command(short_help="Check this machine: packages, GPU, memory, plugins, data.")
@click.option(
    "--data-root", "data_roots", type=click.Path(path_type=Path), multiple=True,
    help="A folder of data sets to look at; may be given several times.  [default: ADBENCH_DATA]",
)  # fmt: skip
@arguments.results_option
@arguments.device_option
@arguments.plugin_option
@arguments.format_option
@arguments.debug_option
def doctor(data_roots: tuple[Path, ...], results: Path, device: str, plugin_files: tuple[Path, ...],
           format_: str) -> None:  # fmt: skip
    """Check this machine and what is installed: green, yellow or red, each with the line that mends it.

    Yellow: adbench works, but something is missing or untested. Red: something fails; the exit code is 1.

    \b
    adbench doctor
    adbench doctor --data-root ~/data/mvtec --format json
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"
    from ..run.doctor import Asked, examine, is_sound

    given = os.environ.get("ADBENCH_DATA", "")
    roots = data_roots or tuple(Path(each) for each in given.split(os.pathsep) if each)
    with status_line() as show:
        found = examine(
            Asked(data_roots=roots, results=results, plugin_files=plugin_files, device=device),
            watch=lambda check: show(f"checking {check}"),
        )
    try:
        from ..report import health

        print_tables([health.findings(found)], format_)
    except ImportError:  # a package that tables need is missing, which is one of the findings
        _print_plainly(found, format_)
    if not is_sound(found):
        say(f"{sum(each.status == 'red' for each in found)} of {len(found)} lines are red.")
        raise click.exceptions.Exit(AdbenchError.exit_code)


def _print_plainly(found: Sequence[Finding], format_: str) -> None:
    """Print findings without the packages that draw tables: a line for each, or the JSON's rows."""
    if format_ == "json":
        click.echo(json.dumps([{"title": "Doctor", "rows": [asdict(each) for each in found]}], indent=2))
        return
    for each in found:
        click.echo(
            printable(f"{each.status:8}{each.check}: {each.found}" + (f" -> {each.remedy}" if each.remedy else ""))
        )
