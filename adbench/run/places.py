"""Where a run's images lie: stored with its result, absolute and relative to the results.

The absolute place holds wherever a command is started. The relative one holds where results and data moved together.
Results of an older adbench have the command line alone, with the place as the user typed it.
"""

from __future__ import annotations

import os
import shlex
from itertools import pairwise
from pathlib import Path

from ..results.records import DataRoot, Result


def data_root(root: Path, results: Path) -> DataRoot:
    """Describe the data set's folder for a result; symbolic links stay as they are."""
    absolute = os.path.abspath(root)
    try:
        relative = Path(os.path.relpath(absolute, os.path.abspath(results))).as_posix()
    except ValueError:  # on another drive of Windows
        relative = None
    return DataRoot(absolute, relative)


def of_data(result: Result, results: Path | None) -> list[Path]:
    """The folders in which a result's data set may lie, in the order in which to look, each once.

    Args:
        result: the result.
        results: the folder of all results, where it is now; None if that is unknown.
    """
    found = []
    if result.data_root is not None:
        found.append(Path(result.data_root.absolute))
        if results is not None and result.data_root.relative is not None:
            found.append(Path(os.path.normpath(os.path.abspath(results) / Path(result.data_root.relative))))
    found += [Path(name) for name in named_in(result.command, "--data-root")]
    return list(dict.fromkeys(found))


def named_in(command: str, option: str) -> list[str]:
    """Values that a command line gives to an option: "--data-root DIR" or "--data-root=DIR"."""
    try:
        words = shlex.split(command)
    except ValueError:  # not a shell's command
        return []
    found = []
    for word, following in pairwise([*words, ""]):
        if word == option and following:
            found.append(following)
        elif word.startswith(f"{option}="):
            found.append(word.partition("=")[2])
    return found
