"""Marks numbers in a table whose protocols differ, and explains the marks below it.

A difference is marked only where it moves a number. The comparison with masks moves only pixel metrics and AUPRO. The
map from which AUPRO is taken moves only AUPRO. Neither moves anything where there are no masks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..api.scores import PIXEL_METRICS
from ..results.protocol_text import protocol_parts, protocol_text
from ..results.records import FOUND, GIVEN, Result
from ..results.variants import Board, Variant
from ..util.text import in_letters
from .tables import Column, Row, constant

MOVES: Mapping[str, tuple[str, ...]] = {
    "masks": PIXEL_METRICS,
    "aupro": tuple(name for name in PIXEL_METRICS if name.startswith(("aupro", "au_spro"))),
    "segf1": ("segf1",),
    "regions": tuple(name for name in PIXEL_METRICS if name.startswith("aupro")),
}
"""The parts of a protocol that move only some metrics, by those metrics; the others move all metrics."""

_TITLES = {"masks": "masks", "aupro": "AUPRO map", "segf1": "SegF1 at", "regions": "regions"}

_SHORT: Mapping[str, Callable[[str], str]] = {
    "masks": lambda text: text.removeprefix("masks "),
    "aupro": lambda text: text.removeprefix("AUPRO from the ").removesuffix(" map"),
    "segf1": lambda text: text.removeprefix("SegF1 at "),
    "regions": lambda text: text.removeprefix("regions: "),
}

_NOTES = {
    "masks": "Masks and maps are compared in different ways. Mind that when comparing pixel metrics and AUPRO.",
    "aupro": "AUPRO is taken from different maps. Mind that when comparing it.",
    "regions": "Regions of defects are counted in different pixels. Mind that when comparing AUPRO.",
    "segf1": "SegF1 is at thresholds of different rules. Mind that when comparing it.",
}


class Protocols:
    """The protocols of one table's numbers.

    If a table shows several metrics, and the variants differ in a part that moves only some of them, a column beside
    these metrics shows the part. All other differences mark a whole row, or the variant in a comparison.

    Args:
        variants: those in the table.
        metrics: the fields of ``Metrics`` that it shows.
    """

    def __init__(self, variants: Sequence[Variant], metrics: Sequence[str]) -> None:
        self.metrics = tuple(metrics)
        having = [variant for variant in variants if _has(variant, metrics)]
        self.variants = tuple(having or variants)
        self.values = {part: self._values(part, [name for name in metrics if name in MOVES[part]]) for part in MOVES}
        """Each part that moves only some metrics, with its values, if it moves any metric in this table."""
        self.common = {part: self._values(part, MOVES[part]) for part in MOVES}
        """The same, if it moves any metric of theirs: equal values are not marked, but named."""
        alone = len(self.metrics) == 1
        self.apart = () if alone else tuple(part for part, values in self.values.items() if len(values) > 1)
        """The parts that have their own columns."""
        texts = dict.fromkeys(self.text(run) for variant in self.variants for run in variant.all_runs)
        self.marks = {text: in_letters(number).upper() for number, text in enumerate(texts)}
        """A letter for each protocol (A, B, ..., Z, AA, ...), in order of appearance."""

    def _values(self, part: str, moved: Sequence[str]) -> tuple[str, ...]:
        having = [variant for variant in self.variants if _has(variant, moved)]
        return tuple(dict.fromkeys(protocol_parts(run.protocol)[part] for each in having for run in each.all_runs))

    @property
    def differ(self) -> bool:
        """Whether anything differs that moves a number of the table."""
        return len(self.marks) > 1 or bool(self.apart)

    def text(self, run: Result) -> str:
        """The protocol of a run, without differences that move nothing in the table or have their own column."""
        found = run.protocol.levels_by == FOUND  # the same for all variants: no difference to mark
        parts = protocol_parts(replace(run.protocol, **({"levels": None} if found else {"levels_by": GIVEN})))
        for part, common in self.common.items():
            if len(common) == 1:  # also for a variant without maps, which has no such part
                parts[part] = common[0]
            elif not self.values[part] or part in self.apart:
                parts[part] = ""
        return "; ".join(filter(None, parts.values()))

    def marked(self, variant: Variant) -> str:
        """A variant's label, with the marks of its protocols if there are several."""
        if len(self.marks) < 2 or variant not in self.variants:
            return variant.label
        return f"{variant.label} [{' '.join(self._letters(variant.all_runs))}]"

    def _letters(self, runs: Sequence[Result]) -> list[str]:
        return list(dict.fromkeys(self.marks[text] for run in runs if (text := self.text(run)) in self.marks))

    def columns(self, runs_of: Callable[[Row], Sequence[Result]]) -> tuple[Column[Row], ...]:
        """The columns at the end of a row: texts for programs, marks for people if there are several protocols."""

        def whole(row: Row) -> str:
            return " | ".join(dict.fromkeys(protocol_text(run.protocol) for run in runs_of(row)))

        texts = Column[Row]("protocol", "protocol", whole, audience="programs")
        letters = Column[Row](
            "protocol", "protocol", lambda row: " ".join(self._letters(runs_of(row))), audience="people"
        )
        return (texts, letters) if len(self.marks) > 1 else (texts,)

    def columns_after(self, metric: str, runs_of: Callable[[Row], Sequence[Result]]) -> list[Column[Row]]:
        """Columns for the parts that move ``metric``, if it is the last such metric in the table."""
        return [
            self._column(part, lambda row: runs_of(row))
            for part in self.apart
            if [name for name in self.metrics if name in MOVES[part]][-1] == metric
        ]

    def columns_of_rows(
        self, metric_of: Callable[[Row], str], runs_of: Callable[[Row], Sequence[Result]]
    ) -> list[Column[Row]]:
        """The same for a table in which each row is about one metric: empty if the part doesn't move it."""

        def moved(part: str) -> Callable[[Row], Sequence[Result]]:
            return lambda row: runs_of(row) if metric_of(row) in MOVES[part] else ()

        return [self._column(part, moved(part)) for part in self.apart]

    def _column(self, part: str, runs_of: Callable[[Row], Sequence[Result]]) -> Column[Row]:
        def values(row: Row) -> str:
            found = dict.fromkeys(protocol_parts(run.protocol)[part] for run in runs_of(row))
            return ", ".join(_SHORT[part](value) for value in found if value in self.values[part])

        return Column(f"{part}_protocol", _TITLES[part], values, audience="people", beside=True)

    def notes(self) -> list[str]:
        """A line for each protocol, with its mark and its variants if there are several."""
        users = self._users()
        if len(users) == 1:
            lines = [f"Protocol: {next(iter(users))}."]
        else:
            lines = ["The protocols differ. Mind them when comparing:"]
            lines += [f"[{self.marks[text]}] {whose}: {text}." for text, whose in users.items()]
        return [*lines, *(_NOTES[part] for part in self.apart)]

    def _users(self) -> dict[str, str]:
        """Each protocol with its variants; their classes are named if not all classes have it."""
        found: dict[str, dict[str, list[str]]] = {}
        for variant in self.variants:
            for run in variant.all_runs:
                classes = found.setdefault(self.text(run), {}).setdefault(variant.label, [])
                if run.class_name not in classes:
                    classes.append(run.class_name)
        total = {variant.label: len(variant.runs) for variant in self.variants}
        return {
            text: ", ".join(
                label if len(classes) == total[label] else f"{label} ({', '.join(classes)})"
                for label, classes in labels.items()
            )
            for text, labels in found.items()
        }


def _has(variant: Variant, metrics: Sequence[str]) -> bool:
    return any(variant.metric(class_name, name) is not None for class_name in variant.runs for name in metrics)


def setting_column(runs_of: Callable[[Row], Sequence[Result]]) -> Column[Row]:
    """The setting for programs: "one-class", "multi-class", "few-shot" or "zero-shot"."""
    return Column(
        "setting", "setting", lambda row: " | ".join(dict.fromkeys(run.protocol.setting for run in runs_of(row))),
        audience="programs",
    )  # fmt: skip


def of_class(board: Board, metric: str, differ: bool, name: Callable[[Row], str]) -> tuple[Column[Row], ...]:
    """Columns that say what a row of a comparison is about; programs also see whether protocols differ."""
    return (
        Column("class", "class", name, role="key"),
        constant("dataset", "data set", board.dataset),
        constant("synthetic", "synthetic", board.synthetic),
        constant("metric", "metric", metric),
        constant("protocols_differ", "protocols differ", differ),
    )
