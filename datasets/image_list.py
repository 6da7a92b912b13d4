"""Reads a list of images, ``dataset.csv`` or ``dataset.json``, that lies in the root of a data set of own images.

    path,split,label,defect,mask,class
    images/0001.png,train,good,,,
    images/0002.png,test,bad,scratch,masks/0002.png,

``path`` and one of ``label`` and ``defect`` are needed. Paths are below the root. Without ``split`` the good images are
split as those of folders (see ``plain``). In JSON it is a list of objects with these keys. Letters of names may be in
another form than on the disk (see ``names``).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from adbench import Sample, Task
from adbench.api import GOOD, IMAGE_SUFFIXES, UNLABELLED, DataError, nfc, reason

from .layout import on_disk, passed_over
from .names import BAD_NAMES, GOOD_NAMES
from .plain import FolderOptions, split

NAMES = ("dataset.csv", "dataset.json")
"""Files that are taken for a list; the first one that is there."""

TRAIN, VALIDATION, TEST = "train", "validation", "test"
COLUMNS = ("path", "split", "label", "defect", "mask", "class")
GOOD_LABELS = frozenset({*GOOD_NAMES, "0", "false"})
BAD_LABELS = frozenset({*BAD_NAMES, "1", "true"})
SPLITS = {
    TRAIN: TRAIN, "training": TRAIN, TEST: TEST, "testing": TEST,
    VALIDATION: VALIDATION, "val": VALIDATION, "valid": VALIDATION,
}  # fmt: skip
DEFECT = "bad"
"""The type of a defective image whose row names none."""


@dataclass(frozen=True)
class Row:
    """One image of a list, with paths as they were given; ``split`` is empty where the list has none."""

    path: str
    split: str
    sample: Sample
    class_name: str
    ignored_mask: bool


def find(root: Path) -> Path | None:
    """The list in a root, if there is one."""
    return next((root / name for name in NAMES if (root / name).is_file()), None)


def classes(path: Path) -> list[str]:
    """The classes that a list names, in the order of names; the root's own name where it names none.

    Raises:
        DataError: it can't be read.
    """
    return sorted({row.class_name for row in _rows(path)})


def load(dataset: str, path: Path, class_name: str, options: FolderOptions) -> Task:
    """The images that a list has of one class. Raises ``DataError`` where it can't be read or has no test image."""
    everything = list(_rows(path))
    rows = [row for row in everything if row.class_name == class_name]
    parts: dict[str, list[Sample]] = {TRAIN: [], VALIDATION: [], TEST: []}
    left_out = 0
    for row, part in zip(rows, _splits(rows, options), strict=True):
        if part != TEST and row.sample.defect != GOOD:
            left_out += 1
        else:
            parts[part].append(row.sample)
    if not parts[TEST]:
        _refuse(path, f"no test image of {class_name}", "at least one")
    where = f"{dataset}/{class_name}"
    good = sum(sample.defect == GOOD for sample in parts[TEST])
    remarks = [
        f"{where}: read by {path.name}: {len(parts[TRAIN])} images for training, {len(parts[VALIDATION])} for "
        f"validation, {good} good and {sum(sample.label for sample in parts[TEST])} bad for testing."
    ]
    if left_out:
        remarks.append(f"{where}: {left_out} images of training or validation that are not good are left out.")
    if masks := sum(row.ignored_mask for row in rows):
        remarks.append(f"{where}: {masks} masks of good images are not read.")
    return Task(
        dataset, class_name, path.parent, tuple(parts[TRAIN]), tuple(parts[TEST]),
        validation=tuple(parts[VALIDATION]), train_place=path,
        options=None if any(row.split for row in rows) else options, layout=f"the list {path.name}",
        remarks=(*remarks, *passed_over(f"{dataset} at {path.parent}", _unlisted(path.parent, everything))),
    )  # fmt: skip


def _splits(rows: Sequence[Row], options: FolderOptions) -> list[str]:
    """The split of each row: its own, or for a list without splits by the names of its good images."""
    if any(row.split for row in rows):
        return [row.split for row in rows]
    good = [number for number, row in enumerate(rows) if row.sample.defect == GOOD]
    chosen = split([rows[number].path for number in good], options.test_share, options.split_seed)
    train = {number for place, number in enumerate(good) if place not in chosen}
    return [TRAIN if number in train else TEST for number in range(len(rows))]


