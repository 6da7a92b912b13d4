"""Whose numbers were made alike: marks in a table where protocols differ, and what they mean below it.

A difference is marked only where it moves a number. How masks are compared moves pixel metrics and AUPRO alone, the map
that AUPRO is taken from moves AUPRO alone, and neither moves anything where there are no masks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..api.scores import METRIC_NAMES
from ..results.records import Result
from ..results.variants import Board, Variant, protocol_parts, protocol_text
from ..util.text import in_letters
from .tables import Column, Row, constant

MOVES: Mapping[str, tuple[str, ...]] = {
    "masks": tuple(name for name in METRIC_NAMES if not name.startswith("image")),
    "aupro": tuple(name for name in METRIC_NAMES if name.startswith("aupro")),
}
"""The parts of a protocol that move some metrics only; the others move all of them."""

_TITLES = {"masks": "masks", "aupro": "AUPRO map"}

_SHORT: Mapping[str, Callable[[str], str]] = {
    "masks": lambda text: text.removeprefix("masks "),
    "aupro": lambda text: text.removeprefix("AUPRO from the ").removesuffix(" map"),
}

_NOTES = {
    "masks": "Masks and maps are compared in different ways, so mind that when comparing pixel metrics and AUPRO.",
    "aupro": "AUPRO is taken from different maps, so mind that when comparing it.",
}


class Protocols:
    """The protocols behind one table.

    Where a table shows several metrics and the variants differ in what moves some of them only, a column beside these
    says so. All other differences mark a whole row, or in a comparison the variant.

    Args:
        variants: those in the table.
        metrics: the fields of ``Metrics`` that it shows.
    """

    def __init__(self, variants: Sequence[Variant], metrics: Sequence[str]) -> None:
        self.metrics = tuple(metrics)
        having = [variant for variant in variants if _has(variant, metrics)]
        self.variants = tuple(having or variants)
        self.values = {part: self._values(part, [name for name in metrics if name in MOVES[part]]) for part in MOVES}
        """What the variants have of each part that moves some metrics only, if it moves any in this table."""
        self.common = {part: self._values(part, MOVES[part]) for part in MOVES}
        """The same, if it moves any metric that they have: it is told, though not marked, where all have the same."""
        alone = len(self.metrics) == 1
        self.apart = () if alone else tuple(part for part, values in self.values.items() if len(values) > 1)
        """The parts that have a column of their own."""
        texts = dict.fromkeys(self.text(run) for variant in self.variants for run in variant.all_runs)
        self.marks = {text: in_letters(number).upper() for number, text in enumerate(texts)}
        """A letter for each protocol: A, B, ..., Z, AA, ... in the order in which they are met."""

    def _values(self, part: str, moved: Sequence[str]) -> tuple[str, ...]:
        having = [variant for variant in self.variants if _has(variant, moved)]
        return tuple(dict.fromkeys(protocol_parts(run.protocol)[part] for each in having for run in each.all_runs))

    @property
    def differ(self) -> bool:
        """Whether anything differs that moves a number of the table."""
        return len(self.marks) > 1 or bool(self.apart)

    def text(self, run: Result) -> str:
        """The protocol of a run, without what differs but moves nothing in the table or has its own column."""
        parts = protocol_parts(run.protocol)
        for part, common in self.common.items():
            if len(common) == 1:  # also for a variant without maps, of which it says nothing
                parts[part] = common[0]
            elif not self.values[part] or part in self.apart:
                parts[part] = ""
        return "; ".join(filter(None, parts.values()))

    def marked(self, variant: Variant) -> str:
        """A variant's label, with the marks of its protocols where there are several."""
        if len(self.marks) < 2 or variant not in self.variants:
            return variant.label
        return f"{variant.label} [{' '.join(self._letters(variant.all_runs))}]"

    def _letters(self, runs: Sequence[Result]) -> list[str]:
        return list(dict.fromkeys(self.marks[text] for run in runs if (text := self.text(run)) in self.marks))

    def columns(self, runs_of: Callable[[Row], Sequence[Result]]) -> tuple[Column[Row], ...]:
        """The columns at the end of a row: texts for programs, marks for people where there are several."""

        def whole(row: Row) -> str:
            return " | ".join(dict.fromkeys(protocol_text(run.protocol) for run in runs_of(row)))

        texts = Column[Row]("protocol", "protocol", whole, audience="programs")
        letters = Column[Row](
            "protocol", "protocol", lambda row: " ".join(self._letters(runs_of(row))), audience="people"
        )
        return (texts, letters) if len(self.marks) > 1 else (texts,)

    def columns_after(self, metric: str, runs_of: Callable[[Row], Sequence[Result]]) -> list[Column[Row]]:
        """The columns of their own for what moves ``metric``, if it is the last such metric in the table."""
        return [
            self._column(part, lambda row: runs_of(row))
            for part in self.apart
            if [name for name in self.metrics if name in MOVES[part]][-1] == metric
        ]

    def columns_of_rows(
        self, metric_of: Callable[[Row], str], runs_of: Callable[[Row], Sequence[Result]]
    ) -> list[Column[Row]]:
        """The same for a table in which each row is of one metric: empty where the part doesn't move it."""

        def moved(part: str) -> Callable[[Row], Sequence[Result]]:
            return lambda row: runs_of(row) if metric_of(row) in MOVES[part] else ()

        return [self._column(part, moved(part)) for part in self.apart]

    def _column(self, part: str, runs_of: Callable[[Row], Sequence[Result]]) -> Column[Row]:
        def values(row: Row) -> str:
            found = dict.fromkeys(protocol_parts(run.protocol)[part] for run in runs_of(row))
            return ", ".join(_SHORT[part](value) for value in found if value in self.values[part])

        return Column(f"{part}_protocol", _TITLES[part], values, audience="people", beside=True)

    def notes(self) -> list[str]:
        """One line for each protocol, with its mark and whom it belongs to where there are several."""
        users = self._users()
        if len(users) == 1:
            lines = [f"Protocol: {next(iter(users))}."]
        else:
            lines = ["The protocols differ, so mind them when comparing:"]
            lines += [f"[{self.marks[text]}] {whose}: {text}." for text, whose in users.items()]
        return [*lines, *(_NOTES[part] for part in self.apart)]

    def _users(self) -> dict[str, str]:
        """Each protocol with the variants that have it; their classes are named where it isn't all of them."""
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
    """What a row of a comparison is about; programs are told whether protocols differ."""
    return (
        Column("class", "class", name, role="key"),
        constant("dataset", "data set", board.dataset),
        constant("synthetic", "synthetic", board.synthetic),
        constant("metric", "metric", metric),
        constant("protocols_differ", "protocols differ", differ),
    )
