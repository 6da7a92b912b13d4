"""The command line; thin, and the only place that catches ``AdbenchError``.

Results go to standard output, talk to standard error. Exit codes: 0 done, 1 a task failed, 2 a mistake in
the command or the data, 130 stopped with Ctrl-C. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import arguments
from .errors import AdbenchError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from .heatmaps import Kind
    from .plugins import Registry
    from .reopen import Reopener
    from .suite import Outcome
    from .tables import Table
    from .types import Job, Result

REPORT = "report"
"""Folder of the report below that of the results, unless another is asked for."""

STOPPED = 130
"""Exit code after Ctrl-C, as shells have it."""


class _FailureError(click.ClickException):
    """An ``AdbenchError`` on its way out: one line on standard error."""

    exit_code = AdbenchError.exit_code


class _MistakeError(_FailureError):
    """A user's mistake on its way out."""

    exit_code = UsageError.exit_code


class _Group(click.Group):
    """Turns errors into messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            _say("Stopped.")
            ctx.exit(STOPPED)
        except BrokenPipeError:  # the reader has seen enough, as in `adbench list runs | head`
            _forget_output()
            ctx.exit(0)
        except AdbenchError as error:
            if arguments.debugging(ctx):
                raise
            raise (_MistakeError if isinstance(error, UsageError) else _FailureError)(str(error)) from error
        except Exception as error:
            if arguments.debugging(ctx):
                raise
            text = str(error).strip().splitlines()
            found = f"{type(error).__name__}: {text[0] if text else ''}".rstrip(": ")
            broken = AdbenchError("adbench broke", found=found, way_out="See the traceback with --debug")
            raise _FailureError(str(broken)) from error


def _forget_output() -> None:
    """Send what is still to be flushed nowhere, or Python complains at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="adbench", message="adbench %(version)s")
