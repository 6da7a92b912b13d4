"""The command ``run``: trains and evaluates methods."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ..util.errors import PLUGIN_ERRORS, AdbenchError, ResultError, TaskError, described
from . import options as arguments
from . import values
from .console import counted, load_plugins, print_tables, say, status_line, warn
from .defaults import at_place, place_of
from .dry_run import show_forecasts
from .executor_options import ExecutorOptions, executor_options
from .gathered import gathered
from .image_options import range_option
from .jobs import exit_if_failed, report_if_stopped, run_jobs
from .run_file import Asked, file_argument, other_keys, planned_jobs, suite_of
from .schema import print_schema
from .stored import REPORT, write_report
from .threshold import thresholds_table

if TYPE_CHECKING:
    from ..api.levels import Levels
    from ..api.registry import Registry
    from ..results.records import Result
    from ..results.variants import Names
    from ..run.disk_use import MapKind
    from ..run.job import RunSettings
    from ..run.plan import Outcome
    from ..run.reopen import Reopener
    from ..run.run_file import RunFile
    from ..util.threads import Choice


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """The options of ``run`` that are settings of each training, as the command line has them."""

    device: str
    threads: Choice
    skip_bad: bool
    levels: Levels | None
    eval_every: int | None
    eval_size: str | None
    holdout: float
    target: str | None
    folds: int | None
    segf1: Literal["rule", "own"]
    keep: Literal["last", "oracle"]
    label: str | None
    force: bool
    track: str | None

    def checked(self, registry: Registry, results: Path, plugin_files: tuple[Path, ...]) -> RunSettings:
        """The settings. Raises ``UsageError`` for a value that doesn't fit."""
        from ..results import labels
        from ..run.job import RunSettings

        return RunSettings(
            device=self.device,
            threads=self.threads,
            eval_every=self.eval_every,
            eval_size=values.eval_size(self.eval_size),
            holdout=self.holdout,
            keep=self.keep,
            skip_bad=self.skip_bad,
            force=self.force,
            results=results,
            plugin_files=plugin_files,
            command=shlex.join(["adbench", *sys.argv[1:]]),
            track=at_place(lambda: values.trackers(registry, self.track), place_of("--track")),
            target_false_alarms=values.target(self.target, self.folds, self.holdout),
            folds=self.folds,
            segf1=self.segf1,
            label=labels.checked(self.label or ""),
            levels=self.levels,
        )


