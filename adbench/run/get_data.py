"""Brings a data set to a folder where its reader finds it: licence, download, unpacking, and a look at the result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..api.data import Dataset
from ..api.facts import Archive, Facts
from ..data import archives, download
from ..data.download import NoWayError
from ..util import files
from ..util.errors import DataError, UsageError, reason
from . import data_places
from .data_places import Place

LICENCES = "licences.json"
"""The file in the data folder that keeps which licences were accepted."""

UNKNOWN_LICENCE = "not stated"


@dataclass(frozen=True)
class Prepared:
    """A data set that was brought to a folder.

    Attributes:
        folder: for ``--data-root``.
        place: what its reader finds there; None where no reader is known.
        files: the number of files that were unpacked; 0 if all was there before.
    """

    folder: Path
    place: Place | None
    files: int


def licence_of(dataset: Dataset) -> str:
    """The licence of a data set's images, in a few words."""
    return (dataset.facts and dataset.facts.licence) or UNKNOWN_LICENCE


def accept_licence(dataset: Dataset, folder: Path, accepted: bool) -> None:
    """Require that the user has accepted a licence: now, or with an earlier command for the same folder.

    Raises:
        UsageError: it was not accepted; the message says it.
        DataError: the folder can't be written.
    """
    licence, path = licence_of(dataset), folder / LICENCES
    known = _accepted(path)
    if known.get(dataset.name) == licence:
        return
    page = f" See {dataset.facts.page}" if dataset.facts and dataset.facts.page else ""
    if not accepted:
        raise UsageError(
            f"licence of {dataset.name}: {licence}", wanted="your consent",
            hint=f"If you accept it, add --accept-licence.{page}",
        )  # fmt: skip
    text = json.dumps({**known, dataset.name: licence}, indent=1, ensure_ascii=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write(path, lambda stream: stream.write(text.encode()))
    except OSError as error:
        raise DataError(f"{path} can't be written", found=reason(error), hint="Choose another --to") from error


def _accepted(path: Path) -> dict[str, str]:
    """Licences by data set; what is no such file counts as none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def get(dataset: Dataset, folder: Path, watch: download.Watch | None = None) -> Prepared:
    """Download the archives of a data set to a folder, and unpack them into the folder of its name there.

    Archives that were brought by hand are used. They stay until all is unpacked, and are removed by nobody.

    Args:
        dataset: its reader.
        folder: the folder of all data sets.
        watch: called with the progress.

    Raises:
        DataError: an archive can't be loaded by a program, or is not the published one; the message says what to do.
    """
    if (done := _there(dataset, folder)) is not None:
        return done
    found = [_fetched(dataset, archive, folder, watch) for archive in require_published(dataset).archives]
    return prepare(dataset, found, folder, watch)


def prepare(dataset: Dataset, given: Sequence[Path], folder: Path, watch: download.Watch | None = None) -> Prepared:
    """Unpack archives of a data set into the folder of its name; what is there and readable stays as it is.

    Args:
        dataset: its reader.
        given: its archives; none means those with the published names that lie in ``folder``.
        folder: the folder of all data sets.
        watch: called with the progress.

    Raises:
        DataError: no archive, one that can't be unpacked, or its content is no such data set.
    """
    if (done := _there(dataset, folder)) is not None:
        return done
    found = list(given) or [
        path for each in require_published(dataset).archives if (path := folder / each.name).is_file()
    ]
    if not found:
        raise _by_hand(dataset, folder, "no archive of it")
    known = {each.name: each for each in require_published(dataset).archives}
    for path in found:
        if path.name in known and path.is_file() and not given:
            download.require_content(known[path.name], path, watch)
    target = folder / dataset.name
    number = archives.unpack(found, target, _unpacking(watch))
    place = data_places.at(dataset, target)
    if place is None or not place.classes:
        shutil.rmtree(target, ignore_errors=True)  # it was new, and would be in the way of the right archive
        raise DataError(
            f"archive {', '.join(path.name for path in found)}",
            found=f"{number} files, but no class of {dataset.name}", wanted="the published layout",
            hint="Nothing of it is kept. Give an archive of that data set",
        )  # fmt: skip
    return Prepared(target, place, number)


def unpack_unknown(given: Sequence[Path], folder: Path, watch: download.Watch | None = None) -> Prepared:
    """Unpack archives of no known data set into a folder of the first one's name. Raises ``DataError``."""
    target = folder / archives.stem(given[0])
    return Prepared(target, None, archives.unpack(given, target, _unpacking(watch)))


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive."""
    return archives.is_archive(path)


def owner(archive: Path, datasets: Iterable[Dataset]) -> Dataset | None:
    """The data set that publishes a file of this name, in any case."""
    name = archive.name.lower()
    for each in datasets:
        if each.facts and any(known.name.lower() == name for known in each.facts.archives):
            return each
    return None


def _unpacking(watch: download.Watch | None) -> archives.Watch | None:
    return None if watch is None else lambda done, total: watch("unpack", done, total)


def _there(dataset: Dataset, folder: Path) -> Prepared | None:
    target = folder / dataset.name
    place = data_places.at(dataset, target)
    return Prepared(target, place, 0) if place is not None and place.classes else None


def require_published(dataset: Dataset) -> Facts:
    """The facts of a data set that has archives. Raises ``DataError`` for others."""
    if not dataset.needs_root:
        raise DataError(f"data set {dataset.name}", found="images that are made on first use", wanted="one to load")
    if dataset.installed_root is not None:
        raise DataError(
            f"data set {dataset.name}", found="a package", hint=f"Use adbench install {dataset.name}"
        )  # fmt: skip
    if dataset.facts is None or not dataset.facts.classes:
        raise DataError(f"data set {dataset.name}", found="images of your own", wanted="a published data set")
    return dataset.facts


def _fetched(dataset: Dataset, archive: Archive, folder: Path, watch: download.Watch | None) -> Path:
    try:
        return download.download(archive, folder, watch)
    except NoWayError as error:
        raise _by_hand(dataset, folder, f"no way to load {archive.name} ({error})") from error


def _by_hand(dataset: Dataset, folder: Path, found: str) -> DataError:
    """One message on where to get a data set by hand, and where to put it."""
    facts = dataset.facts or Facts()
    names = [each.name for each in facts.archives]
    what = "the data set" if not names else names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    command = f"adbench data prepare {dataset.name} --to {folder}"
    then = f"into {folder}, then run {command}" if names else f"and run {command.replace(' --to', ' ARCHIVE --to')}"
    return DataError(
        f"data set {dataset.name}", found=found,
        hint=f"Get {what} from {facts.page or dataset.source} {'and put it ' if names else ''}{then}",
    )  # fmt: skip