def app() -> None:
    """Benchmark unsupervised industrial anomaly detection.

    \b
    adbench run --method msflow --dataset demo --class all --preset cpu
    adbench compare msflow cflow
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"


# ---------------------------------------------------------------- run and test


@app.command()
@click.option("--method", "-m", "methods", required=True, help="METHOD[,METHOD...] or all.")
@arguments.what_to_run
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
    help="Compare maps and masks at this size: native, each picture's own, or HxW.  [default: the input's]",
)
@click.option(
    "--holdout",
    type=click.FloatRange(0, 0.5),
    default=0.0,
    help="Keep this part of the training pictures from training and take the threshold from them, such as 0.1.",
)
@click.option("--force", is_flag=True, help="Compute again what is already stored.")
@click.option(
    "--save-maps",
    "maps",
    type=click.Choice(["png", "raw"]),
    is_flag=False,
    flag_value="png",
    help="Keep the anomaly maps beside each result: overlays as PNG, or raw for the maps themselves.",
)
@click.option("--report", "page", is_flag=True, help="Write a page to look at: RESULTS/report/index.html.")
@arguments.results_option
@arguments.format_option
def run(methods: str, dataset: str, classes: str, data_root: Path | None, preset: str, changes: Sequence[str],
        backbone: str | None, weights: str | None, size: str | None, amp: str | None, device: str, skip_bad: bool,
        plugin_files: tuple[Path, ...], seed: int | None, seeds: str | None, eval_every: int | None,
        eval_size: str | None, holdout: float, force: bool, maps: Kind | None, page: bool, results: Path,
        format_: str) -> None:  # fmt: skip
    """Train and evaluate methods on the classes of a data set."""
    from . import suite

    registry = _load_plugins(plugin_files)
    chosen = arguments.methods(registry, methods)
    reader = registry.dataset(dataset)
    root = arguments.root(reader, data_root)
    short = {"backbone": backbone, "weights": weights, "size": size, "amp": amp}
    plan = suite.Plan(
        methods=chosen,
        overrides=arguments.overrides(chosen, changes, short),
        dataset=reader,
        classes=suite.choose_classes(reader, root, classes),
        data_root=root,
        preset=preset,
        seeds=arguments.seeds(seed, seeds),
        device=device,
        eval_every=eval_every,
        eval_size=arguments.eval_size(eval_size),
        holdout=holdout,
        skip_bad=skip_bad,
        force=force,
        results=results,
        plugin_files=plugin_files,
        command=shlex.join(["adbench", *sys.argv[1:]]),
    )
    outcomes = _run_jobs(plan.jobs(), registry)
    made = [outcome.result for outcome in outcomes if outcome.result is not None]
    if made and (maps or page):
        from .reopen import Reopener

        reopener = Reopener(registry, [root], device)
        if maps:
            _save_maps(made, results, reopener, maps, outcomes)
        if page:
            try:
                _say(f"Report: {_write_report(made, results / REPORT, results, 'image_auroc', reopener)}")
            except AdbenchError as error:  # the results stand, and their table follows
                _say(f"Warning: {error}", style="yellow")
    _end_of_run(outcomes, format_)


def _run_jobs(jobs: Sequence[Job], registry: Registry) -> list[Outcome]:
    """Run with progress on standard error; Ctrl-C and a polite kill end in one sentence."""
    from . import devices, suite
    from .progress import ConsoleWatch

    for job in jobs:  # a mistake here is the command's, not a task's
        devices.resolve_amp(job.options.amp, devices.resolve_device(job.device))

    def advice(job: Job) -> str:
        shorter = job.preset != "cpu" and "cpu" in registry.method(job.method).presets
        slow = devices.resolve_device(job.device).type == "cpu"
        return "--preset cpu takes minutes." if shorter and slow else ""

    console = _talk()
    outcomes: list[Outcome] = []
    try:
        with _polite_kill_is_ctrl_c(), ConsoleWatch(console, len(jobs), advice=advice) as watch:
            for outcome in suite.run_here(jobs, registry, watch=watch):
                outcomes.append(outcome)
                watch.note(_outcome_line(outcome))
    except KeyboardInterrupt:
        same = "the same command without --force" if jobs[0].force else "the same command"
        done = sum(outcome.result is not None for outcome in outcomes)
        _say(f"Stopped with {done} of {len(jobs)} tasks done; {same} goes on from here.")
        sys.exit(STOPPED)
    return outcomes


@contextlib.contextmanager
def _polite_kill_is_ctrl_c() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does. Only a program's main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _outcome_line(outcome: Outcome) -> str:
    from .progress import duration

    job = outcome.job
    name = f"{job.method} · {job.dataset}/{job.class_name} · seed {job.seed}"
    if outcome.result is None:
        return f"✗ {name}: {outcome.error}"
    if outcome.reused:
        return f"= {name}: already there, nothing to compute (--force computes it again)"
    return f"✓ {name}: {duration(outcome.result.timing.total)}"


def _end_of_run(outcomes: Sequence[Outcome], format_: str) -> None:
    """Print the leaderboard of what was run, and leave with the right exit code."""
    from . import report

    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    if results:
        tables = report.leaderboard(results, by_class=True)
        if len({result.variant for result in results}) > 1:
            tables += report.leaderboard(results)
        _print(tables, format_)
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if not errors:
        return
    if arguments.debugging(click.get_current_context()):
        import traceback

        for error in errors:
            traceback.print_exception(error)
    if len(outcomes) > 1:
        _say(f"{len(errors)} of {len(outcomes)} tasks failed{'; the others are stored' if results else ''}.")
    all_mistakes = not results and all(isinstance(error, UsageError) for error in errors)
    sys.exit(UsageError.exit_code if all_mistakes else AdbenchError.exit_code)


@app.command()
@click.option("--method", "-m", required=True, help="The method that the checkpoint belongs to.")
@click.option(
    "--checkpoint",
    required=True,
    type=click.Path(path_type=Path),
    help="A checkpoint of adbench (last.pt) or of the method's authors.",
)
@arguments.what_to_test
@arguments.format_option
def test(method: str, checkpoint: Path, dataset: str, classes: str | None, data_root: Path | None, preset: str,
         changes: Sequence[str], backbone: str | None, weights: str | None, size: str | None, amp: str | None,
         device: str, skip_bad: bool, plugin_files: tuple[Path, ...], format_: str) -> None:  # fmt: skip
    """Score the test pictures with a checkpoint; nothing is trained or stored."""
    from . import suite, trial

    registry = _load_plugins(plugin_files)
    chosen = registry.method(method)
    reader = registry.dataset(dataset)
    root = arguments.root(reader, data_root)
    short = {"backbone": backbone, "weights": weights, "size": size, "amp": amp}
    overrides = arguments.overrides([chosen], changes, short)
    plan = suite.Plan(
        methods=[chosen],
        overrides=overrides,
        dataset=reader,
        classes=suite.choose_classes(reader, root, classes or trial.trained_on(checkpoint, dataset) or "all"),
        data_root=root,
        preset=preset,
        device=device,
        skip_bad=skip_bad,
    )
    _run_trials(plan.jobs(), registry, checkpoint, overrides[method], format_)


def _run_trials(
    jobs: Sequence[Job], registry: Registry, checkpoint: Path, changes: Mapping[str, Any], format_: str
) -> None:
    """Score class after class; one that can't be scored doesn't stop the others."""
    from . import report, trial
    from .progress import ConsoleWatch

    trials, errors = [], []
    with ConsoleWatch(_talk(), len(jobs)) as watch:
        for job in jobs:
            watch.start(job)
            try:
                trials.append(trial.run(job, registry, checkpoint, changes=changes, watch=watch))
            except AdbenchError as error:
                errors.append(error)
                if len(jobs) > 1:
                    watch.note(f"✗ {job.dataset}/{job.class_name}: {error}")
            finally:
                watch.stop()
    if trials:
        _print([report.trial_table(trials)], format_)
    if errors and not trials:
        raise errors[0]
    if errors:
        sys.exit(AdbenchError.exit_code)


# ---------------------------------------------------------------- what is stored


@app.command()
@arguments.stored
@click.option("--metric", default="image_auroc", show_default=True, help="Rank by this metric.")
@click.option("--by-class", is_flag=True, help="A row per class and the mean, instead of the ranking.")
@click.option("--threshold", is_flag=True, help="Show the suggested thresholds, their false alarms and misses.")
def leaderboard(results: Path, dataset: str | None, class_name: str | None, format_: str,
                metric: str, by_class: bool, threshold: bool) -> None:  # fmt: skip
    """Rank all stored runs, per data set."""
    from . import report

    stored = _read(results, dataset, class_name)
    chosen = arguments.metric(metric)
    _print(report.leaderboard(stored, metric=chosen, by_class=by_class, threshold=threshold), format_)


@app.command()
@click.argument("methods", nargs=-1, required=True, metavar="METHOD...")
@arguments.stored
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="Compare by this metric; may be given several times.  [default: image_auroc, pixel_auroc, aupro]",
)
@click.option("--vs", type=click.Choice(["published"]), help="Add the papers' numbers and the gap.")
@click.option("--plugin", "plugin_files", multiple=True, type=click.Path(path_type=Path), help="A plugin file.")
def compare(methods: Sequence[str], results: Path, dataset: str | None, class_name: str | None, format_: str,
            metrics: Sequence[str], vs: str | None, plugin_files: tuple[Path, ...]) -> None:  # fmt: skip
    """Put methods, or variants of one, side by side: per class, with differences and the mean."""
    from . import report

    stored = _read(results, dataset, class_name)
    published = None
    if vs:
        registry = _load_plugins(plugin_files)
        published = {name: method.published for name, method in registry.methods.items()}
    chosen = tuple(arguments.metric(name) for name in metrics) or ("image_auroc", "pixel_auroc", "aupro")
    _print(report.compare(stored, methods, metrics=chosen, vs_published=published), format_)


@app.command("list")
@click.argument("what", type=click.Choice(["methods", "datasets", "backbones", "runs"]))
@click.argument("name", required=False)
@arguments.stored
@click.option("--plugin", "plugin_files", multiple=True, type=click.Path(path_type=Path), help="A plugin file.")
def list_(what: str, name: str | None, results: Path, dataset: str | None, class_name: str | None, format_: str,
          plugin_files: tuple[Path, ...]) -> None:  # fmt: skip
    """List methods, datasets, backbones or stored runs; `list methods NAME` shows its options."""
    from . import catalogue

    if name and what != "methods":
        raise UsageError(f"adbench list {what} {name}", found="a name", wanted=f"adbench list {what}")
    if what == "runs":
        from . import report

        tables = [report.list_runs(_read(results, dataset, class_name))]
    elif what == "backbones":
        tables = [catalogue.backbones()]
    elif what == "datasets":
        tables = [catalogue.datasets(_load_plugins(plugin_files))]
    elif name:
        tables = [catalogue.options_of(_load_plugins(plugin_files).method(name))]
    else:
        tables = [catalogue.methods(_load_plugins(plugin_files))]
    _print(tables, format_)


@app.command("check-method")
@click.argument("name", metavar="METHOD")
@click.option("--preset", "-p", help="The preset to try, made small.  [default: cpu, or else quick or paper]")
@click.option("--option", "-o", "changes", multiple=True, metavar="KEY=VALUE", help="Keep an option at this value.")
@click.option("--plugin", "plugin_files", multiple=True, type=click.Path(path_type=Path), help="A plugin file.")
@arguments.format_option
@arguments.debug_option
def check_method(name: str, preset: str | None, changes: Sequence[str], plugin_files: tuple[Path, ...],
                 format_: str) -> None:  # fmt: skip
    """Try a method on a few pictures made on the spot: does it peek, repeat, save, resume? Takes seconds."""
    method = _load_plugins(plugin_files).method(name)
    chosen = arguments.overrides([method], changes, {})[name]
    from . import checks

    with _talk().status(f"checking {name}") as status:
        found = checks.run(
            method, preset=preset, changes=chosen, watch=lambda check: status.update(f"checking {name}: {check}")
        )
    _print([checks.table(name, found)], format_)
    failed = sum(result.outcome == "failed" for result in found)
    if failed:
        _say(f"{failed} of {len(found)} checks failed.")
        sys.exit(AdbenchError.exit_code)


# ---------------------------------------------------------------- what is looked at


@app.command("report")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the page.  [default: RESULTS/report]")
@arguments.results_option
@arguments.chosen
@click.option("--metric", default="image_auroc", show_default=True, help="Rank by this metric.")
@click.option("--no-pictures", is_flag=True, help="Leave the galleries out, which have to score a few pictures.")
@arguments.reopened
@arguments.debug_option
def report_(output: Path | None, results: Path, dataset: str | None, class_name: str | None, metric: str,
            no_pictures: bool, data_roots: Sequence[Path], device: str,
            plugin_files: tuple[Path, ...]) -> None:  # fmt: skip
    """Write a page to look at: leaderboard, curves, and the pictures that methods get wrong."""
    metric = arguments.metric(metric)
    stored = _read(results, dataset, class_name)
    reopener = None
    if not no_pictures:
        from .reopen import Reopener

        reopener = Reopener(_load_plugins(plugin_files), data_roots, device)
    click.echo(_write_report(stored, output or results / REPORT, results, metric, reopener))


@app.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@arguments.results_option
@click.option("--raw", is_flag=True, help="Keep the maps themselves (maps.npz) instead of overlays.")
@click.option("--force", is_flag=True, help="Write again what is there already.")
@arguments.reopened
@arguments.debug_option
def heatmaps(runs: Sequence[str], results: Path, raw: bool, force: bool, data_roots: Sequence[Path], device: str,
             plugin_files: tuple[Path, ...]) -> None:  # fmt: skip
    """Write the anomaly maps of stored runs, named as in `adbench list runs`, into their folders."""
    from . import heatmaps as room
    from .reopen import Reopener

    chosen = room.find_runs(_read(results, None, None), runs)
    reopener = Reopener(_load_plugins(plugin_files), data_roots, device)
    with _status() as say:
        for result in chosen:
            name = f"{result.method} · {result.dataset}/{result.class_name} · seed {result.seed}"
            say(name)
            click.echo(room.save(result, results, reopener, "raw" if raw else "png", force=force))


def _save_maps(
    made: Sequence[Result], results: Path, reopener: Reopener, kind: Kind, outcomes: Sequence[Outcome]
) -> None:
    """Keep the maps of a run's results; one that has none doesn't stop the others."""
    from . import heatmaps as room

    new = {outcome.result.run for outcome in outcomes if outcome.result is not None and not outcome.reused}
    with _status() as say:
        for result in made:
            say(f"maps of {result.variant} on {result.dataset}/{result.class_name}")
            try:
                room.save(result, results, reopener, kind, force=result.run in new)
            except AdbenchError as error:
                _say(f"Warning: {error}", style="yellow")


def _write_report(
    stored: Sequence[Result], folder: Path, results: Path, metric: str, reopener: Reopener | None
) -> Path:
    from . import page

    with _status() as say:
        return page.write(stored, folder, stored=results, metric=metric, reopener=reopener, watch=say)


# ---------------------------------------------------------------- helpers


def _talk() -> Console:
    """The console for everything that isn't a result."""
    from rich.console import Console

    return Console(stderr=True)


