"""Tables about an exported file: how far its scores, maps and metrics are from the model's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..api.scores import METRIC_NAMES, Metrics
from ..results.variants import TITLES
from ..util.sizes import bytes_text
from ..util.text import plural
from .tables import AnyTable, Column, Table, constant

if TYPE_CHECKING:
    from ..run.export.check import Difference
    from ..run.export.job import Exported

NAMES = {"onnx": "ONNX", "openvino": "OpenVINO", "torch": "torch.export"}
"""Formats as people write them."""


@dataclass(frozen=True)
class _Compared:
    """A number of the model and of the file."""

    name: str
    difference: Difference
    limit: float | None


@dataclass(frozen=True)
class _Metric:
    """A metric of both."""

    name: str
    model: float
    file: float
    limit: float | None


def tables(made: Exported, target: str, notes: Sequence[str] = ()) -> list[AnyTable]:
    """The largest differences, and the metrics of both where there are any.

    Args:
        made: the file and its check.
        target: its format.
        notes: further lines below the first table.
    """
    return [_differences(made, target, notes), *_metrics(made)]


def _differences(made: Exported, target: str, notes: Sequence[str]) -> Table[_Compared]:
    from ..run.export.check import SCORES

    facts, check = made.facts, made.check
    rows = [_Compared("image score", check.score, SCORES)]
    if check.map is not None:
        rows.append(_Compared("map", check.map, None))
    columns: tuple[Column[_Compared], ...] = (
        Column("what", "of the file", lambda row: row.name, role="key"),
        constant("method", "method", facts.method),
        constant("dataset", "data set", facts.dataset),
        constant("class", "class", facts.class_name),
        constant("target", "target", target),
        constant("program", "program", made.program),
        constant("images", "images", check.images),
        constant("different_verdicts", "different verdicts", check.verdicts),
        Column("largest_difference", "largest difference", lambda row: row.difference.largest, "score"),
        Column("spread", "spread", lambda row: row.difference.spread, "score"),
        Column("share", "difference / spread", lambda row: row.difference.share, "score"),
        Column("limit", "limit", lambda row: row.limit, "score"),
    )
    title = f"{facts.method} on {facts.dataset}/{facts.class_name} as {NAMES[target]}, run by {made.program}"
    return Table(title, columns, tuple(rows), (*_notes(made), *notes))


def _notes(made: Exported) -> list[str]:
    check, facts = made.check, made.facts
    size = "images of any size" if facts.image_size is None else "{}x{} images".format(*facts.image_size)
    lines = [f"{plural(check.images, 'image')}; the file takes {facts.input} {size} and has {bytes_text(made.bytes)}."]
    if check.left_out:
        lines.append(f"{plural(check.left_out, 'image')} of another size left out.")
    if check.verdicts is None:
        lines.append("No verdict: the run suggests no threshold.")
    else:
        lines.append(f"Verdicts differ for {plural(check.verdicts, 'image')}.")
    return lines


def _metrics(made: Exported) -> list[Table[_Metric]]:
    from ..run.export.check import AUROC, GUARDED

    def row(name: str, model: Metrics, file: Metrics) -> _Metric | None:
        one, other = getattr(model, name), getattr(file, name)
        return None if one is None or other is None else _Metric(name, one, other, AUROC if name in GUARDED else None)

    found = [row(name, made.check.model, made.check.file) for name in METRIC_NAMES]
    rows = tuple(each for each in found if each is not None)
    columns: tuple[Column[_Metric], ...] = (
        Column("metric", "metric", lambda row: TITLES[row.name], role="key"),
        Column("model", "model", lambda row: row.model, "percent"),
        Column("file", "file", lambda row: row.file, "percent"),
        Column("difference", "difference", lambda row: row.file - row.model, "points"),
        Column("limit", "limit", lambda row: row.limit, "percent"),
    )
    return [Table("Metrics of both (%), with AUPRO from the anomaly map", columns, rows)] if rows else []
