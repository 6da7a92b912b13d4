"""The command ``label``: gives a stored run words of the user's own."""

from __future__ import annotations

from pathlib import Path

import click

from . import options as arguments
from .console import say


@click.command(short_help="Give a stored run your own words, which tables show.")
@click.argument("run")
@click.argument("text")
@arguments.results_option
@arguments.debug_option
def label(run: str, text: str, results: Path) -> None:
    """Give a stored run a label, in place of an older one: TEXT is up to 60 characters, "" removes it.

    RUN is a name as in `adbench list runs`, a variant such as padim:cpu or brick/padim:cpu/seed0, any part of
    DATASET/CLASS/METHOD/RUN that only one run has, or a folder.
    A label moves neither the run's numbers nor its name.

    \b
    adbench label cpu-seed0-1a2b3c4d "before the new lamp"
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"
    from ..results import labels, store
    from ..results.find import find_runs
    from ..results.run_files import folder_of, lock_of

    checked = labels.checked(text, thing="label")
    found = find_runs(store.read_all(results).results, [run], results)
    for result in found:
        labels.store(folder_of(results, result), checked, lock=lock_of(results, result))
        what = f"{result.dataset}/{result.class_name}/{result.method}/{result.run}"
        say(f"{what}: labelled '{checked}'." if checked else f"{what}: has no label now.")
