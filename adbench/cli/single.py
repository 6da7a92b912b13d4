"""The commands about single stored runs: ``show`` and ``rm``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..util.errors import AdbenchError, UsageError
from ..util.text import plural
from . import options as arguments
from .console import is_terminal, load_plugins, print_tables, say, status_line, warn

if TYPE_CHECKING:
    from ..results.records import Result
    from ..results.removal import RunOnDisk

PIPED = 120
"""Width of lines outside a terminal, in characters."""


@click.command(short_help="Show all about one stored run.")
@click.argument("run", metavar="RUN")
@arguments.results_option
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="How to write it to standard output.")  # fmt: skip
@arguments.why_option
@arguments.looked_up
@arguments.debug_option
def show(run: str, results: Path, format_: str, why: bool, data_roots: Sequence[Path],
         plugin_files: tuple[Path, ...]) -> None:  # fmt: skip
    """Show a run's metrics, changed options, threshold, times, protocol, environment, files and command.

    RUN is a name as in `adbench list runs`, a variant such as padim:cpu or brick/padim:cpu/seed0, any part of
    DATASET/CLASS/METHOD/RUN that only one run has, or a folder.
    The command at the end computes it again with --force. Where its threshold was set afterwards, what sets it follows.

    \b
    adbench show demo/brick/padim
    adbench show cpu-seed0-1a2b3c4d --format json
    """  # noqa: D301
    from .. import report
    from ..report import show as page
    from ..results import store
    from ..results.variants import Names
    from ..run.standing import Inspector

    library = store.read_all(results)
    for problem in library.problems:
        warn(problem)
    chosen = _one_run(library.results, run, results)
    registry = load_plugins(plugin_files)
    with status_line() as tell:
        inspected = Inspector(registry, data_roots, tell, results=results).inspect(chosen)
    variant = Names(library.results, chosen).of(chosen[0])
    shown = page.of_run(chosen, [each.standing for each in inspected], results, registry, variant)
    if format_ == "json":
        click.echo(page.to_json_text(shown), nl=False)
        return
    tables = [page.metrics_table(shown)]
    print_tables(report.with_reasons(tables, chosen) if why else tables, format_)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPED
    click.echo(f"\n{page.to_text(shown, width)}", nl=False)


def _one_run(stored: Sequence[Result], name: str, results: Path) -> list[Result]:
    """The results of the run that a text stands for: of a model of several classes all of them.

    Raises:
        UnknownNameError: no run has this name.
        UsageError: several runs have it.
    """
    from ..results.find import find_runs

    found = find_runs(stored, [name], results)
    keys = set(map(_key, found))
    if len(keys) > 1:
        places = ", ".join(f"{each.dataset}/{each.class_name}/{each.method}" for each in found)
        raise UsageError(f"run '{name}'", found=f"{len(keys)} runs: {places}", wanted="DATASET/CLASS/METHOD/RUN")
    return [each for each in stored if _key(each) in keys]


def _key(run: Result) -> tuple[str, ...]:
    """What the results of one run share."""
    return run.dataset, run.method, run.run, "" if run.protocol.classes else run.class_name


@click.command(short_help="Remove stored runs from the disk.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@arguments.results_option
@click.option("--yes", is_flag=True, help="Remove without asking.")
@arguments.debug_option
def rm(runs: Sequence[str], results: Path, yes: bool) -> None:
    """Remove runs with checkpoints, scores and maps, also unfinished ones. A run in progress is refused.

    RUN is a name as in `adbench list runs`, a variant such as padim:cpu or brick/padim:cpu/seed0, any part of
    DATASET/CLASS/METHOD/RUN that only one run has, or a folder.
    A model of several classes is one run. Without a terminal, where nobody can be asked, a part of a name needs --yes.

    \b
    adbench rm demo/brick/padim
    adbench rm cpu-seed0-1a2b3c4d cpu-seed1-5e6f7a8b --yes
    """  # noqa: D301
    from ..results import removal

    found = removal.find(results, runs, whole=not yes and not is_terminal())
    if is_terminal() and not yes:
        _ask(found, results)
    errors: list[AdbenchError] = []
    for run in found:
        try:
            removal.remove(run)
        except AdbenchError as error:
            errors.append(error)
            warn(str(error))
        else:
            say(f"Removed {run.text}.")
    if errors:
        raise click.exceptions.Exit(AdbenchError.exit_code)


def _ask(found: Sequence[RunOnDisk], results: Path) -> None:
    """List the runs with their sizes, and ask; another answer than yes ends the command."""
    from ..util.sizes import bytes_text

    for run in found:
        say(f"{run.text}: {bytes_text(run.bytes)}{'' if run.is_finished else ', unfinished'}")
    count = plural(len(found), "run")
    click.confirm(f"Remove {count} from {results}, with checkpoints and maps?", abort=True, err=True)
