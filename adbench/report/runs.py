"""Tables of single runs: stored runs, the scores of a checkpoint, and the runs behind each number of a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

from ..api.scores import MAIN_METRICS, METRIC_NAMES
from ..results.protocol_text import protocol_text
from ..results.records import Result
from ..results.variants import TITLES, Board, Names, Variant, dataset_title, mean
from ..util.errors import ResultError
from ..util.threads import threads_text
from . import missing
from .labels import label_column
from .leaderboard import some
from .missing import Scored
from .protocols import setting_column
from .score_notes import NO_IMAGE, images_of, is_zero_shot, no_threshold_text, ties_text, useless_of, useless_text
from .tables import Audience, Column, Kind, Role, Table, constant
from .timing import timing_columns, timing_notes

if TYPE_CHECKING:
    from ..run.standing import Standing
    from ..run.trial import Trial, Verdict


@dataclass(frozen=True)
class _Listed:
    """One stored run and its standing, if that was looked up."""

    run: Result
    standing: Standing | None = None

    @property
    def reason(self) -> str:
        """Why it is stale or unchecked."""
        return self.standing.reason if self.standing else ""


def list_runs(
    results: Sequence[Result],
    standings: Sequence[Standing] | None = None,
    names: Names | None = None,
    *,
    title: str = "Runs",
) -> Table[_Listed]:
    """All runs: folder, configuration, seed, metrics and time; and which are stale or unchecked, and why.

    Args:
        results: the runs.
        standings: the standing of each run.
        names: names of the variants; by default from these results alone.
        title: what the runs are.

    Raises:
        ResultError: there is no result.
    """
    rows = [_Listed(run, standing) for run, standing in zip(some(results), standings or repeat(None), strict=False)]
    named = names or Names(results)
    reasons = list(dict.fromkeys(row.reason for row in rows if row.reason))
    datasets = list(dict.fromkeys(dataset_title(run.dataset, run.synthetic) for run in results))
    of = f" on {datasets[0]}" if len(datasets) == 1 else ""

    def metric(name: str) -> Column[_Listed]:
        shown = _audience(name)
        return Column(name, TITLES[name], lambda row: getattr(row.run.metrics, name), "percent", shown, "main")

    def dataset(row: _Listed) -> str:
        return dataset_title(row.run.dataset, row.run.synthetic)

    def state(row: _Listed) -> str | None:
        """For people, with a mark that a note explains."""
        mark = f" [{reasons.index(row.reason) + 1}]" if row.reason else ""
        return f"{row.standing.state}{mark}" if row.standing else None

    def minute(row: _Listed) -> str:
        return row.run.finished[:16].replace("T", " ")

    columns: tuple[Column[_Listed], ...] = (
        *([] if of else [Column("dataset", "data set", dataset, audience="people", role="key")]),
        Column("dataset", "data set", lambda row: row.run.dataset, audience="programs"),
        Column("synthetic", "synthetic", lambda row: row.run.synthetic, audience="programs"),
        Column("class", "class", lambda row: row.run.class_name, role="key"),
        Column("variant", "variant", lambda row: named.of(row.run), role="key"),
        Column("method", "method", lambda row: row.run.method, audience="programs"),
        setting_column(lambda row: [row.run]),
        Column("seed", "seed", lambda row: row.run.seed, "count", role="key", spare=2),
        *map(metric, METRIC_NAMES),
        Column("finished", "finished", minute, audience="people", whole=True, spare=1),
        Column("finished", "finished", lambda row: row.run.finished, audience="programs"),
        Column("run", "run", lambda row: row.run.run, role="main", whole=True),
        *([Column("state", "state", state, audience="people", role="main")] if reasons else []),
        label_column(results, lambda row: [row.run], spare=3),
        Column("state", "state", lambda row: row.standing.state if row.standing else None, audience="programs"),
        Column("reason", "reason", lambda row: row.reason, audience="programs"),
    )
    notes = tuple(f"[{number}] {reason}." for number, reason in enumerate(reasons, 1))
    return Table(f"{title}{of}: metrics in % at the last epoch", columns, tuple(rows), notes)


def _audience(metric: str) -> Audience:
    """Programs see all metrics, people the main ones."""
    return "all" if metric in MAIN_METRICS else "programs"


# ---------------------------------------------------------------- trials


@dataclass(frozen=True)
class _Trials:
    """One class on which a checkpoint was tested, or the mean over several."""

    name: str
    trials: Sequence[Trial]
    is_mean: bool = False

    def metric(self, name: str) -> float | None:
        """A field of ``Metrics``."""
        return mean(getattr(trial.metrics, name) for trial in self.trials)

    def threshold(self, name: str) -> float | None:
        """A field of ``Threshold``, or None."""
        return mean(getattr(trial.threshold, name, None) for trial in self.trials)

    @property
    def only(self) -> Trial | None:
        """The trial of a single class."""
        return None if self.is_mean else self.trials[0]


def trial_table(trials: Sequence[Trial]) -> Table[_Trials]:
    """The scores of a checkpoint, class by class.

    Raises:
        ResultError: there is no trial.
    """
    if not trials:
        raise ResultError("there is nothing to show", found="no class that was scored")
    first = trials[0]
    judged: Audience = "all" if any(each.threshold for each in trials) else "programs"

    def metric(name: str) -> Column[_Trials]:
        return Column(name, TITLES[name], lambda row: row.metric(name), "percent", _audience(name))

    columns: tuple[Column[_Trials], ...] = (
        Column("class", "class", lambda row: row.name, role="key"),
        constant("dataset", "data set", first.dataset),
        constant("synthetic", "synthetic", first.synthetic),
        constant("method", "method", first.method),
        constant("checkpoint", "checkpoint", first.checkpoint),
        Column("epoch", "epoch", lambda row: row.only.epoch if row.only else None, "count"),
        *map(metric, METRIC_NAMES),
        Column("threshold", "threshold", lambda row: row.threshold("value") if row.only else None, "score", judged),
        Column("false_alarm_rate", "false alarms", lambda row: row.threshold("false_alarm_rate"), "percent", judged),
        Column("miss_rate", "misses", lambda row: row.threshold("miss_rate"), "percent", judged),
    )
    title = f"{first.method} from {first.checkpoint} on {dataset_title(first.dataset, first.synthetic)}: metrics in %"
    tied = [
        f"{each.tied_images} of {each.test_images} images ({each.class_name})" for each in trials if each.tied_images
    ]
    useless = {
        trial.class_name: useless_text(trial.threshold, trial.protocol.shots, trial.metrics.image_auroc)
        for trial in trials
        if trial.threshold
    }
    notes = dict.fromkeys([ties_text(", ".join(tied))] if tied else ())
    notes |= dict.fromkeys(f"The threshold for {name} is {text}" for name, text in useless.items() if text)
    notes |= dict.fromkeys(f"Protocol: {protocol_text(trial.protocol)}." for trial in trials)
    notes |= dict.fromkeys(_missing_notes(trials))
    rows = tuple(_Trials(trial.class_name, [trial]) for trial in trials)
    counts = {name: sum(getattr(each.metrics, name) is not None for each in trials) for name in MAIN_METRICS}
    mean_name, of_fewer = missing.mean_title(counts, len(rows))
    footers = (_Trials(mean_name, trials, is_mean=True),) if len(rows) > 1 else ()
    notes |= dict.fromkeys(of_fewer if footers else ())
    return Table(title, columns, rows, tuple(notes), footers)


@dataclass(frozen=True)
class _Image:
    """An image that a checkpoint scored, and its class."""

    trial: Trial
    image: Verdict


def verdict_table(trials: Sequence[Trial]) -> Table[_Image]:
    """The score of each image and what the threshold calls it, the most anomalous first in each class.

    Raises:
        ResultError: there is no trial.
    """
    if not trials:
        raise ResultError("there is nothing to show", found="no class that was scored")
    first = trials[0]
    several: Role = "key" if len(trials) > 1 else "other"

    def threshold(row: _Image) -> float | None:
        return row.trial.threshold.value if row.trial.threshold else None

    columns: tuple[Column[_Image], ...] = (
        constant("dataset", "data set", first.dataset),
        constant("method", "method", first.method),
        constant("checkpoint", "checkpoint", first.checkpoint),
        Column("class", "class", lambda row: row.trial.class_name, role=several),
        Column("image", "image", lambda row: row.image.path, role="key", whole=True),
        Column("label", "label", lambda row: row.image.label),
        Column("defect", "defect", lambda row: row.image.defect),
        Column("score", "score", lambda row: row.image.score, "score"),
        Column("threshold", "threshold", threshold, "score"),
        Column("verdict", "verdict", lambda row: row.image.verdict),
    )
    rows = [_Image(trial, image) for trial in trials for image in sorted(trial.images, key=lambda image: -image.score)]
    without = [trial.class_name for trial in trials if trial.threshold is None]
    notes = [f"verdict -: the checkpoint has no threshold for these scores ({', '.join(without)})."] if without else []
    title = f"{first.method} from {first.checkpoint} on {dataset_title(first.dataset, first.synthetic)}: each image"
    return Table(title, columns, tuple(rows), tuple(notes))


def _missing_notes(trials: Sequence[Trial]) -> list[str]:
    def scored(trial: Trial) -> Scored:
        return Scored(trial.method, trial.class_name, lambda name: getattr(trial.metrics, name))

    bare = [trial.class_name for trial in trials if not trial.labelled]
    notes = [f"Metrics -: no labels ({', '.join(bare)})."] if bare else []
    notes += missing.notes([scored(trial) for trial in trials if trial.labelled], MAIN_METRICS)
    return [*notes, "epoch -: the checkpoint doesn't say."] if any(trial.epoch is None for trial in trials) else notes


# ---------------------------------------------------------------- for the report page


def class_table(board: Board, name: str, ranked: str = "image_auroc") -> Table[Variant]:
    """Every metric of every variant on one class; ``ranked`` is the metric by which the data set is ranked."""
    having = [variant for variant in board.variants if name in variant.runs]
    defined = [each for each in METRIC_NAMES if any(variant.metric(name, each) is not None for variant in having)]
    runs = [run for variant in having for run in variant.runs[name]]
    suggested = {variant.label: variant.runs[name][0].threshold for variant in having}
    shown = any(suggested.values())

    def metric(key: str) -> Column[Variant]:
        role: Role = "main" if key == ranked else "other"
        return Column(key, TITLES[key], lambda variant: variant.metric(name, key), "percent", role=role)

    def threshold(key: str, title: str, field: str, kind: Kind) -> Column[Variant]:
        return Column(key, title, lambda variant: getattr(suggested[variant.label], field, None), kind)

    columns: tuple[Column[Variant], ...] = (
        Column("variant", "variant", lambda variant: variant.label, role="key"),
        Column("seeds", "seeds", lambda variant: len(variant.runs[name]), "count"),
        *map(metric, defined),
        *(
            (
                threshold("threshold", "threshold", "value", "score"),
                threshold("false_alarm_rate", "false alarms", "false_alarm_rate", "percent"),
                threshold("miss_rate", "missed", "miss_rate", "percent"),
            )
            if shown
            else ()
        ),
        Column("fit_seconds", "fit s", lambda variant: variant.timing(name, "fit"), "seconds"),
        *timing_columns(runs, lambda variant: variant.runs[name]),
    )
    unseen = [variant.label for variant in having if is_zero_shot(variant.runs[name][0])]
    notes = _threshold_notes({each.label: each.runs[name][0] for each in having if each.label not in unseen})
    notes += [f"No threshold for {', '.join(unseen)}: {NO_IMAGE}"] if unseen else []
    if any(len(variant.runs[name]) > 1 for variant in having):
        one = "threshold, charts and images" if shown else "charts and images below"
        notes.append(f"The metrics are means over the seeds; {one} show one seed.")
    notes += timing_notes(runs)
    return Table(f"{name}: metrics in % at the last epoch", columns, tuple(having), tuple(notes))


def _threshold_notes(runs: Mapping[str, Result]) -> list[str]:
    """The sources of the thresholds of variants' runs; a rule that all share is named once."""
    rules = {label: run.threshold.rule for label, run in runs.items() if run.threshold}
    texts = list(dict.fromkeys(rules.values()))
    if len(texts) > 1:
        texts = [f"{rule} ({', '.join(label for label in rules if rules[label] == rule)})" for rule in texts]
    above = "false alarms: good images above it; missed: defective ones that are not"
    without: dict[str, list[str]] = {}
    for label, run in runs.items():
        if run.threshold is None:
            without.setdefault(no_threshold_text(images_of(run)), []).append(label)
    notes = [f"Threshold for good or bad: {'; '.join(texts)}. In % of the test set's, {above}."] if rules else []
    useless = {label: useless_of(run) for label, run in runs.items()}
    notes += [f"The threshold of {label} is {text}" for label, text in useless.items() if text]
    return [*notes, *(f"No threshold for {', '.join(labels)}: {reason}" for reason, labels in without.items())]