@contextlib.contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """A line on a terminal that says what is being done, and goes when it is done."""
    from rich.text import Text

    with _talk().status("") as status:
        yield lambda text: status.update(Text(text))


def _say(text: str, *, style: str = "") -> None:
    """Say one thing to people, in one line however long it is."""
    _talk().print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def _print(tables: Sequence[Table], format_: str) -> None:
    from . import tables as renderers

    renderers.write(tables, format_)
    sys.stdout.flush()  # so that a closed pipe shows here


def _load_plugins(files: Sequence[Path]) -> Registry:
    from . import plugins

    registry = plugins.load(files)
    for line in registry.broken:
        _say(f"Warning: {line}", style="yellow")
    return registry


def _read(results: Path, dataset: str | None, class_name: str | None) -> Sequence[Result]:
    """Read stored results, warning about what can't be read."""
    from . import store

    chosen = (class_name or "all").strip()
    names = [None] if chosen == "all" else [name.strip() for name in chosen.split(",") if name.strip()]
    libraries = [store.read_all(results, dataset=dataset, class_name=name) for name in dict.fromkeys(names)]
    for problem in dict.fromkeys(problem for library in libraries for problem in library.problems):
        _say(f"Warning: {problem}", style="yellow")
    return [result for library in libraries for result in library.results]


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a Windows console in a legacy code page must not kill a run
            stream.reconfigure(errors="replace")
    app()


if __name__ == "__main__":
    main()
