"""Reads ``defects_config.json`` of MVTec LOCO AD and AutoVI: values of masks, and how much of a defect must be found.

The numbers are a part of the data sets and lie in each class's folder, so none is embedded here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from adbench import Task
from adbench.api import Problem, RegionRules, Saturation, reason

CONFIG = "defects_config.json"
FIELDS = ("defect_name", "pixel_value", "saturation_threshold", "relative_saturation")


class _WrongError(Exception):
    """What is wrong with the file."""


def with_rules(task: Task, folder: Path, groups: Mapping[str, str]) -> Task:
    """The same task with the rules of its regions, or with the reason why there are none.

    Args:
        task: a class, with a folder of masks for each defective image.
        folder: the class.
        groups: the groups of types of defect that are evaluated apart.
    """
    name = f"{task.dataset}/{task.class_name}"
    path = folder / CONFIG
    if any(sample.mask is not None and sample.mask.parent.name != sample.path.stem for sample in task.test):
        return _without(
            task, f"{name}: masks in single files, which don't say the kinds of defects: no metric by region."
        )
    if not path.is_file():
        return _without(task, f"{name}: no {CONFIG}, so no metric by region.")
    try:
        rules = RegionRules(_saturations(path), groups)
    except _WrongError as error:
        problem = Problem(path, str(error), "Get it again from the data set's archive")
        return replace(task, problems=(*task.problems, problem))
    exact = tuple(replace(each, mask_rule="nonzero") for each in task.test)  # a defect may fill the image
    return replace(task, test=exact, region_rules=rules)


def _without(task: Task, remark: str) -> Task:
    return replace(task, remarks=(*task.remarks, remark))


def _saturations(path: Path) -> tuple[Saturation, ...]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise _WrongError(reason(error) if isinstance(error, OSError) else f"no JSON ({error})") from error
    if not isinstance(entries, list):
        raise _WrongError("no list")
    found = tuple(_saturation(entry) for entry in entries)
    values = [each.pixel_value for each in found]
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise _WrongError(f"pixel_value {twice[0]} twice")
    return found


def _saturation(entry: Any) -> Saturation:
    missing = [name for name in FIELDS if not isinstance(entry, dict) or name not in entry]
    if missing:
        raise _WrongError(f"an entry without {', '.join(missing)}")
    name, value, threshold, relative = (entry[field] for field in FIELDS)
    if type(value) is not int or not 1 <= value <= 255:
        raise _WrongError(f"pixel_value {value!r} of {name}, wanted 1 to 255")
    wanted = "a share above 0, up to 1" if relative else "a whole number of pixels"
    fits = (
        type(threshold) in (int, float) and 0 < threshold <= 1 if relative else type(threshold) is int and threshold > 0
    )
    if not isinstance(relative, bool) or not fits:
        raise _WrongError(f"saturation_threshold {threshold!r} of {name}, wanted {wanted}")
    return Saturation(str(name), value, float(threshold), relative)
