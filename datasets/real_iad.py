"""Real-IAD (Wang et al., CVPR 2024): 30 objects from five views each, whose split and labels are in json files.

    realiad_1024/CLASS/OK/S0001/*.jpg, realiad_1024/CLASS/NG/AK/S0007/*.jpg with masks *.png, or another resolution
    realiad_jsons/realiad_jsons/CLASS.json       all views; realiad_jsons_sv beside it has view C1 alone

A label is that of the json: an object called NG has views that show no defect.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from adbench import Dataset, Sample, Task, hookimpl
from adbench.api import Counts, DataError, DataOptions, Facts, reason

from .layout import ROOT_HINT, check_class, check_has_test, check_root
from .names import plural
from .roots import candidates, missing_classes, nothing

NAME = "real_iad"
NORMAL = "OK"
FIRST_VIEW = "_C1_"
RESOLUTIONS = ("1024", "512", "256", "raw")
"""In the order in which the reader takes them."""

FACTS = Facts(
    classes=(
        "audiojack", "bottle_cap", "button_battery", "end_cap", "eraser", "fire_hood", "mint", "mounts", "pcb",
        "phone_battery", "plastic_nut", "plastic_plug", "porcelain_doll", "regulator", "rolled_strip_base",
        "sim_card_set", "switch", "tape", "terminalblock", "toothbrush", "toy", "toy_brick", "transistor1", "u_block",
        "usb", "usb_adaptor", "vcpill", "wooden_beads", "woodstick", "zipper",
    ),
    licence="CC BY-NC-SA 4.0",
    citation="Wang et al.: Real-IAD: a real-world multi-view dataset, CVPR 2024, arXiv 2403.12580",
    page="https://realiad4ad.github.io/Real-IAD/",
    masks="one per defective view",
    counts={"": Counts(total=(99721, 51329))},
    notes=(
        "Access on request, at Hugging Face: a zip for each class and resolution, and realiad_jsons.zip.",
        "All five views; --data-option views=single reads view C1 alone.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class RealIadOptions(DataOptions):
    """Which views and files are read."""

    views: Literal["all", "single"] = "all"
    """All five views of an object, or view C1 alone."""

    resolution: Literal["auto", "256", "512", "1024", "raw"] = "auto"
    """The folder of images, such as realiad_512; auto takes the first of 1024, 512, 256 and raw that is there."""


def _places(root: Path, options: RealIadOptions) -> list[Path]:
    """Folders that may hold the classes, the first choice first."""
    above = candidates(root)
    chosen = RESOLUTIONS if options.resolution == "auto" else (options.resolution,)
    named = [place / f"realiad_{each}" for each in chosen for place in above]
    own = [place for place in above if options.resolution == "auto" or place.name == f"realiad_{options.resolution}"]
    return [*named, *own]


def _folder(place: Path, class_name: str) -> Path | None:
    for folder in (place / class_name, place / class_name / class_name):
        if (folder / NORMAL).is_dir() or (folder / "NG").is_dir():
            return folder
    return None


def _found(root: Path, options: RealIadOptions) -> Path:
    check_root(NAME, root, FACTS.page)
    for place in _places(root, options):
        if any(_folder(place, name) for name in FACTS.classes):
            return place
    wanted = "realiad_1024/CLASS/OK" if options.resolution == "auto" else f"realiad_{options.resolution}/CLASS/OK"
    raise nothing(NAME, root, FACTS, "no folder of any of its classes", wanted)


def classes(options: RealIadOptions, root: Path) -> Sequence[str]:
    """The classes that are there. Raises ``DataError`` where the root is missing or holds none."""
    place = _found(root, options)
    return [name for name in FACTS.classes if _folder(place, name) is not None]


def load(options: RealIadOptions, root: Path, class_name: str) -> Task:
    """Read one class's json.

    Raises:
        UnknownNameError: no such class.
        DataError: the class or its json isn't there, or the json can't be read.
    """
    check_class(NAME, class_name, FACTS.classes)
    place = _found(root, options)
    folder = _folder(place, class_name)
    if folder is None:
        found = f"no folder {place / class_name}"
        raise DataError(f"class {class_name} of {NAME}", found=found, hint=f"Get it from {FACTS.page}")
    path, is_own = _split_file(root, class_name, options)
    entries = _read(path)
    name = f"{NAME}/{class_name}"
    remarks = [f"{name}: {place.name}, {'view C1' if options.views == 'single' else 'all views'}, split by {path}."]
    if not is_own:
        entries = {
            part: [each for each in listed if FIRST_VIEW in str(each["image_path"])] for part, listed in entries.items()
        }
    train = [_sample(folder, entry) for entry in entries["train"]]
    bad = [sample for sample in train if sample.label]
    if bad:
        remarks.append(f"{name}: {plural(len(bad), 'defective image')} of the training part left out.")
    remarks += missing_classes(f"{NAME} at {place}", FACTS, classes(options, root))
    task = Task(
        NAME, class_name, root, tuple(sample for sample in train if not sample.label),
        tuple(_sample(folder, entry) for entry in entries["test"]),
        train_place=path, options=options, remarks=tuple(remarks),
    )  # fmt: skip
    check_has_test(task, path)
    return task


def _split_file(root: Path, class_name: str, options: RealIadOptions) -> tuple[Path, bool]:
    """The json of a class, and whether it lists the wanted views alone."""
    kinds = ("realiad_jsons_sv", "realiad_jsons") if options.views == "single" else ("realiad_jsons",)
    above = candidates(root)
    for kind in kinds:
        for place in (inner for each in above for inner in (each, each / "realiad_jsons")):
            path = place / kind / f"{class_name}.json"
            if path.is_file():
                return path, kind == kinds[0]
    raise DataError(
        f"class {class_name} of {NAME}", found=f"no {kinds[-1]}/{class_name}.json below {root}",
        wanted="the file with its split and labels", hint=f"Unpack realiad_jsons.zip there. {ROOT_HINT}",
    )  # fmt: skip


def _read(path: Path) -> dict[str, list[Mapping[str, Any]]]:
    def refused(found: str) -> DataError:
        return DataError(f"split {path}", found=found, wanted="lists train and test of images", hint="Unpack it again")

    try:
        facts = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise refused(reason(error) if isinstance(error, OSError) else f"no JSON ({error})") from error
    entries = {}
    for part in ("train", "test"):
        listed = facts.get(part) if isinstance(facts, dict) else None
        if not isinstance(listed, list):
            raise refused(f"no list {part}")
        wrong = [
            each for each in listed if not isinstance(each, dict) or not {"image_path", "anomaly_class"} <= {*each}
        ]
        if wrong:
            raise refused(f"an entry of {part} without image_path and anomaly_class")
        for named in (value for each in listed for value in (each["image_path"], each.get("mask_path") or "")):
            if not _is_inside(named):
                raise refused(f"the path {str(named)[:60]!r} in {part}, which is none below the class's folder")
        entries[part] = listed
    return entries


def _is_inside(path: object) -> bool:
    """Whether a value is a relative path that leads nowhere else."""
    if not isinstance(path, str) or "\0" in path:
        return False
    return not PurePosixPath(path).is_absolute() and not PureWindowsPath(path).anchor and ".." not in Path(path).parts


def _sample(folder: Path, entry: Mapping[str, Any]) -> Sample:
    """One image. A mask may also be called STEM_mask.png; one that isn't named at all is none."""
    image = folder / str(entry["image_path"])
    kind, named = str(entry["anomaly_class"]), entry.get("mask_path")
    if kind == NORMAL:
        return Sample(image)
    if not named:
        return Sample(image, 1, kind)
    mask = folder / str(named)
    other = image.with_name(f"{image.stem}_mask.png")
    return Sample(image, 1, kind, other if not mask.is_file() and other.is_file() else mask)


def reader(options: RealIadOptions = RealIadOptions()) -> Dataset:
    """The reader with other options."""
    return Dataset(
        NAME, "Real-IAD: 30 objects, five views each", partial(classes, options), partial(load, options), FACTS.page,
        options=options, configure=reader, facts=FACTS,
    )  # fmt: skip


@hookimpl
def adbench_datasets() -> Sequence[Dataset]:
    """Offer ``real_iad``."""
    return [reader()]
