"""Checks of what lies on the disk: weights, data sets, the cache, the results, and the space for more."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...api.backbone_table import LITE0
from ...util import cache, files
from ...util.errors import PLUGIN_ERRORS, absent, described, reason
from ...util.sizes import bytes_text
from ...util.text import plural
from .finding import Asked, Finding

FULL, LITTLE = 500 * 10**6, 10 * 10**9
"""Free bytes below which runs will fail, and below which long ones may."""


def weights(asked: Asked) -> Iterator[Finding]:
    """Which backbones' weights are here: that of the presets cpu must be, others are downloaded when needed."""
    from ...backbones import weight_files

    found = weight_files.find_all()
    for each in found:
        if each.state == "damaged":
            yield Finding("weights", "red", f"{each.name}: {each.path} is damaged", f"adbench weights get {each.name}")
    here = [each.name for each in found if each.state == "here"]
    away = len(found) - len(here)
    here += weight_files.in_hub_cache()
    if LITE0 not in here:
        found_text = f"{LITE0} is missing, which all presets cpu use"
        yield Finding("weights", "red", found_text, f"adbench weights get {LITE0}")
    others = f"{away} others and timm's models are downloaded when a run needs them"
    remedy = "Before going offline: adbench weights get NAME"
    yield Finding("weights", "green", f"here: {', '.join(here) or 'none'}; {others}", remedy)


def data(asked: Asked) -> Iterator[Finding]:
    """The folders of data sets: which data sets are recognised in each."""
    if not asked.data_roots:
        found = "no folder given; the data set demo needs none"
        yield Finding("data", "green", found, "For your own: adbench doctor --data-root DIR, or set ADBENCH_DATA")
    for root in asked.data_roots:
        if not root.is_dir():
            yield Finding("data", "red", f"{root}: {absent(root, 'folder')}", "Correct --data-root or ADBENCH_DATA")
            continue
        classes = _classes(root, asked)
        if classes:
            yield Finding("data", "green", f"{root}: {'; '.join(classes)}")
        else:
            hint = "See adbench list datasets for where to get them, and the README for the layout of a folder"
            yield Finding("data", "yellow", f"{root}: no data set recognises a class in it", hint)


def _classes(root: Path, asked: Asked) -> list[str]:
    """What each data set recognises in a folder: "mvtec: 15 classes"."""
    found = []
    for reader in asked.registry.datasets.values():
        if not reader.needs_root:
            continue
        try:
            count = len(reader.classes(root))
        except PLUGIN_ERRORS:  # it is no folder of this data set
            continue
        if count:
            found.append(f"{reader.name} reads {plural(count, 'class').replace('classs', 'classes')}")
    return found


def cache_and_disk(asked: Asked) -> Iterator[Finding]:
    """The cache: where it is, what it takes, and whether it can be written; and the space on its disk."""
    folder = files.cache_folder()
    taken, limit = sum(entry.bytes for entry in cache.entries()), cache.limit()
    remedy = "Set ADBENCH_CACHE to a folder on another disk"
    if why := unwritable(folder):
        yield Finding("cache", "red", f"{folder} can't be written: {why}", remedy)
    elif taken > limit:
        found = f"{folder}: {bytes_text(taken)}, over its limit of {bytes_text(limit)}"
        yield Finding("cache", "yellow", found, "adbench cache prune")
    else:
        yield Finding("cache", "green", f"{folder}: {bytes_text(taken)} of at most {bytes_text(limit)}")
    yield _space("disk of the cache", folder, f"adbench cache clear, or: {remedy}")


def results(asked: Asked) -> Iterator[Finding]:
    """The folder of the results: whether it can be written, and the space on its disk."""
    remedy = "Give --results DIR on another disk"
    if why := unwritable(asked.results):
        yield Finding("results", "red", f"{asked.results} can't be written: {why}", remedy)
    else:
        yield _space("disk of the results", asked.results, remedy)


def _space(check: str, folder: Path, remedy: str) -> Finding:
    free = shutil.disk_usage(_existing(folder)).free
    if free < FULL:
        return Finding(check, "red", f"only {bytes_text(free)} are free", remedy)
    if free < LITTLE:
        found = f"{bytes_text(free)} are free; checkpoints and features of large runs take more"
        return Finding(check, "yellow", found, remedy)
    return Finding(check, "green", f"{bytes_text(free)} are free")


def unwritable(folder: Path) -> str:
    """Why nothing can be written in a folder, or in the one where it would be made; empty if it can."""
    place = _existing(folder)
    if not place.is_dir():
        return f"{place} is {absent(place, 'folder')}"
    try:
        with tempfile.TemporaryFile(dir=place):
            return "" if os.access(place, os.W_OK | os.X_OK) else "Permission denied"
    except OSError as error:
        return reason(error) or described(error)


def _existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
