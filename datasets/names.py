"""What names of folders and files mean: which images are good, which files are masks, and in which form letters count.

Letters such as ü may be written in two forms: macOS writes another one than Windows and Linux. Names are the same here
if they are the same in the form NFC.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adbench.api import GOOD

GOOD_NAMES = (GOOD, "ok", "normal", "pass", "defect_free", "no_defect")
BAD_NAMES = (
    "bad", "ng", "ko", "defect", "defects", "defective", "anomaly", "anomalous", "abnormal", "fail"
)  # fmt: skip
"""Names of folders of good and of defective images, in lower case; those of files may have capitals."""

MASK_ENDINGS = ("_mask", "_gt", "_label")
"""Endings of the names of masks after the stem of their image, in lower case; a mask may also have the stem alone."""


def nfc(name: str) -> str:
    """A name in the form in which names are compared."""
    return unicodedata.normalize("NFC", name)


def key(name: str) -> str:
    """A name in the form in which names are compared whose capitals and outer blanks don't count."""
    return nfc(name).strip().casefold()


def is_good(name: str) -> bool:
    """Whether a folder of this name has good images."""
    return key(name) in GOOD_NAMES


def is_bad(name: str) -> bool:
    """Whether a folder of this name has defective images, of whatever type."""
    return key(name) in BAD_NAMES


def image_stem(path: Path) -> str | None:
    """The stem of the image whose mask a file is by its name; None if it has no ending of masks."""
    stem = nfc(path.stem)
    ending = next((each for each in MASK_ENDINGS if stem.lower().endswith(each) and len(stem) > len(each)), None)
    return None if ending is None else stem[: -len(ending)]


def by_stem(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Files by their stem."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(nfc(path.stem), []).append(path)
    return found


@dataclass(frozen=True)
class Beside:
    """The images of a folder, and the masks that lie beside them.

    Attributes:
        images: without masks.
        masks: masks by image; more than one of them is the reader's to refuse.
        lone: files with the name of a mask whose image is not there. They may be images: ``images`` has them, too.
    """

    images: tuple[Path, ...]
    masks: Mapping[Path, tuple[Path, ...]]
    lone: tuple[Path, ...]


def beside(files: Sequence[Path]) -> Beside:
    """Tell the images of one folder from masks beside them, such as 7_mask.png beside 7.jpg."""
    stems = by_stem(files)
    masks: dict[Path, list[Path]] = {}
    taken: set[Path] = set()
    lone = []
    for path in files:
        stem = image_stem(path)
        if stem is None:
            continue
        if stem not in stems:
            lone.append(path)
            continue
        taken.add(path)
        for image in stems[stem]:
            masks.setdefault(image, []).append(path)
    images = tuple(path for path in files if path not in taken)
    return Beside(images, {image: tuple(found) for image, found in masks.items() if image not in taken}, tuple(lone))


def plural(number: int, thing: str) -> str:
    """A number of things, for messages: "1 image", "2 images"."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
