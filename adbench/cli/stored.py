"""The commands about stored results: ``leaderboard``, ``compare``, ``list``, ``results``, ``report``, ..."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..api.scores import MAIN_METRICS, METRIC_NAMES
from ..util.errors import AdbenchError, UsageError
from ..util.text import plural
from . import options as arguments
from . import values
from .console import counted, is_terminal, print_path, print_tables, say, status_line, warn
from .gathered import gathered
from .groups import CommandGroup
from .selection import LookedUp

if TYPE_CHECKING:
    from ..api.data import Setting
    from ..api.registry import Registry
    from ..report.confidence import Confidence
    from ..report.ranks import Unit
    from ..report.tables import AnyTable
    from ..results.records import Result
    from ..results.store import RunFolder
    from ..results.variants import Names
    from ..run.reopen import Reopener
    from ..run.standing import Inspected
    from ..util.threads import Choice

REPORT = "report"
"""Default folder of the report, below that of the results."""


@click.command()
@arguments.stored
@arguments.metric_option
@arguments.metrics_option
@arguments.why_option
@click.option("--by-class", is_flag=True, help="A row per class and the mean, instead of the ranking.")
@click.option(
    "--by-option", metavar="KEY[,KEY...]", help="A row per value of these options, instead of the ranking: see --grid."
)
@arguments.oracle_option
@click.option("--threshold", is_flag=True, help="Show the suggested thresholds, their false alarms and misses.")
@click.option("--ci", is_flag=True, help="Show 95 % intervals, and which methods could be the best.")
@click.option(
    "--letters",
    is_flag=True,
    help="As --ci, and compare every pair: those that share a letter don't differ significantly.",
)
@click.option(
    "--ranks", "rank_by", type=click.Choice(["datasets", "classes"]),
    help="Add mean ranks over all data sets or classes, with Friedman's and Nemenyi's tests.",
)  # fmt: skip
@arguments.setting_filter
@arguments.looked_up
@gathered("asked", LookedUp)
def leaderboard(asked: LookedUp, format_: str, metric: str, metrics: str | None, why: bool, by_class: bool,
                by_option: str | None, oracle: bool, threshold: bool, ci: bool, letters: bool, rank_by: Unit | None,
                setting: Setting | None) -> None:  # fmt: skip
    """Rank all stored runs, per data set.

    \b
    adbench leaderboard
    adbench leaderboard -d mvtec --metric aupro --ci --format csv
    """  # noqa: D301
    from .. import report
    from ..report import speeds

    chosen = values.metric(metric)
    counting = asked.counting(setting)
    sure = _confidence(asked.results)
    if by_option is not None:
        options = values.option_names(by_option)
        found, remarks = counting.results, counting.remarks
        print_tables(report.by_option(found, options, metric=chosen, remarks=remarks, names=counting.names), format_)
        return
    tables = report.leaderboard(
        counting.results, metric=chosen, by_class=by_class, threshold=threshold, oracle=oracle,
        confidence=sure if ci or letters else None, letters=letters, ties=sure,
        remarks=counting.remarks, names=counting.names, rank_by=rank_by,
        latencies=speeds.stored(asked.results, counting.results, warn),
        metrics=values.metrics(metrics),
    )  # fmt: skip
    print_tables(report.with_reasons(tables, counting.results) if why else tables, format_)


@click.command(short_help="Compare methods, or variants of one, class by class.")
@click.argument("methods", nargs=-1, required=True, metavar="METHOD...")
@arguments.stored
@click.option(
    "--metric",
    "--metrics",
    "metrics",
    multiple=True,
    metavar="all|NAME,...",
    help="Compare by these metrics; may be given several times.  [default: as leaderboard's; in CSV all]",
)
@arguments.why_option
@click.option(
    "--vs", type=click.Choice(["published"]), help="Add the papers' numbers and the gap to ours of the same policy."
)
@click.option(
    "--pairs",
    type=click.Choice(["first", "all"]),
    help="Compare each variant with the first one, or every pair.  [default: all of up to 4 variants, else first]",
)
@click.option("--by-class", is_flag=True, help="Show each class of more than 4 variants, too.")
@arguments.oracle_option
@arguments.setting_filter
@arguments.looked_up
@gathered("asked", LookedUp)
def compare(methods: Sequence[str], asked: LookedUp, format_: str, metrics: Sequence[str], why: bool, vs: str | None,
            pairs: str | None, by_class: bool, oracle: bool, setting: Setting | None) -> None:  # fmt: skip
    """Put methods, or variants of one, side by side: per class, with differences and the mean.

    \b
    adbench compare msflow cflow
    adbench compare padim:cpu padim --metric pixel_auroc --vs published
    """  # noqa: D301
    from .. import report

    published = {name: method.published for name, method in asked.registry.methods.items()} if vs else None
    usual = tuple(dict.fromkeys((*MAIN_METRICS, *METRIC_NAMES))) if format_ == "csv" else None
    chosen = values.metrics(*metrics) or usual
    counting = asked.counting(setting)
    tables = report.compare(
        counting.results, methods, metrics=chosen, vs_published=published, oracle=oracle,
        confidence=_confidence(asked.results), remarks=counting.remarks, called=counting.names,
        every_pair=None if pairs is None else pairs == "all", by_class=by_class,
    )  # fmt: skip
    compared = [each for each in counting.results if each.method in methods or counting.names.of(each) in methods]
    print_tables(report.with_reasons(tables, compared) if why else tables, format_)


def _confidence(results: Path) -> Confidence:
    from ..report import confidence

    return confidence.stored(results, warn)


@click.command("list", short_help="List methods, datasets, backbones or stored runs.")
@click.argument("what", type=click.Choice(["methods", "datasets", "backbones", "runs"]))
@click.argument("name", required=False)
@arguments.stored
@arguments.looked_up
@gathered("asked", LookedUp)
def list_(what: str, name: str | None, asked: LookedUp, format_: str) -> None:
    """List methods, datasets, backbones or stored runs; `list methods NAME` shows its options, and so does `datasets`.

    \b
    adbench list methods msflow
    adbench list datasets folder
    adbench list runs -d demo
    """  # noqa: D301
    if name and what not in ("methods", "datasets"):
        raise UsageError(f"adbench list {what} {name}", found="a name", wanted=f"adbench list {what}")
    if what == "runs":
        print_tables([_list(asked.standing(asked.read()), asked)], format_)
    else:
        print_tables(_listed(what, name, asked.registry, asked.results), format_)


def _listed(what: str, name: str | None, registry: Registry, results: Path) -> list[AnyTable]:
    from ..report import audits, lists, published

    if what == "backbones":
        return [lists.backbones(registry)]
    if what == "datasets":
        return [lists.options_of_dataset(registry.dataset(name)) if name else lists.datasets(registry)]
    if not name:
        return [lists.methods(registry, audits.brief(audits.read([results], registry, warn=warn)))]
    method = registry.method(name)
    further = [table for table in (lists.requirements_of(method), published.published_table(method)) if table.rows]
    audit = audits.checks(audits.read([results], registry, methods=[name], warn=warn), name)
    return [lists.options_of(method), *further, *([audit] if audit else [])]


@click.group("results", cls=CommandGroup)
def results_() -> None:
    """Manage stored results, and share them.

    \b
    adbench results stale
    adbench results merge gpu1/results gpu2/results
    """  # noqa: D301


@results_.command("stale", short_help="List or remove the stored runs that are stale.")
@arguments.stored
@arguments.looked_up
@click.option("--delete", is_flag=True, help="Remove these runs from the disk.")
@click.option("--yes", is_flag=True, help="Remove without asking; without a terminal there is no question anyway.")
@gathered("asked", LookedUp)
def stale(asked: LookedUp, format_: str, delete: bool, yes: bool) -> None:
    """List runs that the present images or the present code would not give again, or remove them.

    \b
    adbench results stale --delete
    """  # noqa: D301
    from ..results.run_files import folder_of

    results = asked.results
    found = [each for each in asked.standing(asked.read()) if each.standing.state == "stale"]
    if not found:
        say(f"No run in {results} is stale.")
        if format_ != "table":
            print_tables([], format_)
        return
    print_tables([_list(found, asked, title="Stale runs")], format_)
    if delete:
        _remove([folder_of(results, each.result) for each in found], results, ask=is_terminal() and not yes)


def _remove(folders: Sequence[RunFolder], results: Path, *, ask: bool) -> None:
    """Remove runs from the disk; a failure doesn't keep the others."""
    count = plural(len(folders), "stale run")
    if ask:
        click.confirm(f"Remove {count} from {results}, with checkpoints and maps?", abort=True, err=True)
    errors: list[AdbenchError] = []
    for folder in folders:
        try:
            folder.remove()
        except AdbenchError as error:
            errors.append(error)
            warn(str(error))
    say(f"Removed {len(folders) - len(errors)} of {count} from {results}.")
    if errors:
        raise click.exceptions.Exit(AdbenchError.exit_code)


