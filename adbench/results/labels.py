"""Labels: a user's own words beside a run, which move neither its numbers nor its name."""

from __future__ import annotations

import json

from ..util import files
from ..util.errors import OptionError, ResultError, reason
from ..util.text import stored_text
from . import result_file
from .records import Result
from .result_file import RESULT
from .store import RunFolder

LONGEST = 60
"""Characters of a label, at most: it is a column of tables."""


def checked(text: str, *, thing: str = "--label") -> str:
    """Return a label without the blanks around it; an empty one is none.

    Args:
        text: what the user typed.
        thing: its name in the error.

    Raises:
        OptionError: it is too long, or has line breaks or control characters.
    """
    label = text.strip()
    wanted = f"up to {LONGEST} printable characters"
    if not label.isprintable():
        raise OptionError(thing, found=repr(label[:LONGEST]), wanted=wanted)
    if len(label) > LONGEST:
        raise OptionError(thing, found=f"{len(label)} characters", wanted=wanted)
    return label


def store(folder: RunFolder, label: str, *, lock: RunFolder | None = None) -> Result:
    """Give a stored run a label in place of its old one; all other fields stay as they are in the file.

    Args:
        folder: the run.
        label: checked; an empty one removes the old one.
        lock: the folder with the lock, that of the first class of the run's model; by default it has one class.

    Raises:
        ResultError: there is no result, or it can't be read or written.
        TaskError: another process is computing the run.
    """
    path = folder.path / RESULT
    result_file.read(path)  # refuses what is no result
    with (lock or folder).lock():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content["label"] = label
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            files.write(path, lambda stream: stream.write(stored_text(text).encode("utf-8")))
        except OSError as error:
            hint = "Permit writing there"
            raise ResultError(f"{path} can't be written", found=reason(error), hint=hint) from error
    return result_file.read(path)
