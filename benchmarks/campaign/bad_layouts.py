"""Masks that don't fit their images, and folders that are odd, incomplete or named otherwise."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from . import data
from .bad_images import BROKEN, Draw, unfit
from .bench import Bench, Verdict, clear_or_fault

SPOT, GOOD_TEST, TRAIN = "test/spot", "test/good", "train/good"

Change = Callable[[Path, Draw[Any]], object]
"""Changes a mask's file, or the folder of a class."""


def try_mask(draw: Draw[Any], bench: Bench, folder: Path) -> Verdict:
    """A mask in another form: the same numbers; a mask that can't be right: a clear message, or named as left out."""
    name = f"{draw(st.sampled_from(['000', '001', '002']))}"
    place = folder / "images" / data.CLASS
    mask = place / "ground_truth" / "spot" / f"{name}_mask.png"
    broken = {name: change for name, change in BROKEN.items() if change is not unfit}  # any number marks
    changes = {**SAME_MASKS, **BAD_MASKS, **broken}
    changes[draw(st.sampled_from(sorted(changes)))](mask, draw)
    if not draw(st.booleans()):
        return bench.judge_run(folder, (), [bench.reference("clean")])
    without = bench.reference(f"without {SPOT}/{name}.png", lambda there: _remove_defect(there, name))
    return bench.judge_run(folder, ("--skip-bad",), [bench.reference("clean")], [without], name)


def try_same_layout(draw: Draw[Any], bench: Bench, folder: Path) -> Verdict:
    """Other files, links and names around the same images: the same numbers, or a clear message."""
    SAME_LAYOUTS[draw(st.sampled_from(sorted(SAME_LAYOUTS)))](folder / "images" / data.CLASS, draw)
    return bench.judge_run(folder, (), [bench.reference("clean")])


def try_passed_over(draw: Draw[Any], bench: Bench, folder: Path) -> Verdict:
    """Masks of no defective image: the same numbers, and a line with their names or folder; or a clear message."""
    masks = _marked_good(folder / "images" / data.CLASS, draw)
    ended = bench.run(data.bright(Path("images")), folder)
    if ended.code != 0:
        return clear_or_fault(ended)
    if not bench.numbers_of(folder).equals(bench.reference("clean")):
        return Verdict("fault", "other numbers in silence")
    folder_of_good = "ground_truth/good/ (1 image)"
    named = "passed over" in ended.errors and (masks.name in ended.errors or folder_of_good in ended.errors)
    return Verdict("right") if named else Verdict("fault", f"{masks.name} is not named")


def try_bad_layout(draw: Draw[Any], bench: Bench, folder: Path) -> Verdict:
    """A layout whose meaning nobody can know: a clear message."""
    BAD_LAYOUTS[draw(st.sampled_from(sorted(BAD_LAYOUTS)))](folder / "images" / data.CLASS, draw)
    return bench.judge_run(folder, (), [])


def _remove_defect(place: Path, name: str) -> None:
    (place / SPOT / f"{name}.png").unlink()
    (place / "ground_truth" / "spot" / f"{name}_mask.png").unlink()


# ---------------------------------------------------------------- masks


def _marks(path: Path) -> np.ndarray:
    """The marked pixels of a mask, (H, W)."""
    return np.asarray(Image.open(path)) > 0


def _saved(path: Path, image: Image.Image, suffix: str = ".png", **words: Any) -> None:
    path.unlink()
    image.save(path.with_suffix(suffix), **words)


def _in_mode(path: Path, draw: Draw[Any]) -> None:
    marks = _marks(path)
    kind = draw(st.sampled_from(["1", "L1", "RGB", "P", "I;16", "F", "red"]))
    image = {
        "1": lambda: Image.fromarray(marks),
        "L1": lambda: Image.fromarray(marks.astype(np.uint8)),
        "RGB": lambda: Image.fromarray(np.repeat(marks[..., None] * np.uint8(255), 3, 2)),
        "P": lambda: Image.fromarray(marks.astype(np.uint8) * 255).convert("P"),
        "I;16": lambda: Image.fromarray(marks.astype(np.uint16)),
        "F": lambda: Image.fromarray(marks.astype(np.float32)),
        "red": lambda: Image.fromarray(marks[..., None] * np.array([9, 0, 0], np.uint8)),
    }[kind]()
    _saved(path, image, ".tif" if kind == "F" else ".png")