@click.command("report", short_help="Write an HTML report with curves and images.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the page.  [default: RESULTS/report]")
@arguments.results_option
@arguments.chosen
@arguments.metric_option
@click.option(
    "--no-images", "--no-pictures", is_flag=True, help="Leave out the galleries, for which a few images are scored."
)
@arguments.reopened
@arguments.debug_option
@gathered("asked", LookedUp)
def report_(output: Path | None, asked: LookedUp, metric: str, no_images: bool, device: str, threads: Choice) -> None:
    """Write an HTML report: leaderboard, curves, and the images that methods get wrong.

    \b
    adbench report -d demo -o page
    """  # noqa: D301
    metric, results = values.metric(metric), asked.results
    counting, reopener = asked.counting(), None
    if not no_images:
        from ..run.reopen import Reopener

        values.compute_with(threads, say)
        reopener = Reopener(asked.registry, asked.data_roots, device, results=results)
    page = write_report(
        counting.results, output or results / REPORT, results, metric, asked.registry, reopener, counting.remarks,
        counting.names,
    )  # fmt: skip
    print_path(page)


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN...]")
@arguments.results_option
@arguments.chosen
@click.option("--all", "every", is_flag=True, help="All stored runs.")
@click.option("--raw", is_flag=True, help="Keep the maps themselves (maps.npz) instead of overlays.")
@click.option("--force", is_flag=True, help="Write again what is there already.")
@arguments.reopened
@arguments.debug_option
@gathered("asked", LookedUp)
def heatmaps(runs: Sequence[str], asked: LookedUp, every: bool, raw: bool, force: bool, device: str,
             threads: Choice) -> None:  # fmt: skip
    """Write the anomaly maps of stored runs into their folders.

    RUN is a name as in `adbench list runs`, a variant such as padim:cpu or brick/padim:cpu/seed0, any part of
    DATASET/CLASS/METHOD/RUN that only one run has, or a folder.
    Without RUN, those of a data set (-d), of classes (-c) or of all runs (--all).

    \b
    adbench heatmaps demo/brick/padim
    adbench heatmaps -d demo -c brick --raw
    """  # noqa: D301
    from ..run.heatmaps import save
    from ..run.reopen import Reopener

    chosen = asked.runs("adbench heatmaps", runs, every=every)
    names = asked.names_of(chosen)
    values.compute_with(threads, say)
    reopener = Reopener(asked.registry, asked.data_roots, device, results=asked.results)
    for result in chosen:
        variant = names.of(result)
        task = f"{variant} · {result.dataset}/{result.class_name} · seed {result.seed}"
        with status_line() as show:
            show(task)
            place = save(
                result, asked.results, reopener, "raw" if raw else "png", variant=variant, force=force,
                watch=counted(show, task), warn=warn,
            )  # fmt: skip
        print_path(place)  # after the status line is gone: both may be on one terminal


def write_report(
    stored: Sequence[Result], folder: Path, results: Path, metric: str, registry: Registry, reopener: Reopener | None,
    remarks: Mapping[str, Sequence[str]] | None = None, names: Names | None = None,
) -> Path:  # fmt: skip
    """Write the report of some results into ``folder``, and show what is being drawn."""
    from ..report import audits, page
    from ..run import gallery

    with status_line() as show:
        made = gallery.of_results(stored, results, reopener, names=names, watch=show) if reopener else None
        return page.write(
            stored, folder, stored=results, metric=metric, galleries=made, remarks=remarks, names=names,
            audits=audits.read([results], registry, results=stored, warn=warn), watch=show, warn=warn,
        )  # fmt: skip


def _list(inspected: Sequence[Inspected], asked: LookedUp, *, title: str = "Runs") -> AnyTable:
    """A table of runs, with variants named as in leaderboards."""
    from ..report import list_runs

    names = asked.names_of([each.result for each in inspected if each.standing.state != "stale"])
    return list_runs([each.result for each in inspected], [each.standing for each in inspected], names, title=title)