@click.command(short_help="Train and evaluate methods on a data set, or a run file.")
@file_argument
@click.option(
    "--method",
    "-m",
    "methods",
    help="METHOD[,METHOD...], or all: every method but those that lack a package, --aux or the setting, and those "
    "named anomalib:...",
)
@arguments.what_to_run
@range_option("found over the training images")
@arguments.settings_options
@arguments.test_split_option
@click.option(
    "--grid",
    "is_grid",
    is_flag=True,
    help="Train one run for each value, or combination of values, in lists such as -o KEY=50,100; ';' separates "
    "values that are lists themselves.",
)
@click.option("--seed", type=click.IntRange(0, arguments.LAST_SEED), help="Seed of the run.  [default: 0]")
@click.option("--seeds", help="Several seeds: 0,1,2.")
@click.option(
    "--eval-every",
    type=click.IntRange(min=0),
    help="Evaluate every N epochs; 0 = only after the last.  "
    "[default: where the method's schedule says, after each meta-epoch]",
)
@click.option(
    "--eval-size",
    metavar="SIZE",
    help="Compare maps and masks at this size: native, each image's own, or HxW.  [default: the input's]",
)
@click.option(
    "--holdout",
    type=click.FloatRange(0, 0.5),
    callback=arguments.no_nan,
    default=0.0,
    help="Keep this part of the training images from training and take the threshold from them, such as 0.1.",
)
@arguments.target_options
@click.option(
    "--segf1",
    type=click.Choice(["rule", "own"]),
    default="rule",
    help="Pixel threshold of SegF1: the mean plus 3 sd of the pixels of validation or held-out images; or the run's "
    "own, which --target-false-alarms finds from them.",
)
@click.option(
    "--keep",
    type=click.Choice(["last", "oracle"]),
    default="last",
    help="Which checkpoints to keep: the last epoch's, or also those of the best epochs on the test set (oracle_*.pt).",
)
@click.option("--label", metavar="TEXT", help="Your own words beside the run in tables; they move no number.")
@click.option("--force", is_flag=True, help="Compute again what is already stored.")
@click.option(
    "--save-maps",
    "maps",
    type=click.Choice(["png", "raw"]),
    is_flag=False,
    flag_value="png",
    help="Keep the anomaly maps beside each result: overlays as PNG, or raw for the maps themselves.",
)
@click.option("--report", "page", is_flag=True, help="Write an HTML report: RESULTS/report/index.html.")
@click.option(
    "--track",
    metavar="NAME[,NAME...]",
    help="Log each run to wandb, mlflow, tensorboard or a plugin's tracker, below RESULTS/tracking or where that "
    "program is set to.",
)
@arguments.metrics_option
@click.option("--dry-run", is_flag=True, help="Show which tasks are done and which are left; train nothing.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of run files, for editors.")
@executor_options
@arguments.results_option
@arguments.format_option
@gathered("asked", Asked)
@gathered("given", _Settings)
@gathered("on", ExecutorOptions)
def run(run_file: RunFile | None, asked: Asked, given: _Settings, on: ExecutorOptions, plugin_files: tuple[Path, ...],
        maps: MapKind | None, page: bool, metrics: str | None, dry_run: bool, schema: bool, results: Path,
        format_: str) -> None:  # fmt: skip
    """Train and evaluate methods on the classes of a data set, or what a run FILE names.

    \b
    adbench run -m msflow -d demo -c all -p cpu
    adbench run -m padim,patchcore -d folder --data-root parts --seeds 0,1,2
    adbench run -m msflow -d mvtec -c bottle --data-root ~/data/mvtec -o lr=0.0005
    adbench run -m padim -d folder --data-root parts --holdout 0.3 --target-false-alarms 1%
    adbench run -m padim -d demo -p cpu --grid -o dimensions=50,100
    adbench run -m padim -d folder --data-root photos --tile 512x512 --overlap 64
    adbench run suite.toml --dry-run
    """  # noqa: D301
    from ..run.plan import Outcome

    registry = load_plugins(plugin_files)
    if schema:
        print_schema(registry, other_keys(click.get_current_context().command))
        return
    shown = values.metrics(metrics)
    where = on.where(registry)
    common = given.checked(registry, results, plugin_files)
    suite, grid = suite_of(registry, run_file, asked, common)
    jobs, outcomes = planned_jobs(suite, registry, grid, run_file), list[Outcome]()
    if dry_run:
        show_forecasts(jobs, registry, format_, maps=maps, where=where)
        return
    values.compute_with(common.threads)  # around training; each training finds and reports its own number
    with report_if_stopped(jobs, outcomes):
        run_jobs(jobs, registry, outcomes, maps=maps, where=where)
        made = [result for outcome in outcomes for result in outcome.results]
        if made and (maps or page):
            from ..run.reopen import Reopener

            reopener = Reopener(registry, [data.root for data in suite.data], common.device, results=results)
            if maps:
                _save_maps(made, results, reopener, maps, outcomes)
            if page:
                try:
                    names = _names(made, results)
                    place = write_report(
                        made, results / REPORT, results, "image_auroc", registry, reopener, names=names
                    )
                    say(f"Report: {place}")
                except AdbenchError as error:  # the results are stored, and their table follows
                    warn(str(error))
        promised = common.target_false_alarms is not None
        _end_of_run(outcomes, grid.options, format_, promised=promised, metrics=shown)


def _save_maps(
    made: Sequence[Result], results: Path, reopener: Reopener, kind: MapKind, outcomes: Sequence[Outcome]
) -> None:
    """Write the maps of a run's results; a failure doesn't stop the others."""
    from ..run.heatmaps import save

    names = _names(made, results)
    new = {result.run for outcome in outcomes if not outcome.reused for result in outcome.results}
    with status_line() as show:
        for result in made:
            variant = names.of(result)
            task = f"maps of {variant} on {result.dataset}/{result.class_name}"
            show(task)
            watch = counted(show, task)
            try:
                save(result, results, reopener, kind, variant=variant, force=result.run in new, watch=watch, warn=warn)
            except AdbenchError as error:
                warn(str(error))
            except PLUGIN_ERRORS as error:  # the results are stored, and their table follows
                if arguments.debugging(click.get_current_context()):
                    raise
                warn(str(TaskError(f"{task} can't be made", found=described(error))))


def _end_of_run(
    outcomes: Sequence[Outcome], varied: Sequence[str], format_: str, *, promised: bool, metrics: Sequence[str] | None
) -> None:
    """Print the leaderboard of this run's results, and what their thresholds promise; exit with the right code.

    For a grid it is the ranking alone, with what each value of the ``varied`` options does.
    """
    from .. import report

    results = [result for outcome in outcomes for result in outcome.results]
    if results:
        names = _names(results, outcomes[0].job.results)
        tables = [] if varied else report.leaderboard(results, by_class=True, names=names, metrics=metrics)
        if varied or len({names.of(result) for result in results}) > 1:
            tables += report.leaderboard(results, names=names, metrics=metrics)
        known = [key for key in varied if any(key in result.options for result in results)]
        tables += report.by_option(results, known, names=names) if known else []
        if promised:
            tables.append(thresholds_table(results, outcomes[0].job.results, names))
        print_tables(tables, format_)
    exit_if_failed(outcomes)


def _names(made: Sequence[Result], results: Path) -> Names:
    """Names of variants among all results that are stored by now; a missing folder has none."""
    from ..results import store
    from ..results.variants import Names

    try:
        stored = store.read_all(results).results
    except ResultError:
        stored = ()
    return Names([*stored, *made], made)
