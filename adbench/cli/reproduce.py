"""The command ``reproduce``: runs a published set-up and sets its numbers beside the published ones."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..util.errors import UsageError
from ..util.text import safe_name
from . import options as arguments
from . import values
from .console import load_plugins, print_tables, say, warn
from .gathered import gathered
from .jobs import exit_if_failed, report_if_stopped, run_jobs

if TYPE_CHECKING:
    from ..api.data import Setting
    from ..api.method import Method
    from ..report.ledger import Target
    from ..run.plan import Outcome, Plan
    from ..util.threads import Choice

LEDGERS = "ledger"
"""Default folder of the ledgers, below that of the results."""


@dataclass(frozen=True, kw_only=True)
class _SetUp:
    """The options that say which published numbers are reproduced, and what they leave to the user."""

    preset: str
    setting: Setting | None
    shots: int | None
    source: str
    seed: int | None
    seeds: str | None
    auxiliary: Sequence[str]
    weights: str | None
    amp: str | None

    def target(self, method: Method, dataset: str) -> Target:
        """The published numbers; without any the command ends before hours of training. Raises ``UsageError``."""
        from ..report import ledger

        setting = values.setting(self.setting, self.shots) if self.setting or self.shots else None
        return ledger.target(
            method.name, method.published, dataset, setting=setting, shots=self.shots, source=self.source
        )  # fmt: skip


@click.command(short_help="Run a published set-up, and compare with the published numbers.")
@click.argument("method", metavar="METHOD")
@arguments.what_to_reproduce
@click.option(
    "--preset",
    "-p",
    default="paper",
    show_default=True,
    help="paper, or another published set-up of the method, which begins with paper-.",
)
@click.option(
    "--setting",
    type=click.Choice(arguments.SETTINGS),
    help="What a model is trained on.  [default: one-class, or that of the published numbers]",
)
@click.option("--shots", type=click.IntRange(min=1), metavar="K", help="Training images of each class: few-shot.")
@click.option("--source", default="", metavar="TEXT", help="Compare with the published source that has this text.")
@click.option("--seed", type=click.IntRange(0, arguments.LAST_SEED), help="Seed of the run.  [default: 0]")
@click.option("--seeds", help="Several seeds: 0,1,2.")
@click.option("--force", is_flag=True, help="Compute again what is already stored.")
@arguments.results_option
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of ledger.json and ledger.md.  [default: RESULTS/ledger/METHOD-DATASET...]",
)
@arguments.format_option
@gathered("given", _SetUp)
def reproduce(method: str, dataset: str, classes: str, data_root: Path | None, given: _SetUp, device: str,
              threads: Choice, plugin_files: tuple[Path, ...], force: bool, results: Path, output: Path | None,
              format_: str) -> None:  # fmt: skip
    """Run METHOD's published set-up, and set each class beside the published number of the same kind of epoch.

    Writes ledger.json and ledger.md, a page that can be sent in as evidence. The runs are stored as those of adbench
    run; the same command goes on where it was stopped.

    \b
    adbench reproduce msflow -d mvtec -c bottle,screw --data-root ~/data/mvtec
    """  # noqa: D301
    from ..run import plan as suite

    registry = load_plugins(plugin_files)
    chosen = registry.method(method)
    _require_published_preset(chosen, given.preset)
    root = values.root(registry.dataset(dataset), data_root)
    reader = values.reader(registry, dataset, root=root)
    wanted = given.target(chosen, dataset)
    command = shlex.join(["adbench", *sys.argv[1:]])
    plan = suite.Plan(
        methods=[chosen],
        overrides=values.overrides([chosen], (), {"weights": given.weights, "amp": given.amp}),
        dataset=reader,
        classes=suite.choose_classes(reader, root, classes),
        data_root=root,
        preset=given.preset,
        seeds=values.seeds(given.seed, given.seeds),
        auxiliary=values.auxiliary([chosen], given.auxiliary),
        device=device,
        threads=threads,
        force=force,
        results=results,
        plugin_files=plugin_files,
        command=command,
        setting=wanted.setting,
        shots=wanted.shots,
    )
    values.compute_with(threads)
    jobs, outcomes = plan.jobs(), list[suite.Outcome]()
    _require_numbers(wanted, plan.classes, vars(jobs[0].options))
    known = list(reader.classes(root))
    for line in wanted.lacks(plan.classes, known, vars(jobs[0].options)):
        warn(line)
    with report_if_stopped(jobs, outcomes):
        run_jobs(jobs, registry, outcomes, may_shorten=False)
        place = output or results / LEDGERS / _folder_name(plan, wanted, known)
        _write(outcomes, wanted, chosen.paper, known, command, place, format_)
    exit_if_failed(outcomes)


def _folder_name(plan: Plan, wanted: Target, known: Sequence[str]) -> str:
    """METHOD-DATASET, and what else was asked for: no command overwrites the ledger of another one."""
    parts = [wanted.method, wanted.dataset]
    if plan.preset != "paper":
        parts.append(plan.preset)
    if wanted.setting != "one-class":
        parts.append(wanted.setting if wanted.shots is None else f"{wanted.setting}-{wanted.shots}")
    if set(plan.classes) != set(known):
        parts.append("+".join(sorted(plan.classes)) if len(plan.classes) <= 3 else f"{len(plan.classes)}-classes")
    if tuple(plan.seeds) != (0,):
        parts.append(f"seeds-{'+'.join(map(str, plan.seeds))}")
    return safe_name("-".join(parts))


def _require_published_preset(method: Method, preset: str) -> None:
    """Refuse a preset that no paper has: its gaps would say nothing about reproduction."""
    from ..api.method import find_preset

    find_preset(method, preset)
    if preset != "paper" and not preset.startswith("paper-"):
        known = [name for name in method.presets if name == "paper" or name.startswith("paper-")]
        raise UsageError(f"--preset {preset}", found="no published set-up", wanted=f"one of {', '.join(known)}")


def _require_numbers(wanted: Target, classes: Sequence[str], options: dict[str, object]) -> None:
    """Refuse classes for which nothing is published."""
    if not wanted.references(classes, options):
        known = ", ".join(dict.fromkeys(each.class_name for each in wanted.numbers))
        raise UsageError(
            f"published numbers of {wanted.method} on {wanted.dataset}/{', '.join(classes)}", found="none",
            wanted=f"one of the classes {known}",
        )  # fmt: skip


def _write(
    outcomes: Sequence[Outcome],
    wanted: Target,
    paper: str,
    dataset_classes: Sequence[str],
    command: str,
    folder: Path,
    format_: str,
) -> None:
    """Write the ledger of what was computed, if anything was, and print its tables."""
    from ..report import ledger, ledger_page

    made = [result for outcome in outcomes for result in outcome.results]
    if not made:
        return
    failed = {outcome.job.title: str(outcome.error) for outcome in outcomes if outcome.error is not None}
    found = ledger.make(made, wanted, paper=paper, dataset_classes=dataset_classes, failed=failed, command=command)
    page = ledger_page.write(found, folder)
    print_tables(ledger_page.tables(found), format_)
    say(f"Ledger: {page} and {ledger_page.JSON} beside it. Send both in: docs/ledger.md says how.")
