"""The command ``doctor``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..util.errors import AdbenchError
from . import options as arguments
from .console import print_tables, say, status_line


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
    from ..report import health
    from ..run.doctor import Asked, examine, is_sound

    given = os.environ.get("ADBENCH_DATA", "")
    roots = data_roots or tuple(Path(each) for each in given.split(os.pathsep) if each)
    with status_line() as show:
        found = examine(
            Asked(data_roots=roots, results=results, plugin_files=plugin_files, device=device),
            watch=lambda check: show(f"checking {check}"),
        )
    print_tables([health.findings(found)], format_)
    if not is_sound(found):
        say(f"{sum(each.status == 'red' for each in found)} of {len(found)} lines are red.")
        raise click.exceptions.Exit(AdbenchError.exit_code)
