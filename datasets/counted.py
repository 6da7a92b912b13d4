"""Compares the numbers of images that were found with the published ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from adbench import Task
from adbench.api import Counts, Facts


def count_warnings(task: Task, published: Mapping[str, Counts]) -> tuple[str, ...]:
    """A warning that names each number which differs from the published one; none if all are the same.

    Args:
        task: what was found.
        published: numbers by class; a class without numbers isn't compared.
    """
    counts = published.get(task.class_name)
    if counts is None:
        return ()
    wrong = [f"{there} {what} ({wanted})" for what, there, wanted in _compared(task, counts) if there != wanted]
    if not wrong:
        return ()
    return (
        f"Warning: {task.dataset}/{task.class_name}: other numbers than published (in brackets): {', '.join(wrong)}.",
    )


def with_counts(task: Task, facts: Facts) -> Task:
    """The same task with the warnings of ``count_warnings`` among its remarks."""
    return replace(task, remarks=(*task.remarks, *count_warnings(task, facts.counts)))


def _compared(task: Task, counts: Counts) -> Iterator[tuple[str, int, int]]:
    """What was compared, the number that is there, and the published one."""
    good = sum(not sample.label for sample in task.test)
    bad = Counter(sample.defect for sample in task.test if sample.label)
    if counts.total is not None:
        everywhere = len(task.train) + len(task.validation) + good
        yield from (("good", everywhere, counts.total[0]), ("defective", bad.total(), counts.total[1]))
    numbers = [
        ("for training", len(task.train), counts.train),
        ("for validation", len(task.validation), counts.validation),
        ("good for testing", good, counts.good),
        ("defective for testing", bad.total(), None if counts.kinds else counts.bad),
        *((name, len(task.tests.get(name, ())), number) for name, number in counts.unlabelled.items()),
    ]
    yield from ((what, there, wanted) for what, there, wanted in numbers if wanted is not None)
    if counts.kinds:
        yield from ((kind, bad[kind], counts.kinds.get(kind, 0)) for kind in sorted({*bad, *counts.kinds}))
