"""Reproductions made by hand from ``known_method``'s published numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from known_method import PUBLISHED
from made_results import make_result

from adbench.api.method import Published
from adbench.report import ledger
from adbench.results.records import Result

CLASSES = ("bottle", "screw")


def known_result(class_name: str = "bottle", image: float | None = 0.99, **more: Any) -> Result:
    """A result of the method on mvtec."""
    return make_result("known", class_name, dataset="mvtec", image=image, **more)


def make_ledger(
    results: Sequence[Result],
    published: Sequence[Published] = PUBLISHED,
    *,
    classes: Sequence[str] = CLASSES,
    failed: Mapping[str, str] | None = None,
    command: str = "adbench reproduce known -d mvtec",
) -> ledger.Ledger:
    """Results beside published numbers, of a data set that has ``classes``."""
    wanted = ledger.target("known", published, "mvtec")
    return ledger.make(
        results, wanted, paper="arXiv 0000.00000", dataset_classes=classes, failed=failed or {}, command=command
    )
