"""Reads ``result.json``, and refuses numbers that are out of their ranges or are not those that the run stored."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..api.scores import METRIC_NAMES, Metrics
from ..util.errors import ResultError, first_line, reason
from ..util.text import csv_text, stored_text
from . import serialization
from .records import EpochRecord, Result

SCHEMA = 1
"""Version of ``result.json``; a higher one comes from a newer adbench."""

RESULT, EPOCHS = "result.json", "epochs.csv"

TOLERANCE = 1e-6
"""Tolerance between a metric of stored scores or epochs and the stored metric, where there is no digest."""

_AGAIN = "Compute it again with --force"

_SEALED = ("dataset", "class_name", "method", "seed", "metrics", "oracle", "threshold")
"""Fields over which the digest of older results is taken."""

_CHANGED = "one of " + ", ".join(_SEALED[:4])

_NUMBERS = (
    *_SEALED, "preset", "overrides", "options", "protocol", "timing", "train_images", "test_images", "last_epoch",
    "peak_memory_bytes", "parameters", "evaluations", "passes", "held_out_images", "tied_images", "shots", "skipped",
    "synthetic", "files",
)  # fmt: skip
"""Fields over which it is taken now: all numbers that tables show, and what they are numbers of."""

_SECOND = "2:"
"""How a digest over ``_NUMBERS`` begins."""


def with_digest(result: Result) -> Result:
    """Add the digest of the numbers to a result that is about to be stored."""
    content = json.loads(stored_text(serialization.to_text(result)))
    return replace(result, digest=_SECOND + _digest(content, _NUMBERS))


def read(path: Path) -> Result:
    """Read a result.

    Raises:
        ResultError: it is missing or unreadable, a newer adbench wrote it, or its numbers can't be those of a run.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        _check_schema(path, content)
        result = serialization.from_content(Result, content)
    except FileNotFoundError as error:
        raise ResultError(f"result {path}", found="no such file", hint=_AGAIN) from error
    except OSError as error:
        raise ResultError(f"result {path} can't be read", found=reason(error)) from error
    except json.JSONDecodeError as error:
        raise ResultError(f"result {path} can't be read", found=f"no JSON: {error}", hint=_AGAIN) from error
    except (ValueError, RecursionError) as error:
        raise ResultError(f"result {path} can't be read", found=first_line(error), hint=_AGAIN) from error
    for wrong in (*_out_of_range(result), *_unlike_stored(path, content, result)):
        raise ResultError(f"result {path} is left out", found=wrong, hint=_AGAIN)
    return replace(result, overrides={key: _tuples(value) for key, value in result.overrides.items()})


def fits_its_files(path: Path) -> bool:
    """Whether the files beside a result are those of its digests; False where one can't be read."""
    try:
        for name, digest in read(path).files.items():
            if hashlib.sha256(path.with_name(name).read_bytes()).hexdigest() not in digest.split():
                return False
    except (OSError, ResultError):
        return False
    return True


def _check_schema(path: Path, content: object) -> None:
    """Refuse what is no result, and one of a newer adbench."""
    schema = content.get("schema", SCHEMA) if isinstance(content, dict) else SCHEMA  # the rest is for from_content
    if isinstance(schema, int) and schema > SCHEMA:
        raise ResultError(
            f"result {path}", found=f"schema {schema}, written by a newer adbench", wanted=f"schema {SCHEMA}",
            hint="Upgrade adbench to read it",
        )  # fmt: skip


def _tuples(value: Any) -> Any:
    """Turn lists into tuples: a list in an option's value is a tuple that JSON changed."""
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def curve_text(epochs: Sequence[EpochRecord]) -> str:
    """The content of ``epochs.csv``."""
    return csv_text(("number", "total", "loss", "learning_rate", "seconds", *METRIC_NAMES), map(_curve_row, epochs))


def _curve_row(record: EpochRecord) -> tuple[object, ...]:
    values = [getattr(record.metrics or Metrics(), name) for name in METRIC_NAMES]
    return record.number, record.total, record.loss, record.learning_rate, record.seconds, *values


# ---------------------------------------------------------------- numbers that a run can have stored


def _out_of_range(result: Result) -> Iterator[str]:
    """Name each number of a result that no run stores."""
    fractions = {f"metrics.{name}": getattr(result.metrics, name) for name in METRIC_NAMES}
    fractions |= {f"oracle.{best.metric}": best.value for best in result.oracle}
    for name, threshold in (
        ("threshold", result.threshold),
        ("threshold.pixel", result.threshold and result.threshold.pixel),
    ):
        rates = ("false_alarm_rate", "miss_rate")
        fractions |= {f"{name}.{rate}": getattr(threshold, rate) for rate in rates} if threshold else {}
    for name, value in fractions.items():
        if value is not None and not (0 <= value <= 1 or math.isnan(value)):
            yield f"{name} {value:g}, which is no fraction from 0 to 1"
    for name in ("seed", "train_images", "test_images", "last_epoch", "parameters", "peak_memory_bytes"):
        if getattr(result, name) < 0:
            yield f"{name} {getattr(result, name)}, which is below 0"
    for name in ("fit", "score", "evaluate", "total", "images_per_second", "features"):
        seconds = getattr(result.timing, name)
        if seconds is not None and seconds < 0:
            yield f"timing.{name} {seconds:g}, which is below 0"


def _unlike_stored(path: Path, content: dict[str, Any], result: Result) -> Iterator[str]:
    """Name a number that is not the one that the run stored.

    Results without a digest are of an older adbench. Their metrics are also the last line of the epoch curve.
    """
    if result.digest is not None:
        second = result.digest.startswith(_SECOND)
        if result.digest != (_SECOND + _digest(content, _NUMBERS) if second else _digest(content, _SEALED)):
            yield f"that its numbers were changed after the run, or {'what they are of' if second else _CHANGED}"
        return
    last = _last_epoch(path.with_name(EPOCHS))
    for name in METRIC_NAMES if last.get("number") == str(result.last_epoch) else ():
        value, curve = getattr(result.metrics, name), last.get(name)
        if value is not None and curve and not abs(_number(curve) - value) <= TOLERANCE:
            yield f"metrics.{name} {value:g}, but {curve[:20]} in {EPOCHS}"


def _digest(content: dict[str, Any], names: Sequence[str]) -> str:
    """SHA-256 of some fields of a result's JSON."""
    return hashlib.sha256(serialization.canonical([content.get(name) for name in names]).encode()).hexdigest()


def _number(text: str) -> float:
    """A number of the curve; NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _last_epoch(path: Path) -> dict[str, str]:
    """The last line of an epoch curve by its columns; empty where it can't be read, which its own reader reports."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, ValueError, csv.Error):
        return {}
    return rows[-1] if rows else {}
