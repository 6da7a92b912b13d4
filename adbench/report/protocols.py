"""Whose numbers were made alike: a mark for each protocol beside the rows of a table, and its text below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..comparison import in_letters
from ..types import Result
from ..variants import Board, Variant, protocol_text
from .tables import Column, Row, constant


def protocol_marks(variants: Sequence[Variant]) -> dict[str, str]:
    """A letter for each protocol: A, B, ..., Z, AA, ... in the order in which they are met."""
    texts = dict.fromkeys(text for variant in variants for text in variant.protocols)
    return {text: in_letters(number).upper() for number, text in enumerate(texts)}


def marked(variant: Variant, marks: Mapping[str, str]) -> str:
    """A variant's label, with the marks of its protocols where there are several."""
    if len(marks) < 2:
        return variant.label
    return f"{variant.label} [{' '.join(marks[text] for text in variant.protocols)}]"


def protocol_columns(marks: Mapping[str, str], runs_of: Callable[[Row], Sequence[Result]]) -> tuple[Column[Row], ...]:
    """The columns that say whose numbers were made alike: texts for programs, marks for people if there are several."""

    def found(row: Row) -> dict[str, None]:
        return dict.fromkeys(protocol_text(run.protocol) for run in runs_of(row))

    texts = Column[Row]("protocol", "protocol", lambda row: " | ".join(found(row)), audience="programs")
    letters = Column[Row](
        "protocol", "protocol", lambda row: " ".join(marks[text] for text in found(row)), audience="people"
    )
    return (texts, letters) if len(marks) > 1 else (texts,)


def of_class(
    board: Board, metric: str, marks: Mapping[str, str], name: Callable[[Row], str]
) -> tuple[Column[Row], ...]:
    """What a row of a comparison is about: a class of a data set, and a metric."""
    return (
        Column("class", "class", name, role="key"),
        constant("dataset", "data set", board.dataset),
        constant("synthetic", "synthetic", board.synthetic),
        constant("metric", "metric", metric),
        constant("protocols_differ", "protocols differ", len(marks) > 1),
    )


def protocol_notes(variants: Sequence[Variant]) -> list[str]:
    """One line for each protocol, with its mark and whom it belongs to where there are several."""
    users: dict[str, dict[str, list[str]]] = {}
    for variant in variants:
        for run in variant.all_runs:
            classes = users.setdefault(protocol_text(run.protocol), {}).setdefault(variant.label, [])
            if run.class_name not in classes:
                classes.append(run.class_name)
    if len(users) == 1:
        return [f"Protocol: {next(iter(users))}."]
    total = {variant.label: len(variant.runs) for variant in variants}
    lines = []
    marks = protocol_marks(variants)
    for text, labels in users.items():
        whose = [
            label if len(classes) == total[label] else f"{label} ({', '.join(classes)})"
            for label, classes in labels.items()
        ]
        lines.append(f"[{marks[text]}] {', '.join(whose)}: {text}.")
    return ["The protocols differ, so mind them when comparing:", *lines]
