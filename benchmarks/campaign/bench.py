"""Runs commands on inputs in this process, and judges how they end: a right result, a clear message, or a fault."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from unittest import mock

from click.testing import CliRunner

from adbench.api import registry
from adbench.cli.main import app

from . import data
from .children import NEVER, Ended
from .disks import unclear

FEW_SECONDS = 10
"""Seconds after which a command on a few tiny images counts as one that hangs."""

Outcome = Literal["right", "clear", "fault"]


@dataclass(frozen=True)
class Verdict:
    """How one input ended; ``text`` says what is wrong with a fault."""

    outcome: Outcome
    text: str = ""


@dataclass(frozen=True)
class Numbers:
    """What a run says: scores by image (its path without a suffix), metrics, and the paths of what was left out."""

    scores: Mapping[str, float]
    metrics: Mapping[str, float | None]
    skipped: tuple[str, ...] = ()

    def equals(self, other: Numbers) -> bool:
        """Whether all numbers are the same to the last bit."""
        return self.scores == other.scores and self.metrics == other.metrics


class HangsError(BaseException):
    """A command took too long; no handler of ordinary errors may catch it."""


class Bench:
    """A place for inputs, with clean images and what a run on them gives.

    Plugins are loaded once for all commands, which halves the time of each.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._loaded = cache(registry.load)
        self.clean = data.make(place / "clean")
        self._known: dict[str, Numbers] = {}
        self._texts: dict[str, str] = {}
        self._count = 0

    @contextlib.contextmanager
    def new(self) -> Iterator[Path]:
        """A folder with a copy of the clean images, called "images", that is removed afterwards."""
        self._count += 1
        folder = self.place / str(self._count)
        shutil.copytree(self.clean, folder / "images")
        try:
            yield folder
        finally:
            _remove(folder)

    def run(self, words: Sequence[object], folder: Path) -> Ended:
        """Run a command of adbench with ``folder`` as its working folder."""
        before = Path.cwd()
        os.chdir(folder)
        variables = {"ADBENCH_CACHE": str(self.place / "cache"), "COLUMNS": "200"}
        loads = mock.patch.object(registry, "load", lambda files=(): self._loaded(tuple(files)))
        try:
            with mock.patch.dict(os.environ, variables), loads, _patience():
                done = CliRunner().invoke(app, [str(word) for word in words])
        except HangsError:
            return Ended(NEVER, "", f"it took more than {FEW_SECONDS} s")
        finally:
            os.chdir(before)
        errors = done.stderr
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            errors += f"Traceback of {done.exception!r}"
        return Ended(done.exit_code, done.stdout, errors)

    def numbers_of(self, folder: Path) -> Numbers:
        """The numbers of the only run below ``folder/results``."""
        (path,) = (folder / "results").rglob("result.json")
        result = json.loads(path.read_text(encoding="utf-8"))
        with path.with_name("scores.csv").open(encoding="utf-8", newline="") as stream:
            scores = {key_of(row["path"]): float(row["score"]) for row in csv.DictReader(stream)}
        return Numbers(scores, result["metrics"], tuple(result["skipped"]))

    def reference(self, name: str, change: Callable[[Path], object] = lambda root: None) -> Numbers:
        """The numbers of a run on the clean images after ``change(class folder)``; computed once for each name."""
        if name not in self._known:
            with self.new() as folder:
                change(folder / "images" / data.CLASS)
                ended = self.run(data.bright(Path("images")), folder)
                if ended.code != 0:
                    raise RuntimeError(f"the reference {name} ended with {ended.code}: {ended.errors}")
                self._known[name] = self.numbers_of(folder)
        return self._known[name]

    def kept(self, name: str, make: Callable[[], str]) -> str:
        """A text that is made once for each name."""
        if name not in self._texts:
            self._texts[name] = make()
        return self._texts[name]

    def judge_run(
        self, folder: Path, words: Sequence[str], accepted: Sequence[Numbers], left_out: Sequence[Numbers] = (),
        name: str = "",
    ) -> Verdict:  # fmt: skip
        """Run the method on the images in a folder, and judge how it ends.

        Args:
            folder: of ``new``.
            words: further words of the command.
            accepted: numbers that are right.
            left_out: numbers that are right if an image ``name`` is named as left out.
            name: of that image.
        """
        ended = self.run(data.bright(Path("images"), *words), folder)
        if ended.code != 0:
            return clear_or_fault(ended)
        found = self.numbers_of(folder)
        if any(found.equals(each) for each in accepted):
            return Verdict("right")
        if any(found.equals(each) for each in left_out):
            named = any(name in path for path in found.skipped)
            return Verdict("right") if named else Verdict("fault", f"{name} is left out and not named")
        return Verdict("fault", f"other numbers in silence, skipped {found.skipped}")


def clear_or_fault(ended: Ended) -> Verdict:
    """Judge a command that failed."""
    problem = unclear(ended)
    return Verdict("fault", problem) if problem else Verdict("clear")


def key_of(path: str) -> str:
    """An image's path without its suffix, in one form of letters."""
    pure = PurePosixPath(unicodedata.normalize("NFC", path))
    return str(pure.with_name(pure.name.split(".")[0]))


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Raise ``HangsError`` after a few seconds, where the system has timers."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: Any) -> None:
        raise HangsError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, FEW_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _remove(folder: Path) -> None:
    """Remove a folder, whatever rights an input took away."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
