"""Compares variants, class by class, with each other and with the numbers that papers report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..api.data import Setting
from ..api.method import Policy
from ..api.registry import texts_in
from ..results.records import Result, setting_text, variant_name
from ..results.variants import TITLES, Board, Names, Variant, boards, mean
from ..util.errors import ResultError, UnknownNameError
from . import missing
from . import oracle as oracle_module
from .best import BestMarks, Contest
from .confidence import INTERVALS, Confidence
from .doubts import doubt_columns, doubt_notes, seeds_text, single_seed_notes
from .labels import label_notes
from .leaderboard import usual_metrics
from .protocols import Protocols, of_class, setting_column
from .published import PublishedNumbers, Reference, numbers_of, references
from .tables import AnyTable, Column, Kind, Table

MANY = 4
"""With more variants people see one row for each, and only pairs with the first one, unless they ask for more."""


@dataclass(frozen=True)
class _Series:
    """One column: a value for each class, or None."""

    key: str
    title: str
    kind: Kind
    of: Callable[[str], float | None]
    mean: float | None = None
    """The mean of classes that have no values of their own."""

    def column(self) -> Column[_Row]:
        """The series as a column of the comparison."""

        def cell(row: _Row) -> float | None:
            return self.mean if row.is_mean and self.mean is not None else mean(map(self.of, row.classes))

        return Column(self.key, self.title, cell, self.kind)


@dataclass(frozen=True)
class _Row:
    """A class, or the mean over several."""

    name: str
    classes: Sequence[str]
    is_mean: bool = False


@dataclass(frozen=True)
class _Asked:
    """The variants of a board that are compared by one metric, and with what: see the arguments of ``compare``."""

    board: Board
    variants: Sequence[Variant]
    metric: str
    published: PublishedNumbers | None
    confidence: Confidence | None


def compare(
    results: Sequence[Result],
    names: Sequence[str],
    *,
    metrics: Sequence[str] | None = None,
    vs_published: PublishedNumbers | None = None,
    oracle: bool = False,
    confidence: Confidence | None = None,
    remarks: Mapping[str, Sequence[str]] | None = None,
    called: Names | None = None,
    every_pair: bool | None = None,
    by_class: bool = False,
) -> list[AnyTable]:
    """Compare variants in a table for each data set and metric, with differences to the first one.

    Values are those of the last epoch, as means over seeds. The mean is over the classes that all compared variants
    have. Published numbers are compared under their own policy: the authors' last epoch with our last, their best
    epoch on the test set with our oracle.

    Args:
        results: runs of any methods, data sets and seeds.
        names: methods, each with all its variants, or variants such as "msflow:cpu".
        metrics: fields of ``Metrics``; by default ``usual_metrics`` of each board.
        vs_published: adds the numbers that the methods' authors report, and the gap to them.
        oracle: adds a table with the best epochs on the test set after each table.
        confidence: adds a table of significant differences after each table.
        remarks: further notes on each data set's runs (``standing.Sorted``).
        called: names of the variants; by default from these results alone.
        every_pair: compare every pair, or only each with the first; by default every pair of at most ``MANY``.
        by_class: also show people the classes of more than ``MANY`` variants.

    Raises:
        ResultError: there is no result.
        UnknownNameError: no result has that name.
    """
    if not results:
        raise ResultError("there is no result to compare", hint="Make one with adbench run, or look at --results")
    found = boards(results, remarks, called)
    known = {name for board in found for variant in board.variants for name in variant.names}
    for name in names:
        if name not in known:
            raise UnknownNameError("method or variant among the results", name, known)
    tables: list[AnyTable] = []
    for board in found:
        chosen = _choose(board, names)
        for metric in (metrics or usual_metrics(board)) if chosen else ():
            tables += _side_by_side(_Asked(board, chosen, metric, vs_published, confidence), every_pair, by_class)
            tables += [oracle_module.of_comparison(board, chosen, metric)] if oracle else []
    return tables


def _side_by_side(asked: _Asked, every_pair: bool | None, by_class: bool) -> list[AnyTable]:
    """The values and the pairs. For many variants people see one row each; programs always see all."""
    from . import across, pairs  # with NumPy

    board, variants, metric, confidence = asked.board, asked.variants, asked.metric, asked.confidence
    many = len(variants) > MANY
    every = not many if every_pair is None else every_pair
    values: AnyTable = _table(asked)
    pair_table = pairs.table(board, variants, metric, confidence, every=every) if confidence is not None else None
    if not many or by_class or asked.published is not None:
        return [values] if pair_table is None else [values, pair_table]
    tables: list[AnyTable] = [across.table(board, variants, metric, confidence), replace(values, audience="programs")]
    if pair_table is not None:
        tables.append(pair_table if every else replace(pair_table, audience="programs"))
    return tables


def _choose(board: Board, names: Sequence[str]) -> list[Variant]:
    """The variants that the names ask for, in that order, each once.

    A method's name stands for all its variants, and a preset's for all with it; but a variant that a table calls just
    so is meant alone, since no longer name would tell it from the others.
    """
    chosen: list[Variant] = []
    for name in names:
        exact = [each for each in board.variants if name == each.label != each.method]
        chosen += exact or [each for each in board.variants if name in each.names]
    return list({variant.label: variant for variant in chosen}.values())


def _table(asked: _Asked) -> Table[_Row]:
    board, variants, metric, confidence = asked.board, asked.variants, asked.metric, asked.confidence
    classes = list(dict.fromkeys(name for variant in variants for name in variant.runs))
    common = [name for name in classes if all(name in variant.runs for variant in variants)]
    protocols = Protocols(variants, [metric])
    policy = "" if asked.published is None else " (last)"
    values = [replace(_last(variant, metric), title=f"{protocols.marked(variant)}{policy}") for variant in variants]
    others = [_difference(f"{each.key} - {values[0].key}", each, values[0]) for each in values[1:]]
    notes = _notes(variants, classes, common, values)
    if asked.published is not None:
        extra, said = _against_published(board.dataset, variants, metric, classes, asked.published)
        others += extra
        notes += [*said, *_fewer_notes(extra, common)]
    columns: list[Column[_Row]] = [*of_class(board, metric, protocols.differ, lambda row: row.name)]
    columns.append(setting_column(lambda _: [run for variant in variants for run in variant.all_runs]))
    for variant, each in zip(variants, values, strict=True):
        columns += [each.column(), *(_doubts(variant, metric, confidence) if confidence else ())]
    columns += [each.column() for each in others]
    if confidence is not None:
        notes.append(f"{INTERVALS} {seeds_text(variants)}")
        shown = [(variant, classes) for variant in variants for classes in ([name] for name in variant.runs)]
        notes += doubt_notes(confidence, shown, [metric])
        several = [(variant, classes) for variant, classes in (*shown, *((each, common) for each in variants))]
        notes += single_seed_notes([each for each in several if each[0].seeds > 1], [metric])
    notes += [*missing.of_variants(variants, [metric]), *board.remarks, *label_notes(variants), *protocols.notes()]
    title = f"{board.title}: {TITLES[metric]} (%) at the last epoch"
    footer = _Row(f"mean ({len(common)})", common, is_mean=True)
    rows = tuple(_Row(name, [name]) for name in classes)
    marks = _marks(variants, metric, confidence)
    return Table(title, tuple(columns), rows, tuple(notes), (footer,), marks=marks)


def _marks(variants: Sequence[Variant], metric: str, confidence: Confidence | None) -> BestMarks:
    """Mark the best variant of each class, and of the mean."""
    by_key = {_last(variant, metric).key: variant for variant in variants}

    def find(key: str, row: _Row) -> tuple[Contest, Variant] | None:
        variant = by_key.get(key)
        return None if variant is None else (Contest(tuple(variants), tuple(row.classes), metric), variant)

    return BestMarks(find, confidence, "row")


def _doubts(variant: Variant, metric: str, confidence: Confidence) -> list[Column[_Row]]:
    """A variant's interval, and its spread over seeds if there are several."""

    def about(row: _Row) -> tuple[Variant, Sequence[str]]:
        return variant, row.classes

    prefix, several = f"{variant.label} ", variant.seeds > 1
    return doubt_columns(confidence, metric, about, prefix=prefix, several_seeds=several)


