"""The command ``test``: scores the test images with a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..util.errors import PLUGIN_ERRORS, AdbenchError
from . import option_file, values
from . import options as arguments
from .console import console, load_plugins, print_tables, say
from .gathered import MethodOptions, gathered
from .image_options import range_option
from .jobs import Failures, end_with

if TYPE_CHECKING:
    from ..api.levels import Levels
    from ..api.registry import Registry
    from ..report.tables import AnyTable
    from ..run.checkpoint import AnyCheckpoint
    from ..run.job import Job
    from ..util.threads import Choice


@click.command(short_help="Score the test images with a checkpoint.")
@click.option("--method", "-m", required=True, help="The method that the checkpoint belongs to.")
@click.option(
    "--checkpoint",
    required=True,
    type=click.Path(path_type=Path),
    help="A checkpoint of adbench (last.pt) or of the method's authors, or a run as adbench list runs names it.",
)
@arguments.what_to_test
@range_option("that of the checkpoint's training")
@arguments.test_split_option
@click.option(
    "--scores",
    is_flag=True,
    help="Show each image's score, and whether the checkpoint's threshold calls it good or defective. JSON always has "
    "them, CSV has them in place of the metrics.",
)
@arguments.results_option
@arguments.format_option
@gathered("given", MethodOptions)
def test(method: str, checkpoint: Path, dataset: str, classes: str | None, data_root: Path | None,
         given: MethodOptions, device: str, threads: Choice, skip_bad: bool, plugin_files: tuple[Path, ...],
         levels: Levels | None, test_split: str | None, scores: bool, results: Path, format_: str) -> None:  # fmt: skip
    """Score the test images with a checkpoint; nothing is trained or stored.

    \b
    adbench test -m padim -d demo -c brick --checkpoint demo/brick/padim
    adbench test -m padim -d folder --data-root new --checkpoint folder/parts/padim --scores

    adbench's own checkpoints need no training images. Images without a label, such as those of a folder that nobody
    has sorted, get scores but no metrics.
    """  # noqa: D301
    from ..results.find import find_checkpoint
    from ..run import checkpoint as checkpoints
    from ..run import plan as suite
    from ..run import trial

    registry = load_plugins(plugin_files)
    chosen = registry.method(method)
    root = values.root(registry.dataset(dataset), data_root)
    reader = values.reader(registry, dataset, root=root)
    overrides = values.overrides([chosen], given.changes, given.short)
    saved = checkpoints.read(find_checkpoint(str(checkpoint), results, thing=f"--checkpoint {checkpoint}"))
    reader = trial.read_as(saved, reader)
    own = trial.trained_on(saved, dataset, reader.classes(root)) or "all"
    levels, levels_by = option_file.levels(reader, root, levels)
    plan = suite.Plan(
        methods=[chosen],
        overrides=overrides,
        dataset=reader,
        classes=suite.choose_classes(reader, root, own if classes is None else classes),
        data_root=root,
        preset=given.preset,
        auxiliary=values.auxiliary([chosen], given.auxiliary),
        trains=False,
        device=device,
        skip_bad=skip_bad,
        test=test_split,
        levels=levels,
        levels_by=levels_by,
    )
    values.compute_with(threads, say)
    _run_trials(plan.jobs(), registry, saved, overrides[method], format_, with_scores=scores)


def _run_trials(
    jobs: Sequence[Job], registry: Registry, saved: AnyCheckpoint, changes: Mapping[str, Any], format_: str,
    *, with_scores: bool,
) -> None:  # fmt: skip
    """Score class after class; a failure doesn't stop the others."""
    from .. import report
    from ..run import trial
    from ..run.failures import foreseen
    from .progress import ConsoleWatch

    trials: list[trial.Trial] = []
    errors: list[AdbenchError] = []
    with ConsoleWatch(console(), len(jobs)) as watch:
        failures = Failures(watch.note)
        for job in jobs:
            watch.start(job)
            try:
                trials.append(trial.run(job, registry, saved, changes=changes, watch=watch))
            except PLUGIN_ERRORS as error:
                errors.append(foreseen(error, job.method))
                if len(jobs) > 1:
                    failures.add(job, errors[-1])
            finally:
                watch.stop()
        failures.end()
    if trials:
        tables: list[AnyTable] = [report.trial_table(trials)]
        if with_scores or format_ == "json":
            tables = [*(tables if format_ != "csv" else ()), report.verdict_table(trials)]
        print_tables(tables, format_)
    if len(jobs) == 1 and errors:
        raise errors[0]
    if errors:
        end_with(errors, made_some=bool(trials))
