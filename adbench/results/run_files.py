"""Reads the files beside a result and checks them against it: scores, epoch curve and score histograms.

A file that doesn't fit its result is refused, since its curves would contradict the stored numbers. Results have the
digests of their files. Those of adbench 0.1 have none; there the scores must give the result's metrics.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..api.scores import METRIC_NAMES, Metrics
from ..util.errors import ResultError, TaskError, reason
from ..util.text import unguarded
from .image_scores import SCORES, TEST, THRESHOLD_SCORES, ImageScore, ThresholdScore
from .records import EpochRecord, Result
from .result_file import EPOCHS, TOLERANCE
from .store import HISTOGRAMS, RunFolder

if TYPE_CHECKING:
    from ..metrics.histograms import ScoreHistograms

R = TypeVar("R")
Row = Mapping[str, str]

LARGEST = 1e300
"""Limit of numbers, so that the difference of two is finite."""

_AGAIN = "Compute the run again with --force"


def folder_of(results: Path, result: Result) -> RunFolder:
    """The folder in which a result is stored below ``results``."""
    return RunFolder(results, result.dataset, result.class_name, result.method, result.run)


def lock_of(results: Path, result: Result) -> RunFolder:
    """The folder whose lock counts for a result: that of the first class of its model, even if it is gone."""
    first = (result.protocol.classes or (result.class_name,))[0]
    return RunFolder(results, result.dataset, first, result.method, result.run)


def folder_at(path: Path) -> RunFolder:
    """The run in an existing folder ``DATASET/CLASS/METHOD/RUN``, whatever the names in its result are."""
    dataset, class_name, method, run = path.parts[-4:]
    folder = RunFolder(path.parents[3], dataset, class_name, method, run)
    folder.path = path
    return folder


def read_scores(folder: RunFolder, result: Result) -> tuple[ImageScore, ...]:
    """Read the scores of a result's test images.

    Raises:
        ResultError: ``scores.csv`` is missing or broken, or has other scores than the result.
    """
    path = folder.path / SCORES
    data = _read(path, result)
    scores = _rows(path, data, _score)
    if SCORES not in result.files:
        if len(set(scores)) != len(scores):
            raise _unlike(path, "a row that stands there twice")
        _check_scores(path, result, [each.label for each in scores], [each.score for each in scores])
    return scores


def read_threshold_scores(folder: Path, result: Result) -> tuple[ThresholdScore, ...]:
    """Read the scores of the images that a result's threshold comes from, and of those that it is measured on.

    Args:
        folder: of the result.
        result: the result.

    Returns:
        None of runs that are older than the file.

    Raises:
        ResultError: ``thresholds.csv`` is missing or broken, or not the file that the run stored.
    """
    if THRESHOLD_SCORES not in result.files:
        return ()
    path = folder / THRESHOLD_SCORES
    return _rows(path, _read(path, result), _threshold_score)


def read_good_scores(folder: Path, result: Result) -> tuple[ThresholdScore, ...]:
    """Those of ``read_threshold_scores`` that the threshold comes from.

    Raises:
        ResultError: there are none, or the file can't be used.
    """
    good = tuple(each for each in read_threshold_scores(folder, result) if each.source != TEST)
    if not good:
        raise ResultError(
            f"{folder / THRESHOLD_SCORES}", found="no scores of good images",
            hint="A zero-shot run has none" if result.protocol.setting == "zero-shot" else _AGAIN,
        )  # fmt: skip
    return good


def read_epochs(folder: RunFolder, result: Result) -> tuple[EpochRecord, ...]:
    """Read the epoch curve of a result.

    Raises:
        ResultError: ``epochs.csv`` is missing or broken, or is not the file that the run stored.
    """
    path = folder.path / EPOCHS
    return _rows(path, _read(path, result), _epoch)


def read_histograms(folder: RunFolder, result: Result) -> ScoreHistograms | None:
    """Read the score histograms of a result; None if there are none, as in runs that are older than the file.

    Raises:
        ResultError: ``evidence.npz`` is broken, has other scores than the result, or comes from a newer adbench.
    """
    from zipfile import BadZipFile
    from zlib import error as zlib_error

    import numpy as np

    from ..metrics.histograms import ScoreHistograms

    path = folder.path / HISTOGRAMS
    if not path.exists():
        return None
    data = _read(path, result)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            histograms = ScoreHistograms.from_arrays({name: stored[name] for name in stored.files})
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError, NotImplementedError,
            BadZipFile, zlib_error) as error:  # fmt: skip
        raise _unreadable(path, error) from error
    if HISTOGRAMS not in result.files:
        _check_scores(path, result, histograms.labels.tolist(), histograms.image_scores.tolist())
    return histograms


# ---------------------------------------------------------------- checked


def _read(path: Path, result: Result) -> bytes:
    """Read a file beside a result, and check that the run stored these bytes."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ResultError(f"{path}", found="no such file", hint=_AGAIN) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    digest = result.files.get(path.name)
    if digest is not None and hashlib.sha256(data).hexdigest() not in digest.split():
        raise _unlike(path, "an empty file" if not data else "another content than the run stored")
    return data


