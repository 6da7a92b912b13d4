"""Small data sets in the layouts of published ones: real images of 8 x 8 pixels, with masks of a few pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 8


def write(root: Path, *files: str) -> Path:
    """Write images: "PATH", and masks: "PATH = PIXELS" or "PATH = PIXELS of VALUE" (255 unless given).

    Pixels are counted from the top left, so that the masks of one image overlap. Colour masks end with "rgb".
    """
    for line in files:
        name, is_mask, marks = line.partition(" = ")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.full((SIDE, SIDE), 0 if is_mask else 100 + len(name), np.uint8)
        if is_mask:
            count, _, value = marks.removesuffix(" rgb").partition(" of ")
            values.reshape(-1)[: int(count)] = int(value or 255)
        image = Image.fromarray(values)
        (image.convert("RGB") if marks.endswith(" rgb") else image).save(path, "PNG" if is_mask else None)
    return root


def write_text(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return root


def tree(place: str, *, kinds: dict[str, str], train: int = 2, good: str = "good", suffix: str = ".png") -> list[str]:
    """A class in MVTec's layout; each kind has one image, and the file of its mask below ground_truth."""
    files = [f"{place}/train/{good}/{number:03d}{suffix}" for number in range(train)]
    files.append(f"{place}/test/{good}/000{suffix}")
    for kind, mask in kinds.items():
        files += [f"{place}/test/{kind}/000{suffix}", f"{place}/ground_truth/{kind}/{mask} = 5"]
    return files


def loco(root: Path, name: str = "pushpins") -> Path:
    """A class of MVTec LOCO AD: an image with two masks that overlap, and one with a single mask."""
    write(
        root / name, "train/good/000.png", "validation/good/000.png", "test/good/000.png",
        "test/logical_anomalies/000.png", "ground_truth/logical_anomalies/000/000.png = 20 of 255",
        "ground_truth/logical_anomalies/000/001.png = 30 of 254",
        "test/structural_anomalies/000.png", "ground_truth/structural_anomalies/000/000.png = 9 of 253",
    )  # fmt: skip
    return write_text(root, f"{name}/defects_config.json", json.dumps([
        kind("one", 255, 12, False), kind("two", 254, 1.0, True), kind("bent", 253, 0.5, True),
    ]))  # fmt: skip


def kind(name: str, value: object, threshold: object, relative: object) -> dict[str, object]:
    """One kind of defect in defects_config.json."""
    return {
        "defect_name": name, "pixel_value": value, "saturation_threshold": threshold, "relative_saturation": relative,
    }  # fmt: skip


def ad2(root: Path, name: str = "can") -> Path:
    """A class of MVTec AD 2 with its private tests."""
    write(
        root / name, "train/good/000_regular.png", "validation/good/000_regular.png",
        "test_public/good/000_regular.png", "test_public/bad/000_shift_1.png",
        "test_public/ground_truth/bad/000_shift_1_mask.png = 7",
        "test_private/000_regular.png", "test_private/001_regular.png", "test_private_mixed/000_mixed.png",
    )  # fmt: skip
    return root


def real_iad(root: Path, name: str = "audiojack", folder: str = "realiad_jsons/realiad_jsons") -> Path:
    """A class of Real-IAD with two views: a good object to train on, and an NG one whose second view is good."""

    def entry(kind: str, path: str, mask: str | None = None) -> dict[str, object]:
        return {"category": name, "anomaly_class": kind, "image_path": path, "mask_path": mask}

    train = [entry("OK", f"OK/S1/{name}_OK_C{view}_1.jpg") for view in (1, 2)]
    bad = f"NG/AK/S2/{name}_NG_AK_C1_1"
    test = [entry("AK", f"{bad}.jpg", f"{bad}.png"), entry("OK", f"NG/AK/S2/{name}_NG_AK_C2_1.jpg")]
    place = root / "realiad_1024" / name
    write(place, *(str(each["image_path"]) for each in (*train, *test)), f"{bad}.png = 6")
    return write_text(root, f"{folder}/{name}.json", json.dumps({"meta": {}, "train": train, "test": test}))


def dagm(root: Path, name: str = "Class1") -> Path:
    """A class of DAGM as at Kaggle: a defective image in each part."""
    for part, numbers in (("Test", (1, 2)), ("Train", (3, 4, 5))):
        bad = numbers[1]
        write(root / name / part, *(f"{number:04d}.PNG" for number in numbers), f"Label/{bad:04d}_label.PNG = 8")
        rows = [f"{n:04d}\t{int(n == bad)}\t{n:04d}.PNG\t0\t{f'{n:04d}_label.PNG' if n == bad else 0}" for n in numbers]
        write_text(root, f"{name}/{part}/Label/Labels.txt", "\n".join(("1", *rows, "")))
    return root


def kolektor(root: Path, items: int = 5) -> Path:
    """KolektorSDD: items with a good and another good image; the first item has a defective one as well."""
    for item in range(1, items + 1):
        for part in range(2):
            write(root / f"kos{item:02d}", f"Part{part}.jpg", f"Part{part}_label.bmp = 0")
    return write(root, "kos01/Part2.jpg", "kos01/Part2_label.bmp = 4")


def kolektor2(root: Path) -> Path:
    """KolektorSDD2: a good and a defective image in each part."""
    for part, first in (("train", 10000), ("test", 20000)):
        write(root / part, f"{first}.png", f"{first}_GT.png = 0", f"{first + 1}.png", f"{first + 1}_GT.png = 3")
    return root


def mtd(root: Path) -> Path:
    """MTD: five good images, and two defective ones with soft masks."""
    for number in range(5):
        write(root / "MT_Free/Imgs", f"exp1_num_{number}.jpg", f"exp1_num_{number}.png = 0")
    write(root / "MT_Crack/Imgs", "exp1_num_7.jpg", "exp1_num_8.jpg", "exp1_num_8.png = 6 of 128")
    path = root / "MT_Crack/Imgs/exp1_num_7.png"
    values = np.zeros((SIDE, SIDE), np.uint8)
    values[0, :3], values[1, :5] = 200, 127
    Image.fromarray(values).save(path)
    return root


def vad(root: Path) -> Path:
    """VAD: no masks, defective training images, and kinds of defects that training doesn't show."""
    files = (
        "train/good/1.png",
        "train/bad/2.png",
        "test/good/3.png",
        "test/bad/4.png",
        "test/bad_unseen_defects/5.png",
    )
    return write(root, *(f"vad/{name}" for name in files))


def elpv(root: Path) -> Path:
    """ELPV: labels with all four probabilities."""
    numbers = (0.0, 0.0, 1 / 3, 2 / 3, 1.0)
    write(root, *(f"images/cell{number:04d}.png" for number in range(1, 6)))
    lines = [f"images/cell{number:04d}.png  {value}   mono" for number, value in enumerate(numbers, 1)]
    return write_text(root, "labels.csv", "\n".join((*lines, "")))