def _last(variant: Variant, metric: str) -> _Series:
    return _Series(variant.label, variant.label, "percent", lambda name: variant.metric(name, metric))


def _difference(key: str, ours: _Series, theirs: _Series, title: str = "") -> _Series:
    """``ours - theirs`` in each class that both have."""

    def of(name: str) -> float | None:
        left, right = ours.of(name), theirs.of(name)
        return None if left is None or right is None else left - right

    return _Series(key, title or key, "points", of)


def _notes(
    variants: Sequence[Variant], classes: Sequence[str], common: Sequence[str], values: Sequence[_Series]
) -> list[str]:
    notes = []
    left_out = [name for name in classes if name not in common]
    if not common:
        notes.append(missing.no_common_class(variants))
    elif left_out:
        notes.append(
            f"Means over the classes that all of them have; left out: {', '.join(left_out)} (-: no run of that class)."
        )
    return notes + _fewer_notes(values, common)


def _fewer_notes(series: Sequence[_Series], common: Sequence[str]) -> list[str]:
    """Name the means that are over fewer classes than the others."""
    notes = []
    for each in series:
        there = [name for name in common if each.of(name) is not None]
        if 0 < len(there) < len(common) and each.kind == "percent":
            notes.append(f"{each.title}: mean over {', '.join(there)} only.")
    return notes