def _check_scores(path: Path, result: Result, labels: Sequence[int], scores: Sequence[float]) -> None:
    """Raise ``ResultError`` unless the scores give the metrics of their result."""
    import numpy as np

    from ..metrics.metrics import evaluate

    if len(scores) != result.test_images:
        raise _unlike(path, f"{len(scores)} images", f"{result.test_images}")
    try:
        found = evaluate(labels=np.array(labels), image_scores=np.array(scores))
    except TaskError as error:  # NaN or infinity
        raise _unreadable(path, error) from error
    for name in ("image_auroc", "image_ap", "image_f1max"):
        value, wanted = getattr(found, name), getattr(result.metrics, name)
        if wanted is not None and (value is None or not abs(value - wanted) <= TOLERANCE):
            raise _unlike(path, f"{name} {value}", f"{wanted}")


def _unlike(path: Path, found: str, wanted: str = "") -> ResultError:
    return ResultError(f"{path} doesn't fit its result", found=found, wanted=wanted, hint=_AGAIN)


def _unreadable(path: Path, error: Exception) -> ResultError:
    return ResultError(f"{path} can't be read", found=reason(error), hint=_AGAIN)


# ---------------------------------------------------------------- rows


def _rows(path: Path, data: bytes, parse: Callable[[Row], R]) -> tuple[R, ...]:
    try:
        return tuple(map(parse, csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""))))
    except (ValueError, KeyError, TypeError, csv.Error) as error:  # a short row's missing cells are None
        raise _unreadable(path, error) from error


def _score(row: Row) -> ImageScore:
    if None in row.values():
        raise ValueError("a row that ends early")
    label = int(row["label"])
    if label not in (0, 1):
        raise ValueError(f"label {label}")
    return ImageScore(unguarded(row["path"]), label, unguarded(row["defect"]), _number(row["score"]))


def _threshold_score(row: Row) -> ThresholdScore:
    if None in row.values():
        raise ValueError("a row that ends early")
    fold, folds = (int(row[name]) if row[name] else None for name in ("fold", "folds"))
    highest = _optional(row["highest_pixel"])
    return ThresholdScore(unguarded(row["path"]), row["source"], fold, folds, _number(row["score"]), highest)


def _epoch(row: Row) -> EpochRecord:
    values = {name: _fraction(row.get(name, "")) for name in METRIC_NAMES}  # older files lack newer columns
    evaluated = any(value is not None for value in values.values())
    return EpochRecord(
        number=int(_number(row["number"])),
        total=int(_number(row["total"])),
        loss=_optional(row["loss"]),
        learning_rate=_optional(row["learning_rate"]),
        seconds=_number(row["seconds"]),
        metrics=Metrics(**values) if evaluated else None,
    )


def _fraction(text: str) -> float | None:
    value = _optional(text)
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"{value}, which is no fraction")
    return value


def _optional(text: str) -> float | None:
    return _number(text) if text else None


def _number(text: str) -> float:
    value = float(text)
    if not abs(value) < LARGEST:
        raise ValueError(f"'{text[:40]}', which is no finite number")
    return value
