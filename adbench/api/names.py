"""What names of files and folders mean: which are masks, which are nobody's data, and in which form letters count.

Letters such as ü may be written in two forms: macOS writes another one than Windows and Linux. Names are the same here
if they are the same in the form NFC.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MASK_ENDINGS = ("_mask", "_gt", "_label")
"""Endings of the names of masks after the stem of their image, in lower case; a mask may also have the stem alone."""

MASK_FOLDERS = ("masks", "ground_truth")
"""Folders of masks, which lie beside those of the images."""

LITTER = ("thumbs.db", "desktop.ini")
"""Files that systems leave in folders, in lower case; as hidden ones they are nobody's data."""


def nfc(name: str) -> str:
    """A name in the form in which names are compared."""
    return unicodedata.normalize("NFC", name)


def name_key(name: str) -> str:
    """A name in the form in which names are compared whose capitals and outer blanks don't count."""
    return nfc(name).strip().casefold()


def is_visible(name: str) -> bool:
    """Whether a file or folder may be data by its name: it is neither hidden nor left there by a system."""
    return not name.startswith(".") and name.lower() not in LITTER


def is_mask_folder(name: str) -> bool:
    """Whether a folder of this name has masks; capitals don't count."""
    return name_key(name) in MASK_FOLDERS


def image_stem(path: Path) -> str | None:
    """The stem of the image whose mask a file is by its name; None if it has no ending of masks."""
    stem = nfc(path.stem)
    if not stem.lower().endswith(MASK_ENDINGS):
        return None
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


def masks_beside(files: Sequence[Path]) -> Beside:
    """Tell the images of one folder from masks beside them, such as 7_mask.png beside 7.jpg."""
    named = [(path, stem) for path in files if (stem := image_stem(path)) is not None]
    stems = by_stem(files) if named else {}
    masks: dict[Path, list[Path]] = {}
    taken: set[Path] = set()
    lone = []
    for path, stem in named:
        if stem not in stems:
            lone.append(path)
            continue
        taken.add(path)
        for image in stems[stem]:
            masks.setdefault(image, []).append(path)
    images = tuple(path for path in files if path not in taken)
    return Beside(images, {image: tuple(found) for image, found in masks.items() if image not in taken}, tuple(lone))
