"""Writes the anomaly maps of a stored run to files: overlays for people, or the maps themselves.

Overlays are in ``maps/`` in the run's folder, one PNG per test image: the image, and beside it the same with its map,
in the image's own shape. All have one colour scale. The maps themselves are in ``maps.npz``. Both are written under a
temporary name and renamed: an existing file is complete.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..api.data import size_text
from ..data.image_store import Watch
from ..results.records import Result
from ..results.run_files import folder_of, read_scores
from ..util import files
from ..util.errors import ResultError, reason
from .disk_use import MapKind
from .map_file import MapFile
from .overlay import HIGH_PERCENTILE, LOW_PERCENTILE, Bytes, Scale, beside, legend, overlay
from .own_shape import size_around
from .reopen import Reopener, Rescored, scores_differ

STEPS = 65535
"""Steps between the lowest and the highest value of all maps in ``maps.npz``."""


def save(
    result: Result,
    results: Path,
    reopener: Reopener,
    kind: MapKind,
    *,
    variant: str | None = None,
    force: bool = False,
    watch: Watch | None = None,
    warn: Callable[[str], None] | None = None,
) -> Path:
    """Write the maps of all test images of a run, unless they exist already.

    Args:
        result: the run.
        results: the folder of all results.
        reopener: finds its images and its detector.
        kind: "png" for overlays, "raw" for the maps themselves.
        variant: the name of its variant among all stored runs; by default that of this run alone.
        force: write them again.
        watch: called with ("score", done, total) and ("write", done, total).
        warn: called with a line of text if the new scores differ from the result's.

    Returns:
        The folder of the overlays, or the file with the maps.

    Raises:
        ResultError: the method makes no maps, or they can't be written.
        AdbenchError: the run's images or checkpoint are no longer available.
    """
    variant = variant or result.variant
    folder = folder_of(results, result)
    place = folder.path / ("maps" if kind == "png" else "maps.npz")
    if place.exists() and not force:
        return place
    scores = read_scores(folder, result)
    paths, stored = [each.path for each in scores], np.array([each.score for each in scores])
    rescored = reopener.score(result, folder, reopener.samples(result, paths), watch)
    if rescored.maps is None:
        raise ResultError(f"maps of {variant}", found="a method that makes none")
    if kind == "raw":
        _require_one_size(rescored.maps, variant)
    remark = scores_differ(stored, rescored.image, float(stored.std()))
    if remark and warn:
        warn(f"{variant} on {result.dataset}/{result.class_name}: {remark}")
    try:
        if kind == "png":
            _write_overlays(place, result, variant, paths, rescored, rescored.maps, watch)
        else:
            if watch:
                watch("write", 0, len(paths))
            _write_raw(place, paths, rescored, rescored.maps)
    except OSError as error:
        hint = "Free some space or permit writing there"
        raise ResultError(f"{place} can't be written", found=reason(error), hint=hint) from error
    return place


# ---------------------------------------------------------------- overlays


def _write_overlays(
    place: Path,
    result: Result,
    variant: str,
    paths: Sequence[str],
    rescored: Rescored,
    maps: NDArray[np.float32] | MapFile,
    watch: Watch | None,
) -> None:
    scale = Scale.of_all(maps)
    with files.new_folder(place) as own:
        for row, name in enumerate(file_names(paths)):
            drawn = _drawn(rescored, row, scale)
            (own / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(drawn).save(own / name, "PNG")
            if watch:
                watch("write", row + 1, len(paths))
        _write_scale(own, result, variant, scale)
        files.replace_folder(own, place)


def _drawn(rescored: Rescored, row: int, scale: Scale) -> Bytes:
    """The image beside its overlay, in its own shape, and no smaller than the detector's input."""
    height, width = rescored.store.images.shape[1:3]
    shown = rescored.own_shape(row, lambda own: size_around(own, (height, width)))
    assert shown.values is not None
    return beside(shown.image, overlay(shown.image, shown.values, shown.mask, scale))


def file_names(paths: Sequence[str]) -> list[str]:
    """Name the overlay of each image: its path below the common folder, as PNG."""
    parents = [PurePosixPath(path).parent for path in paths]
    shared = PurePosixPath(posixpath.commonpath(parents)) if parents else PurePosixPath()
    if len(set(parents)) == 1:
        shared = shared.parent  # a single folder keeps its name
    inner = [PurePosixPath(path).relative_to(shared) for path in paths]
    plain = [str(path.with_suffix(".png")) for path in inner]
    return [
        name if plain.count(name) == 1 else f"{path}.png"  # 000.jpg beside 000.bmp
        for name, path in zip(plain, inner, strict=True)
    ]


def _write_scale(folder: Path, result: Result, variant: str, scale: Scale) -> None:
    """Explain the colours beside the overlays, for people and for programs."""
    what = f"the {LOW_PERCENTILE:g}th and {HIGH_PERCENTILE:g}th percentile of all test pixels of {result.class_name}"
    lines = (f"{variant}, seed {result.seed}, epoch {result.last_epoch}", f"From and to: {what}.")
    Image.fromarray(legend(scale, [*lines, "White line: just outside the ground truth."])).save(folder / "_scale.png")
    facts = {
        "run": result.run,
        "variant": variant,
        "dataset": result.dataset,
        "class": result.class_name,
        "epoch": result.last_epoch,
        "low": scale.low,
        "high": scale.high,
        "percentiles": [LOW_PERCENTILE, HIGH_PERCENTILE],
        "colours": "inferno",
    }
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    (folder / "_scale.json").write_text(text, encoding="utf-8", errors="backslashreplace")


# ---------------------------------------------------------------- raw


def _require_one_size(maps: NDArray[np.float32] | MapFile, variant: str) -> None:
    """Refuse maps of several sizes, which one array can't hold. Raises ``ResultError``."""
    sizes = () if isinstance(maps, np.ndarray) else sorted(set(maps.sizes))
    if len(sizes) > 1:
        raise ResultError(
            f"maps of {variant} as one array", found=f"sizes from {size_text(sizes[0])} to {size_text(sizes[-1])}",
            wanted="images of one size", hint="Write overlays, or train with --size beside --tile",
        )  # fmt: skip


def _write_raw(place: Path, paths: Sequence[str], rescored: Rescored, maps: NDArray[np.float32] | MapFile) -> None:
    """Store maps as 16-bit steps from the lowest to the highest value: right to half a step, 1/131070 of the range."""
    low, high = (float(maps.min()), float(maps.max())) if isinstance(maps, np.ndarray) else maps.extremes()
    step = (high - low) / STEPS
    coded = np.empty((len(paths), *maps[0].shape), np.uint16)
    for number in range(len(paths)):
        coded[number] = np.rint((np.asarray(maps[number]).astype(np.float64) - low) / (step or 1.0))
    arrays: dict[str, Any] = {
        "maps": coded,
        "low": np.array(low),
        "step": np.array(step),
        "paths": np.array([path.encode("utf-8", "backslashreplace").decode() for path in paths]),
        "labels": np.array([sample.label for sample in rescored.store.samples], np.uint8),
        "scores": rescored.image,
    }
    files.write(place, lambda stream: np.savez_compressed(stream, **arrays))
