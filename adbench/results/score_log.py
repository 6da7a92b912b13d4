"""Logs of scores: one JSON line for each new image, as ``adbench predict --log`` writes and ``adbench drift`` reads.

    {"time": ISO 8601, "path": text, "class": text, "score": number, "threshold": number or null,
     "defective": true, false or null, "run": text}

A log may have the scores of several runs and classes, and several processes may append to it at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ..util import files
from ..util.errors import DataError, first_line, reason
from ..util.foreign import is_finite, shown
from ..util.text import stored_text


@dataclass(frozen=True)
class LoggedScore:
    """The score of one new image.

    Attributes:
        time: when it was scored, in ISO 8601, such as "2024-05-01T12:00:00+00:00".
        path: the image, as it was given.
        class_name: the class whose threshold counted.
        score: its image score, higher = more anomalous.
        threshold: the score above which it counts as defective; None without a threshold.
        defective: whether it does; None without a threshold.
        run: name of the run that made the model.
    """

    time: str
    path: str
    class_name: str
    score: float
    threshold: float | None
    defective: bool | None
    run: str

    def to_line(self) -> str:
        """The record as one line of JSON with its line end.

        Raises:
            ValueError: a number that is not finite, which JSON doesn't have.
        """
        table = {
            "time": self.time, "path": self.path, "class": self.class_name, "score": self.score,
            "threshold": self.threshold, "defective": self.defective, "run": self.run,
        }  # fmt: skip
        return stored_text(json.dumps(table, ensure_ascii=False, allow_nan=False)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> LoggedScore:
        """Read a line of any writer; further fields are ignored.

        Raises:
            ValueError: not such a record; the text says what is wrong.
        """
        table = json.loads(line)
        if not isinstance(table, dict):
            raise ValueError("no JSON object")
        defective = table.get("defective")
        if not (defective is None or isinstance(defective, bool)):
            raise ValueError(f"'defective' {shown(defective)}, no true, false or null")
        return cls(
            time=_time(table), path=_text(table, "path"), class_name=_text(table, "class"),
            score=_number(table, "score"),
            threshold=None if table.get("threshold") is None else _number(table, "threshold"),
            defective=defective, run=_text(table, "run"),
        )  # fmt: skip


def append(path: Path, records: Iterable[LoggedScore]) -> None:
    """Add records at the end of a log; a missing log is made, but not its folder.

    The lines of one call stay together, whichever processes append at the same time, and are written whole or not at
    all.

    Raises:
        ValueError: a number that is not finite; nothing is written.
        DataError: the file can't be written, or it is no log: its last line is no record. It stays as it is.
    """

    def check(last: bytes) -> None:
        try:
            LoggedScore.from_line(last.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"log {path}", found="another file: its last line is no record of adbench predict --log",
                hint="Choose another file; in a log, remove that line",
            ) from error  # fmt: skip

    data = "".join(record.to_line() for record in records).encode("utf-8")
    try:
        files.append(path, data, check)
    except OSError as error:
        raise DataError(
            f"log {path} can't be written", found=reason(error), hint="Permit writing there, or choose another file"
        ) from error


def read(path: Path) -> list[LoggedScore]:
    """Read all records of a log in their order; empty lines count as none.

    Raises:
        DataError: the file is missing or can't be read, or a line is no record; the message names the line.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise DataError(
            f"log {path}", found="no such file", hint="adbench predict RUN IMAGES --log FILE writes one"
        ) from error
    except UnicodeDecodeError as error:
        raise _other_file(path) from error
    except OSError as error:
        raise DataError(f"log {path} can't be read", found=reason(error)) from error
    found: list[LoggedScore] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found.append(LoggedScore.from_line(line))
        except (ValueError, RecursionError) as error:
            if not found and isinstance(error, json.JSONDecodeError):
                raise _other_file(path) from error
            raise DataError(
                f"log {path}, line {number}", found=_found(error), wanted="a record of adbench predict --log",
                hint="Correct that line or remove it",
            ) from error  # fmt: skip
    return found


def _other_file(path: Path) -> DataError:
    return DataError(
        f"log {path}", found="another kind of file", wanted="a log of adbench predict --log",
        hint="adbench predict RUN IMAGES --log FILE writes one; the tables of --format don't serve",
    )  # fmt: skip


def _found(error: Exception) -> str:
    return f"no JSON ({error.msg})" if isinstance(error, json.JSONDecodeError) else first_line(error)


def _text(table: dict[str, Any], name: str) -> str:
    value = table.get(name)
    if not isinstance(value, str):
        raise ValueError(f"'{name}' {shown(value)}, no text" if name in table else f"no '{name}'")
    return value


def _time(table: dict[str, Any]) -> str:
    text = _text(table, "time")
    try:
        datetime.fromisoformat(text.removesuffix("Z"))  # Python 3.10 doesn't know the Z
    except ValueError:
        raise ValueError(f"'time' {shown(text)}, no time in ISO 8601") from None
    return text


def _number(table: dict[str, Any], name: str) -> float:
    value = table.get(name)
    if name not in table:
        raise ValueError(f"no '{name}'")
    if not is_finite(value):
        raise ValueError(f"'{name}' {shown(value)}, no finite number")
    return float(value)