# ---------------------------------------------------------------- against the papers


def _against_published(
    dataset: str, variants: Sequence[Variant], metric: str, classes: Sequence[str], published: PublishedNumbers
) -> tuple[list[_Series], list[str]]:
    """Columns with the authors' numbers and the gaps to ours of the same setting, and notes on their sources."""
    series: list[_Series] = []
    notes: list[str] = []
    oracles: list[Variant] = []
    compared: list[Variant] = []
    for method, setting, shots in dict.fromkeys(map(_how, variants)):
        own = [variant for variant in variants if _how(variant) == (method, setting, shots)]
        words = setting_text(setting, shots)
        found = references(
            numbers_of(published.get(method, ()), dataset, metric, setting, shots),
            classes,
            {text for variant in own for run in variant.all_runs for text in texts_in(run.options)},
        )
        if not found:
            of = f"{method}{f' ({words})' if words else ''}"
            notes.append(
                f"Published numbers for {TITLES[metric]} of {of} on these classes of {dataset} are not shipped with "
                "adbench."
            )
        for reference in found:
            key = f"{method} published ({', '.join(filter(None, (words, reference.policy)))})"
            total = None if reference.values else reference.mean
            theirs = _Series(key, key, "percent", reference.values.get, total)
            series.append(theirs)
            for variant in own if reference.values else ():
                series += _gap(variant, metric, theirs, reference.policy)
                compared.append(variant)
                oracles += [variant] if reference.policy == "oracle" else []
            notes += [f"{key}: {reference.place}.", *_reference_notes(key, reference)]
        if setting == "multi-class" and found:
            trained = ", ".join(f"{each.label} of {len(each.all_runs[0].protocol.classes)}" for each in own)
            notes.append(f"The published model is one of all classes of the data set; ours: {trained}.")
    usual = {variant.label: variant_name(*_how(variant)[:1], "paper", {}, _words(variant)) for variant in compared}
    others = [label for label, name in usual.items() if label != name]
    if others:
        notes.append(f"Not the papers' set-up, so the gap is not one of reproduction: {', '.join(others)}.")
    if oracles:
        shown = list({variant.label: variant for variant in oracles}.values())
        notes += [oracle_module.NOTE, oracle_module.evaluations_note(shown)]
    return series, notes


def _how(variant: Variant) -> tuple[str, Setting, int | None]:
    """The method of a variant, and the setting and the shots that all of its runs share."""
    protocol = variant.all_runs[0].protocol
    return variant.method, protocol.setting, protocol.shots


def _words(variant: Variant) -> tuple[str, ...]:
    return variant.all_runs[0].protocol.setting_words


def _reference_notes(key: str, reference: Reference) -> list[str]:
    notes = []
    if reference.policy == "unknown":
        notes.append(f"{key}: the source doesn't say of which epoch, so it stands beside our last.")
    if not reference.values:
        notes.append(f"{key}: only the mean over all classes of the data set is published, so no gap is shown.")
    return notes


def _gap(variant: Variant, metric: str, theirs: _Series, policy: Policy) -> list[_Series]:
    """Ours minus theirs under the same policy, our last where theirs is unknown.

    Our oracle gets a column, too; our last epoch has one already.
    """
    key = f"{variant.label} gap ({policy})"
    if policy != "oracle":
        return [_difference(key, _last(variant, metric), theirs)]
    name = f"{variant.label} (oracle)"
    ours = _Series(name, name, "percent", lambda class_name: variant.oracle(class_name, metric))
    return [ours, _difference(key, ours, theirs)]