@dataclass(frozen=True)
class _Made:
    """A run, its variant's label, and the numbers of its protocol and environment in the notes."""

    label: str
    run: Result
    protocol: int
    environment: int


def run_table(board: Board, runs: Sequence[tuple[str, Result]]) -> Table[_Made]:
    """The source of each number. Protocols and environments are numbered and explained below, since runs share them."""
    protocols = list(dict.fromkeys(protocol_text(run.protocol) for _, run in runs))
    places = list(dict.fromkeys(environment_text(run) for _, run in runs))
    rows = tuple(
        _Made(label, run, protocols.index(protocol_text(run.protocol)) + 1, places.index(environment_text(run)) + 1)
        for label, run in runs
    )
    columns: tuple[Column[_Made], ...] = (
        Column("class", "class", lambda row: row.run.class_name),
        Column("variant", "variant", lambda row: row.label),
        label_column([run for _, run in runs], lambda row: [row.run]),
        Column("seed", "seed", lambda row: row.run.seed, "count"),
        Column("epochs", "epochs", lambda row: row.run.last_epoch, "count"),
        Column("train_images", "training images", lambda row: row.run.train_images, "count"),
        Column("test_images", "test images", lambda row: row.run.test_images, "count"),
        Column("parameters", "parameters", lambda row: row.run.parameters, "count"),
        Column("peak_memory", "peak MB", lambda row: round(row.run.peak_memory_bytes / 1e6), "count"),
        Column("protocol", "protocol", lambda row: f"P{row.protocol}"),
        Column("environment", "environment", lambda row: f"E{row.environment}"),
        Column("finished", "finished", lambda row: row.run.finished[:10]),
        Column("run", "run", lambda row: row.run.run),
    )
    notes = [f"P{number}: {text}." for number, text in enumerate(protocols, 1)]
    notes += [f"E{number}: {text}." for number, text in enumerate(places, 1)]
    return Table(f"Runs on {board.title}", columns, rows, tuple(notes))


def environment_text(run: Result) -> str:
    """The machine and software of a run in one line."""
    made = run.environment
    versions = [f"Python {made.python}", *(f"{name} {version}" for name, version in made.packages.items())]
    cuda = [f"CUDA {made.cuda}"] if made.cuda else []
    where = f"{made.device_name} ({made.device}, {threads_text(made.threads)}); {made.platform}"
    return f"{where}; {', '.join([*versions, *cuda])}; method from {run.method_package}"
