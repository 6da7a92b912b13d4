"""What lies beside a result, read back: the scores of its test pictures, its epoch curve and its evidence."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .errors import ResultError
from .store import EVIDENCE, ImageScore, RunFolder
from .types import METRIC_NAMES, EpochRecord, Metrics, Result

if TYPE_CHECKING:
    from .evidence import Evidence

R = TypeVar("R")
Row = Mapping[str, str]

_AGAIN = "Compute the run again with --force"


def folder_of(results: Path, result: Result) -> RunFolder:
    """The folder in which a result is stored below ``results``."""
    return RunFolder(results, result.dataset, result.class_name, result.method, result.run)


def read_scores(folder: RunFolder) -> tuple[ImageScore, ...]:
    """Read ``scores.csv``. Raises ``ResultError`` where it is missing or broken."""
    return _read(folder.path / "scores.csv", _score)


def read_epochs(folder: RunFolder) -> tuple[EpochRecord, ...]:
    """Read ``epochs.csv``. Raises ``ResultError`` where it is missing or broken."""
    return _read(folder.path / "epochs.csv", _epoch)


def read_evidence(folder: RunFolder) -> Evidence | None:
    """Read ``evidence.npz``; None where there is none, as in runs that are older than the file.

    Raises:
        ResultError: the file is broken, or a newer adbench wrote it.
    """
    from zipfile import BadZipFile
    from zlib import error as zlib_error

    import numpy as np

    from .evidence import Evidence

    path = folder.path / EVIDENCE
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Evidence.from_arrays({name: stored[name] for name in stored.files})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError, NotImplementedError,
            BadZipFile, zlib_error) as error:  # fmt: skip
        found = str(error) or type(error).__name__
        raise ResultError(f"{path} can't be read", found=found, way_out=_AGAIN) from error


def _read(path: Path, row: Callable[[Row], R]) -> tuple[R, ...]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return tuple(map(row, csv.DictReader(stream)))
    except FileNotFoundError as error:
        raise ResultError(f"{path}", found="no such file", way_out=_AGAIN) from error
    except (OSError, ValueError, KeyError, TypeError) as error:  # a short row's missing cells are None
        raise ResultError(f"{path} can't be read", found=str(error), way_out=_AGAIN) from error


def _score(row: Row) -> ImageScore:
    return ImageScore(row["path"], int(row["label"]), row["defect"], float(row["score"]))


def _epoch(row: Row) -> EpochRecord:
    values = {name: _number(row[name]) for name in METRIC_NAMES}
    evaluated = any(value is not None for value in values.values())
    return EpochRecord(
        number=int(row["number"]),
        total=int(row["total"]),
        loss=_number(row["loss"]),
        learning_rate=_number(row["learning_rate"]),
        seconds=float(row["seconds"]),
        metrics=Metrics(**values) if evaluated else None,
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
