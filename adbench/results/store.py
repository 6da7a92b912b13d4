"""Results on disk: ``results/DATASET/CLASS/METHOD/RUN/``.

    result.json                    all fields of ``Result``; written last: if it exists, it is complete
    scores.csv                     one row per test image
    thresholds.csv                 one row per image that the threshold comes from, or is measured on
    epochs.csv                     the epoch curve
    evidence.npz                   score histograms of each image; missing in runs that are older than the file
    last.pt                        the model after the last epoch
    oracle_image_auroc.pt, ...     the models that were best on the test set, with --keep oracle
    state.pt                       only of an unfinished run: the state from which it resumes
    maps/, maps.npz                anomaly maps, on request
    tracking.json                  the runs of trackers that log this one, on request

Every file is written under a temporary name, flushed to the disk and renamed (see ``util.files``).
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from ..util import files, torch_files
from ..util.errors import ResultError, TaskError, UnknownNameError, absent, reason
from ..util.text import csv_text, safe_name, spelled, stored_text
from . import result_file, serialization
from .image_scores import SCORE_COLUMNS, SCORES, THRESHOLD_COLUMNS, THRESHOLD_SCORES, ImageScore, ThresholdScore
from .records import EpochRecord, Result, in_order
from .result_file import EPOCHS, RESULT

if TYPE_CHECKING:
    import torch

    from ..metrics.histograms import ScoreHistograms


START_HERE = "Make one with: adbench run --method msflow --dataset demo --class all --preset cpu"

HISTOGRAMS = "evidence.npz"

ORACLE = "oracle_"
"""Prefix of the names of checkpoints that were best on the test set; the metric follows."""

STATE, LOCK = "state.pt", ".lock"

ATTEMPTS = 10
"""How often a result is written where another machine writes the same one at once."""


@dataclass(frozen=True)
class Library:
    """All readable results, and a sentence for each unreadable one."""

    results: tuple[Result, ...]
    problems: tuple[str, ...]


class RunFolder:
    """The folder of one run; creating the object doesn't touch the disk."""

    def __init__(self, root: Path, dataset: str, class_name: str, method: str, run: str) -> None:
        self.run = run
        self.path = root / safe_name(dataset) / safe_name(class_name) / safe_name(method) / safe_name(run)
        self._task = f"{method} on {dataset}/{class_name}, run {run}"
        self._held: os.stat_result | None = None
        """The lock file, while this object holds the lock."""

    def is_finished(self) -> bool:
        """Whether there is a result; if so, it is complete."""
        return (self.path / RESULT).is_file()

    def read_result(self) -> Result:
        """Read the result.

        Raises:
            ResultError: there is none, it can't be read, or a newer adbench wrote it.
        """
        return result_file.read(self.path / RESULT)

    def write_result(
        self,
        result: Result,
        scores: Sequence[ImageScore],
        epochs: Sequence[EpochRecord],
        histograms: ScoreHistograms | None = None,
        used: Sequence[ThresholdScore] = (),
    ) -> Result:
        """Store a finished run, and remove the state from which it would resume.

        Returns:
            The result as stored, with the digests of its numbers and of the files beside it.

        Raises:
            ResultError: the files can't be written; then there is no result.
            TaskError: the folder was removed while this process held its lock.
        """
        for left in reversed(range(ATTEMPTS)):
            digests = {
                SCORES: self._write(SCORES, csv_text(SCORE_COLUMNS, map(astuple, scores))),
                EPOCHS: self._write(EPOCHS, result_file.curve_text(epochs)),
            }
            if histograms is not None:
                digests[HISTOGRAMS] = self.write_histograms(histograms)
            if used:
                text = csv_text(THRESHOLD_COLUMNS, map(astuple, used))
                digests[THRESHOLD_SCORES] = self._write(THRESHOLD_SCORES, text)
            result = result_file.with_digest(replace(result, files=digests))
            self._write(RESULT, serialization.to_text(result))
            if not left or result_file.fits_its_files(self.path / RESULT):
                break
            time.sleep(SystemRandom().uniform(0.02, 0.2))  # a machine without a common lock writes the same run
        (self.path / STATE).unlink(missing_ok=True)
        return result

    def rewrite_threshold(self, result: Result, used: Sequence[ThresholdScore] = ()) -> Result:
        """Store a result again whose threshold is another one, with the scores that it ``used``, if they are others.

        While their file is replaced, the old result has the digests of both. So it fits its result at any moment.

        Raises:
            ResultError: a file can't be written; the old result is then still there.
        """
        digests = dict(result.files)
        if used:
            text = csv_text(THRESHOLD_COLUMNS, map(astuple, used))
            if known := digests.get(THRESHOLD_SCORES):
                both = {**digests, THRESHOLD_SCORES: f"{known} {_digest(_bytes(text))}"}
                between = result_file.with_digest(replace(self.read_result(), files=both))
                self._write(RESULT, serialization.to_text(between))
            digests[THRESHOLD_SCORES] = self._write(THRESHOLD_SCORES, text)
        result = result_file.with_digest(replace(result, files=digests))
        self._write(RESULT, serialization.to_text(result))
        return result

    def write_histograms(self, histograms: ScoreHistograms) -> str:
        """Store the score histograms, and return the file's SHA-256 digest.

        Raises:
            ResultError: the file can't be written.
        """
        import numpy as np

        arrays: dict[str, Any] = dict(histograms.arrays())
        stream = io.BytesIO()
        np.savez_compressed(stream, **arrays)
        return self._write_bytes(HISTOGRAMS, stream.getvalue())

    def save_checkpoint(self, name: str, payload: Mapping[str, Any]) -> None:
        """Save tensors, numbers, texts, lists and dicts of them as ``NAME.pt``.

        Raises:
            ResultError: the file can't be written; an older one of that name stays.
        """
        import torch

        with self._writing(f"{name}.pt") as path:
            files.write(path, lambda stream: torch.save(dict(payload), stream))

    def copy_checkpoint(self, source: str, name: str) -> None:
        """Store a checkpoint under a second name, as a hard link where the file system has them.

        Raises:
            ResultError: the file can't be written.
        """
        with self._writing(f"{name}.pt") as path:
            files.link_or_copy(self.path / f"{source}.pt", path)

    def take_checkpoints(self, source: RunFolder) -> None:
        """Store the checkpoints of another class of the same run here, too, in place of older ones.

        They become hard links where the file system has them, so that a model of several classes is stored once.

        Raises:
            ResultError: a file can't be written.
        """
        self.discard_oracles()
        for path in (source.path / "last.pt", *source.path.glob(f"{ORACLE}*.pt")):
            with self._writing(path.name) as own:
                files.link_or_copy(path, own)

    def checkpoint(self, name: str) -> Path:
        """The path of a checkpoint such as "last", whether it is there or not."""
        return self.path / f"{name}.pt"

    def has_oracles(self) -> bool:
        """Whether a model that was best on the test set was kept."""
        return any(self.path.glob(f"{ORACLE}*.pt"))

    def discard_oracles(self) -> None:
        """Remove the models that were best on the test set. Raises ``ResultError`` if they can't be removed."""
        with _writing(self.path):
            for path in self.path.glob(f"{ORACLE}*.pt"):
                path.unlink(missing_ok=True)

    def load_checkpoint(self, name: str, device: torch.device | None = None) -> dict[str, Any] | None:
        """Load ``NAME.pt`` with its tensors on ``device`` (the CPU by default); None if there is no such file.

        Raises:
            CheckpointError: the file is damaged or can't be read.
        """
        path = self.path / f"{name}.pt"
        if not path.is_file():
            return None
        return torch_files.load(path, device or "cpu", hint="Compute the run again with --force")

    def sweep(self) -> None:
        """Remove the remains of a killed process: its temporary files, and the state of a finished run.

        Does nothing while another process computes the run.
        """
        done_with = self.is_finished() and (self.path / STATE).exists()
        if not done_with and not files.temporaries(self.path):
            return
        with suppress(TaskError, ResultError), nullcontext() if self._held else self.lock():
            files.sweep(self.path)
            if self.is_finished():
                with suppress(OSError):
                    (self.path / STATE).unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove all files of this run except its lock; the result first, so that no part of it looks finished."""
        with _writing(self.path):
            (self.path / RESULT).unlink(missing_ok=True)
            for path in self.path.iterdir() if self.path.is_dir() else ():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != LOCK:
                    path.unlink()

    def remove(self) -> None:
        """Remove all files of this run, and the folders above it that become empty.

        Raises:
            TaskError: another process is computing the run.
            ResultError: a file can't be removed.
        """
        with self.lock():
            self.discard()
            gone = self.vanish()
        if not gone:
            self.vanish()

    def vanish(self) -> bool:
        """Remove the folder with its lock, held since ``discard``; False where open files can't be removed."""
        files.remove_bare(self.path, LOCK, above=3)
        return not self.path.exists()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from computing the same run; a killed process leaves no lock.

        A folder that was made for the lock goes with it, unless it has got another file.

        Raises:
            TaskError: another process is computing the run.
            ResultError: the folder can't be made.
        """
        from filelock import FileLock, Timeout

        lock, made = FileLock(self.path / LOCK), not self.path.is_dir()
        with _writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                hint = "Wait for it; the same command then finds its result"
                raise TaskError(f"{self._task} is being computed by another process", hint=hint) from error
        try:
            with suppress(OSError):
                self._held = (self.path / LOCK).stat()
            yield
        finally:
            self._held = None
            lock.release()
            if made:
                files.remove_bare(self.path, LOCK, above=3)

    @contextmanager
    def _writing(self, name: str) -> Iterator[Path]:
        """Yield the path of a file to write, and turn an error into one that names the file.

        Raises:
            TaskError: the folder was removed while this object held its lock.
            ResultError: the file can't be written.
        """
        if self._held is None:
            with _writing(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
        self._check_lock()
        try:
            with _writing(self.path / name):
                yield self.path / name
        except ResultError:
            self._check_lock()
            raise

    def _check_lock(self) -> None:
        """Raise an error if the folder was removed: later files would make it look like a whole run."""
        if self._held is None:
            return
        with suppress(OSError):
            if os.path.samestat(self._held, (self.path / LOCK).stat()):
                return
        raise TaskError(
            self._task, found=f"that {self.path} was removed during the run",
            hint="Run it again, and leave its folder alone",
        )  # fmt: skip

    def _write(self, name: str, text: str) -> str:
        return self._write_bytes(name, _bytes(text))

    def _write_bytes(self, name: str, data: bytes) -> str:
        with self._writing(name) as path:
            files.write(path, lambda stream: stream.write(data))
        return _digest(data)


def _bytes(text: str) -> bytes:
    return stored_text(text).encode("utf-8")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn an error of a full or read-only disk into one that names the path.

    torch.save reports a failed write as a RuntimeError about its own source file; what went wrong stands behind it.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__ or cause.__context__
        hint = "Free some space or permit writing there, or choose another folder with --results"
        raise ResultError(f"{path} can't be written", found=reason(cause or error), hint=hint) from error


def read_all(
    results: Path, *, dataset: str | None = None, class_name: str | None = None, method: str | None = None
) -> Library:
    """Read all finished runs; on request only those of one data set, class or method.

    Unreadable ones are left out and described in ``problems``.

    Raises:
        ResultError: the folder is missing, or no run in it is finished.
        UnknownNameError: no result has that data set, class or method.
    """
    if not results.is_dir():
        raise ResultError(f"results folder {results}", found=absent(results, "folder"), hint=START_HERE)
    found: dict[tuple[str, str, str, str], Result] = {}
    problems = []
    for path in (folder / RESULT for folder in sorted(results.glob("*/*/*/*/"))):
        if not os.path.lexists(path):  # a link that leads nowhere is named
            continue
        try:
            result = result_file.read(path)
        except ResultError as error:
            problems.append(str(error))
            continue
        key = (result.dataset, result.class_name, result.method, result.run)
        if found.setdefault(key, result) is not result:
            problems.append(f"{path} is left out: a copy of run {result.run}, which is there already.")
    if not found and not problems:
        raise ResultError(f"results folder {results}", found="no finished run", hint=START_HERE)
    kept = sorted(
        found.values(),
        key=lambda run: (run.dataset, run.class_name, run.method, *in_order(run), repr(run.options), run.seed),
    )
    asked = (("data set", "dataset", dataset), ("class", "class_name", class_name), ("method", "method", method))
    for kind, field, name in asked:
        if name is not None and kept:
            known = {getattr(result, field) for result in kept}
            name = spelled(name, known)
            if name not in known:
                raise UnknownNameError(f"{kind} among the results in {results}", name, known)
            kept = [result for result in kept if getattr(result, field) == name]
    return Library(tuple(kept), tuple(problems))