def _unlisted(root: Path, rows: Sequence[Row]) -> list[str]:
    """Images below the root that the list does not name."""
    listed = {path for row in rows for path in row.sample.files}
    masks = {path.parent for row in rows for path in row.sample.masks}  # masks of good images are passed over, too
    found = (path for path in root.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(
        path.relative_to(root).as_posix() for path in found if path not in listed and path.parent not in masks
    )


# ---------------------------------------------------------------- rows


def _rows(path: Path) -> Iterator[Row]:
    """All rows of a list, each checked. Raises ``DataError`` with the number of the first wrong one."""
    seen: set[str] = set()
    has_splits: bool | None = None
    for number, cells in enumerate(_json(path) if path.suffix == ".json" else _csv(path), 1):
        row = _row(path, number, cells)
        if row.path in seen:
            _refuse(path, f"{row.path} twice (row {number})", "each image once")
        if has_splits is not None and has_splits != bool(row.split):
            _refuse(
                path, f"row {number} {'with' if row.split else 'without'} a split", "a split in all rows or in none"
            )
        seen.add(row.path)
        has_splits = bool(row.split)
        yield row
    if not seen:
        _refuse(path, "no row", ", ".join(COLUMNS))


def _row(path: Path, number: int, cells: dict[str, str]) -> Row:
    where = f"row {number}: "
    image = _below(path, where, cells["path"])
    part = cells["split"].lower()
    if part and part not in SPLITS:
        _refuse(path, f"{where}split '{cells['split']}'", "train, validation or test")
    defect = _defect(path, where, cells)
    is_bad = defect not in (GOOD, UNLABELLED)
    mask = _below(path, where, cells["mask"]) if cells["mask"] and is_bad else None
    sample = Sample(image, int(is_bad), defect, mask)
    name, class_name = image.relative_to(path.parent).as_posix(), nfc(cells["class"]) or path.resolve().parent.name
    return Row(name, SPLITS.get(part, ""), sample, class_name, ignored_mask=bool(cells["mask"]) and not is_bad)


def _defect(path: Path, where: str, cells: dict[str, str]) -> str:
    """The type of defect by label and defect; "good" for good images, and no text without a label."""
    label, defect = cells["label"].lower(), cells["defect"]
    named_good = defect.lower() in GOOD_LABELS - {"0", "false"}
    if not label:
        return GOOD if named_good else defect
    if label in GOOD_LABELS:
        if defect and not named_good:
            _refuse(path, f"{where}a good image with the defect '{defect}'", "one of them")
        return GOOD
    if label not in BAD_LABELS:
        _refuse(path, f"{where}label '{cells['label']}'", "good, bad, 0 or 1")
    if named_good:
        _refuse(path, f"{where}a bad image with the defect '{defect}'", "one of them")
    return nfc(defect) or DEFECT


def _below(path: Path, where: str, name: str) -> Path:
    """The file that a row names; refuses places outside the root."""
    place = PurePosixPath(name.replace("\\", "/"))
    if not name or place.is_absolute() or ".." in place.parts or Path(name).is_absolute():
        _refuse(path, f"{where}path '{name}'", f"a file below {path.parent}")
    return on_disk(path.parent, place.parts)


def _csv(path: Path) -> Iterator[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            start = stream.readline()
            stream.seek(0)
            rows = csv.DictReader(stream, delimiter=max(",;\t", key=start.count))
            names = {name: (name or "").strip().lower() for name in rows.fieldnames or ()}
            _require_columns(path, list(names.values()))
            for row in rows:
                cells = {names[key]: (value or "").strip() for key, value in row.items() if key in names}
                yield {name: cells.get(name, "") for name in COLUMNS}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"list {path}", found=reason(error), wanted="a CSV file in UTF-8") from error


def _json(path: Path) -> Iterator[dict[str, str]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"list {path}", found=reason(error), wanted="a JSON file in UTF-8") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        _refuse(path, type(rows).__name__, "a list of objects with the keys " + ", ".join(COLUMNS))
    for row in rows:
        _require_columns(path, list(row))
        yield {name: "" if row.get(name) is None else str(row[name]).strip() for name in COLUMNS}


def _require_columns(path: Path, names: Sequence[str]) -> None:
    if "path" not in names or not {"label", "defect"} & set(names):
        _refuse(
            path, f"the columns {', '.join(names) or 'none'}", f"path, and label or defect, of {', '.join(COLUMNS)}"
        )
    if unknown := [name for name in names if name not in COLUMNS]:
        _refuse(path, f"the column '{unknown[0]}'", f"some of {', '.join(COLUMNS)}")


def _refuse(path: Path, found: str, wanted: str) -> NoReturn:
    raise DataError(f"list {path}", found=found, wanted=wanted, hint="Correct it, or give it another name")
