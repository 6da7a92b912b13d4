"""What an archive of results holds: the format of the file, its runs, and each file with its length and digest.

An archive is a zip file: its index gives the lengths beforehand and any file alone, and it has a checksum of each. It
holds ``results/DATASET/CLASS/METHOD/RUN/FILE``, as in a folder of results, and last ``adbench-results.json``. The
checkpoint of a model of several classes is there once. The audits of its methods stand in ``adbench-results.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from ...util import integrity
from ...util.text import is_safe_name, safe_name
from .. import serialization
from ..audits import Audit
from .scan import Take, is_taken

FORMAT = 1
"""Version of the archive; a higher one comes from a newer adbench."""

MANIFEST, RESULTS = "adbench-results.json", "results"

DEEPEST = 12
"""Folders within a run's folder, at most."""


@dataclass(frozen=True)
class ArchivedFile:
    """A file of a run: its path below the run's folder, its length and its SHA-256 digest.

    ``same_as`` names an earlier file of the archive with the same content, in whose place there is none.
    """

    name: str
    bytes: int
    sha256: str
    same_as: str = ""


@dataclass(frozen=True)
class ArchivedRun:
    """A run of one class."""

    dataset: str
    class_name: str
    method: str
    run: str
    files: tuple[ArchivedFile, ...]

    @property
    def folder(self) -> str:
        """Its folder within the archive."""
        names = (self.dataset, self.class_name, self.method, self.run)
        return "/".join((RESULTS, *map(safe_name, names)))


@dataclass(frozen=True)
class Manifest:
    """All that an archive holds; the audits, which are short, themselves. Archives of before have none."""

    format: int
    runs: tuple[ArchivedRun, ...]
    audits: tuple[Audit, ...] = ()

    def entries(self) -> Iterator[tuple[str, ArchivedFile]]:
        """Each file with its name in the archive."""
        return ((f"{run.folder}/{file.name}", file) for run in self.runs for file in run.files)


def to_text(manifest: Manifest) -> str:
    """Write a manifest as JSON with a digest over it."""
    return integrity.seal(json.loads(serialization.to_text(manifest))) + "\n"


def from_text(text: bytes) -> Manifest:
    """Read what ``to_text`` wrote.

    Raises:
        ValueError: it isn't what was written.
    """
    return serialization.from_content(Manifest, integrity.unseal(text))


def is_allowed(name: str) -> bool:
    """Whether a file with this path below a run's folder may be in an archive: a run has it, and every system takes it.

    No such name leads out of the folder.
    """
    parts = PurePosixPath(name).parts
    plain = "/".join(parts) == name and len(parts) <= DEEPEST
    return plain and all(map(is_safe_name, parts)) and is_taken(name, Take())
