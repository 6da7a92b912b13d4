"""Writes predictions one by one: rows for people, CSV or JSON lines, and overlays."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..api.data import Problem
from ..results import score_log
from ..results.score_log import LoggedScore
from ..run.prediction_maps import MapWriter
from ..util.errors import DataError, UsageError, reason
from ..util.text import csv_text, printable, stored_text
from .console import warn

if TYPE_CHECKING:
    from ..data.sources import Source
    from ..run.predict import Prediction, Predictor

Format = Literal["table", "csv", "jsonl"]

COLUMNS = ("path", "score", "threshold", "verdict", "map", "error", "flag")
"""Columns of CSV and fields of JSON lines."""

UNREADABLE = "unreadable"
"""In place of a verdict, of an image that can't be read."""


class Writer:
    """Writes each prediction to standard output as soon as it is there, and counts.

    Args:
        predictor: makes the predictions.
        format_: "table", "csv" or "jsonl".
        maps: folder for overlays; None for none.
        log: file to which the scores are appended; None for none.

    Raises:
        UsageError: the folder can't be made, or the log can't be written.
    """

    def __init__(self, predictor: Predictor, format_: Format, *, maps: Path | None, log: Path | None) -> None:
        self.predictor, self.format, self.log = predictor, format_, log
        if log is not None:
            score_log.append(log, [])  # a mistake shows before anything is scored
        self.maps = None if maps is None else MapWriter(maps)
        self.done = self.judged = self.defective = self.unreadable = self.clipped = self.dark = 0
        if maps is not None:
            try:
                maps.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(f"--maps {maps}", found=reason(error), wanted="a folder to write to") from error

    def begin(self) -> None:
        """Write the header."""
        if self.format == "table":
            self._line(_row("verdict", "score", "threshold", "image"))
        elif self.format == "csv":
            self._text(csv_text(COLUMNS, []))

    def write(self, source: Source, found: Prediction | Problem) -> None:
        """Write one image: its prediction, or what is wrong with it."""
        self.done += 1
        if isinstance(found, Problem):
            self.unreadable += 1
            warn(str(DataError(f"{found.path}", found=found.found, hint=found.hint)))
            self._record(str(source.path), None, None, UNREADABLE, "", found.found, "")
            return
        if self.log is not None:
            score_log.append(self.log, [self._logged(found)])
        self.clipped += found.is_clipped
        self.dark += found.is_dark
        self.judged += found.defective is not None
        self.defective += bool(found.defective)
        drawn = self._map(source, found)
        self._record(found.path, found.score, found.threshold, found.verdict, drawn, "", found.flag)

    def _logged(self, found: Prediction) -> LoggedScore:
        saved = self.predictor.model.saved
        return LoggedScore(
            time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            path=found.path,
            class_name=self.predictor.class_name,
            score=found.score,
            threshold=found.threshold,
            defective=found.defective,
            run=saved.provenance.run if saved.provenance else "",
        )

    def _map(self, source: Source, found: Prediction) -> str:
        if self.maps is None:
            return ""
        if found.map is None or self.predictor.scale is None:
            raise UsageError("--maps", found=f"{self.predictor.model.method.name}, which makes no maps")
        written = self.maps.write(found, source.name, self.predictor.scale)
        if isinstance(written, Problem):
            warn(str(DataError(f"{written.path}", found=written.found, hint=written.hint)))
            return ""
        return str(written)

    def _record(
        self, path: str, score: float | None, threshold: float | None, verdict: str, drawn: str, error: str, flag: str
    ) -> None:
        values = (path, score, threshold, verdict, drawn, error, flag)
        if self.format == "csv":
            self._text(csv_text(COLUMNS, [values]).removeprefix(csv_text(COLUMNS, [])))
        elif self.format == "jsonl":
            self._line(stored_text(json.dumps(dict(zip(COLUMNS, values, strict=True)), ensure_ascii=False)))
        else:
            image = f"{path}  ({flag})" if flag else path
            self._line(printable(_row(verdict or "-", _number(score), _number(threshold), image)))

    def _line(self, text: str) -> None:
        self._text(text + "\n")

    def _text(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _row(verdict: str, score: str, threshold: str, image: str) -> str:
    return f"{verdict:<10}  {score:>12}  {threshold:>12}  {image}"
