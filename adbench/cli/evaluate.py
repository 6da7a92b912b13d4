"""The command ``evaluate``: stored runs at another evaluation size, without training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..util.errors import PLUGIN_ERRORS, AdbenchError, TaskError, described
from . import options as arguments
from . import values
from .console import counted, print_tables, say, status_line, warn
from .gathered import gathered
from .jobs import end_with
from .selection import LookedUp

if TYPE_CHECKING:
    from ..results.records import Result
    from ..util.threads import Choice


@click.command(short_help="Evaluate stored runs at another size, without training.")
@click.argument("runs", nargs=-1, metavar="[RUN...]")
@click.option(
    "--eval-size",
    metavar="SIZE",
    required=True,
    help="Compare maps and masks at this size: native, each image's own, or HxW.",
)
@click.option(
    "--ignore-mask",
    metavar="PATH",
    type=click.Path(),
    help="Where the ignore mask of these runs lies now: results have its content's digest, which must be the same.",
)
@arguments.metrics_option
@arguments.results_option
@arguments.chosen
@click.option("--all", "every", is_flag=True, help="All stored runs.")
@arguments.reopened
@arguments.format_option
@arguments.debug_option
@gathered("asked", LookedUp)
def evaluate(runs: Sequence[str], eval_size: str, ignore_mask: str | None, metrics: str | None, asked: LookedUp,
             every: bool, device: str, threads: Choice, format_: str) -> None:  # fmt: skip
    """Evaluate the checkpoints of stored runs at another size, and store the results as runs of their own.

    RUN is a name as in `adbench list runs`, a variant such as padim:cpu or brick/padim:cpu/seed0, any part of
    DATASET/CLASS/METHOD/RUN that only one run has, or a folder.
    Without RUN, those of a data set (-d), of classes (-c) or of all runs (--all). The new run has the name and the
    numbers that `adbench run --eval-size SIZE` would give; nothing is trained.

    \b
    adbench evaluate cpu-seed0-1a2b3c4d --eval-size native
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"
    from .. import report
    from ..results import store
    from ..results.variants import Names
    from ..run import reevaluate
    from ..run.reopen import Reopener
    from ..run.standing import Inspector

    size, shown = values.eval_size(eval_size), values.metrics(metrics)
    assert size is not None  # the option is required
    results = asked.results
    chosen, stored = asked.runs("adbench evaluate", runs, every=every), store.read_all(results).results
    values.compute_with(threads, say)
    reopener = Reopener(asked.registry, asked.data_roots, device, results=results)
    inspector = Inspector(asked.registry, asked.data_roots, results=results)
    models = reevaluate.models_of(chosen, stored)
    made: list[Result] = []
    errors: list[AdbenchError] = []
    for model in models:
        first = model[0]
        task = f"{first.method} · {first.dataset}/{'+'.join(each.class_name for each in model)} · seed {first.seed}"
        try:
            with status_line() as show:
                found = reevaluate.at_size(
                    model, size, results=results, reopener=reopener, inspector=inspector, say=say,
                    show=counted(show, task), ignore_mask=ignore_mask,
                )  # fmt: skip
        except PLUGIN_ERRORS as error:
            if len(models) == 1 or arguments.debugging(click.get_current_context()):
                raise
            ours = error if isinstance(error, AdbenchError) else TaskError(f"{task} broke off", found=described(error))
            errors.append(ours)
            warn(f"{task}: {ours}")
            continue
        made += [each for each in found.results if all(each.run != other.run for other in made)]
        say(f"= {task}: already there as {found.results[0].run}" if found.reused else
            f"✓ {task}: stored as {found.results[0].run}")  # fmt: skip
    if made:
        names = Names([*stored, *made], made)
        print_tables(report.leaderboard(made, by_class=True, names=names, metrics=shown), format_)
    if errors:
        say(f"{len(errors)} of {len(models)} runs could not be evaluated.")
        end_with(errors, made_some=bool(made))