def _as_jpeg(path: Path, draw: Draw[Any]) -> None:
    _saved(path, Image.fromarray(_marks(path).astype(np.uint8) * 255), ".jpg", quality=100, subsampling=0)


def _without_ending(path: Path, draw: Draw[Any]) -> None:
    path.rename(path.with_name(path.name.replace("_mask", "")))


def _other_case(path: Path, draw: Draw[Any]) -> None:
    path.rename(path.with_suffix(".PNG"))


def _twice_the_same(path: Path, draw: Draw[Any]) -> None:
    shutil.copy(path, path.with_name(path.name.replace("_mask", "")))


def _other_size(path: Path, draw: Draw[Any]) -> None:
    sides = draw(st.sampled_from([(32, 32), (64, 63), (128, 128), (1, 1), (63, 64)]))
    _saved(path, Image.open(path).resize(sides))


def _empty(path: Path, draw: Draw[Any]) -> None:
    _saved(path, Image.new(draw(st.sampled_from(["L", "RGB", "1"])), (data.SIDE, data.SIDE)))


def _missing(path: Path, draw: Draw[Any]) -> None:
    path.unlink()


def _named_otherwise(path: Path, draw: Draw[Any]) -> None:
    path.rename(
        path.with_name(draw(st.sampled_from(["mask.png", f"x{path.name}", path.name.replace("_mask", "-mask")])))
    )


def _two_unlike(path: Path, draw: Draw[Any]) -> None:
    """Two masks of one image that mark other pixels."""
    other = np.roll(_marks(path), 9, axis=1).astype(np.uint8) * 255
    name = draw(st.sampled_from([path.name.replace(".png", ".tif"), path.name.replace("_mask", "")]))
    Image.fromarray(other).save(path.with_name(name))


def _no_numbers(path: Path, draw: Draw[Any]) -> None:
    values = np.full((data.SIDE, data.SIDE), draw(st.sampled_from([np.nan, np.inf, -1.0])), np.float32)
    _saved(path, Image.fromarray(values), ".tif")


SAME_MASKS: dict[str, Change] = {
    "in another mode": _in_mode,
    "as a JPEG": _as_jpeg,
    "without its ending": _without_ending,
    "with a suffix in capitals": _other_case,
    "twice the same": _twice_the_same,
}
BAD_MASKS: dict[str, Change] = {
    "another size": _other_size,
    "without a mark": _empty,
    "missing": _missing,
    "named otherwise": _named_otherwise,
    "two unlike ones": _two_unlike,
    "no numbers": _no_numbers,
}


# ---------------------------------------------------------------- folders


def _stray(place: Path, draw: Draw[Any]) -> None:
    where = place / draw(st.sampled_from(["", TRAIN, GOOD_TEST, SPOT, "test", "train", "ground_truth/spot"]))
    name = draw(st.sampled_from(["Thumbs.db", ".DS_Store", "readme.txt", "._000.png", "data.csv", "desktop.ini"]))
    (where / name).write_bytes(draw(st.binary(max_size=20)))


def _linked_class(place: Path, draw: Draw[Any]) -> None:
    elsewhere = place.parent.parent / "elsewhere"
    place.rename(elsewhere)
    place.symlink_to(elsewhere, target_is_directory=True)


def _linked_part(place: Path, draw: Draw[Any]) -> None:
    part = place / draw(st.sampled_from([TRAIN, GOOD_TEST, SPOT, "ground_truth"]))
    elsewhere = place.parent.parent / "elsewhere"
    part.rename(elsewhere)
    part.symlink_to(elsewhere, target_is_directory=True)


