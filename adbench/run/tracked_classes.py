"""The class table of trackers: what a command has stored so far of one method, with the same options and seed.

It is read from the results, since other processes of an executor may have computed them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..api.tracker import TrackedClass
from ..results import result_file
from ..results.records import Result
from ..results.result_file import RESULT
from ..results.run_files import folder_of
from ..util.errors import ResultError

SAME = ("command", "method", "preset", "overrides", "dataset", "seed")
"""Fields of a result in which the rows of a table are alike."""


def class_table(results: Sequence[Result], root: Path) -> tuple[TrackedClass, ...]:
    """The rows of some stored results, after those of the command's earlier runs that differ only in the class.

    Args:
        results: of one model.
        root: the folder of all results.
    """
    own = folder_of(root, results[0]).path
    wanted = _alike(own / RESULT)
    others = _others(own, wanted) if wanted else []
    found = {result.class_name: result for result in others if result.variant == results[0].variant}
    for result in results:
        found.pop(result.class_name, None)
        found[result.class_name] = result
    return tuple(_row(result) for result in found.values())


def _others(own: Path, wanted: dict[str, Any]) -> list[Result]:
    """The results of all classes of the same data set that are alike, in the order in which they ended."""
    found = []
    for path in own.parents[2].glob(f"*/{own.parent.name}/*/{RESULT}"):
        if _alike(path) == wanted:
            with suppress(ResultError):
                found.append(result_file.read(path))
    return sorted(found, key=lambda result: (result.finished, result.class_name))


def _alike(path: Path) -> dict[str, Any]:
    """The fields by which rows are alike; nothing where the file can't be read."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(path.read_text(encoding="utf-8"))
        identity = content["identity"]
        same = {name: content[name] for name in SAME}
        return {**same, "code": identity["code"], "numerics": identity["numerics"]}
    return {}


def _row(result: Result) -> TrackedClass:
    speed = result.timing.images_per_second
    return TrackedClass(result.class_name, result.metrics, result.last_epoch, result.timing.fit, speed)