def _composed(place: Path, draw: Draw[Any]) -> None:
    """An image and its mask named in the two forms of the same letters, as after a copy from a Mac."""
    form, other = draw(st.permutations(["NFC", "NFD"]))
    image, masks = place / SPOT / "002.png", place / "ground_truth" / "spot"
    image.rename(image.with_name(unicodedata.normalize(form, "2é") + ".png"))
    (masks / "002_mask.png").rename(masks / (unicodedata.normalize(other, "2é") + "_mask.png"))


def _empty_masks_of_good(place: Path, draw: Draw[Any]) -> None:
    """Black masks beside the good images, as some converted data sets have them."""
    masks = place / "ground_truth" / "good"
    masks.mkdir()
    for image in (place / GOOD_TEST).iterdir():
        Image.new("L", (data.SIDE, data.SIDE)).save(masks / f"{image.stem}_mask.png")


SAME_LAYOUTS: dict[str, Change] = {
    "a stray file": _stray,
    "a link to the class": _linked_class,
    "a link to a part": _linked_part,
    "black masks of good images": _empty_masks_of_good,
}


def _marked_good(place: Path, draw: Draw[Any]) -> Path:
    """A mask that marks a defect in an image that is called good, or in one that isn't there; return it."""
    masks = place / "ground_truth" / draw(st.sampled_from(["good", "spot"]))
    masks.mkdir(exist_ok=True)
    name = draw(st.sampled_from(["000", "001", "002"]))
    new = masks / f"{name if masks.name == 'good' else '9'}_mask.png"
    shutil.copy(place / "ground_truth" / "spot" / "000_mask.png", new)
    return new


def _good_in_capitals(place: Path, draw: Draw[Any]) -> None:
    """Good images of the test in a folder whose name only looks like good: they would count as defective."""
    if draw(st.booleans()):
        shutil.rmtree(place / "ground_truth")
    (place / GOOD_TEST).rename(place / "test" / draw(st.sampled_from(["Good", "GOOD", "gooD", "good "])))


def _removed(place: Path, draw: Draw[Any]) -> None:
    shutil.rmtree(place / draw(st.sampled_from([TRAIN, "train", "test"])))


def _emptied(place: Path, draw: Draw[Any]) -> None:
    part = place / draw(st.sampled_from([TRAIN, SPOT, "ground_truth/spot"]))
    shutil.rmtree(part)
    part.mkdir()


def _masks_of_nothing(place: Path, draw: Draw[Any]) -> None:
    shutil.copytree(place / "ground_truth" / "spot", place / "ground_truth" / draw(st.sampled_from(["crack", "Spot"])))


def _a_file(place: Path, draw: Draw[Any]) -> None:
    part = place / draw(st.sampled_from([TRAIN, "test", "ground_truth/spot"]))
    shutil.rmtree(part)
    part.write_bytes(b"")


def _locked(place: Path, draw: Draw[Any]) -> None:
    """A link to itself in place of a folder; for other users than root the same as a folder without rights."""
    part = place / draw(st.sampled_from([TRAIN, "ground_truth/spot"]))
    shutil.rmtree(part)
    part.symlink_to(part)


def _one_image_twice(place: Path, draw: Draw[Any]) -> None:
    """Two images of one name with different suffixes, and one mask for both."""
    image = Image.open(place / SPOT / "000.png").transpose(Image.Transpose.ROTATE_180)
    image.save(place / SPOT / draw(st.sampled_from(["000.bmp", "000.tif"])))


BAD_LAYOUTS: dict[str, Change] = {
    "good in capitals": _good_in_capitals,
    "a part removed": _removed,
    "a part without images": _emptied,
    "masks of nothing": _masks_of_nothing,
    "a file in place of a folder": _a_file,
    "a folder that is a link to itself": _locked,
    "two images for one mask": _one_image_twice,
}
