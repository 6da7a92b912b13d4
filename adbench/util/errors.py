"""All errors that adbench raises on purpose.

    AdbenchError              exit code 1: a task failed through no fault of the command
    ├── TaskError             a run broke off: non-finite loss, wrong shapes from a method, ...
    └── UsageError            exit code 2: something the user can put right
        ├── UnknownNameError  a method, dataset, class, backbone, preset or option that does not exist
        ├── OptionError       an option with a value that does not fit
        │   └── SizeError     images of a size that a backbone does not take
        ├── DataError         a missing or broken data set, image or mask
        ├── AuxiliaryError    files or folders of --aux that a method can't train with
        ├── WeightsError      backbone weights that cannot be found or loaded
        ├── CheckpointError   a checkpoint that does not fit the method
        ├── PluginError       a plugin that cannot be used
        └── ResultError       stored results that are missing or unreadable

This module imports nothing of adbench. A message is one or two short sentences: the thing, what was
found, what was wanted, and a hint.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Literal


class AdbenchError(Exception):
    """Base of all errors that adbench raises on purpose. ``exit_code`` is the command's."""

    exit_code = 1

    def __init__(self, thing: str, *, found: str = "", wanted: str = "", hint: str = "", way_out: str = "") -> None:
        """Build the message from four parts.

        Args:
            thing: what is wrong, named: a path, an option, a class. May be a whole sentence.
            found: what was found there.
            wanted: what would have been right.
            hint: what the reader can do now, as an imperative.
            way_out: the old name of ``hint``, for plugins of adbench 0.1.
        """
        hint = hint or way_out
        facts = ", ".join(part for part in (found and f"found {found}", wanted and f"wanted {wanted}") if part)
        head = f"{thing}: {facts}" if facts else thing
        super().__init__(" ".join(_sentence(part) for part in (head, hint) if part))
        self.parts = {"thing": thing, "found": found, "wanted": wanted, "hint": hint}

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by parts, so that an error survives the way back from another process."""
        return _rebuild, (type(self), self.parts)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _rebuild(kind: type[AdbenchError], parts: dict[str, str]) -> AdbenchError:
    error = kind.__new__(kind)
    AdbenchError.__init__(error, **parts)
    return error


def placed(error: AdbenchError, where: str, *, instead_of: str = "") -> AdbenchError:
    """The same error, which names the place of its cause first.

    Args:
        error: the error.
        where: file and key.
        instead_of: how the error's text begins with what the place says better.
    """
    thing = error.parts["thing"]
    rest = thing.removeprefix(instead_of) if instead_of else f": {thing}"
    return _rebuild(type(error), {**error.parts, "thing": f"{where}{rest}"})


def first_line(error: BaseException) -> str:
    """First line of an error's message, or the name of its type where the message is empty."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def type_text(value: object) -> str:
    """A value's type with its article, for messages: "an int", "a list", or "None"."""
    name = type(value).__name__
    return "None" if value is None else f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"


def absent(path: Path, wanted: Literal["file", "folder"]) -> str:
    """What lies where a file or a folder is missing: "no such file", "a folder" or "no plain file"."""
    if not path.exists():
        return f"no such {wanted}"
    return "a folder" if path.is_dir() else "a file" if path.is_file() else "no plain file"


def reason(error: BaseException) -> str:
    """Why reading or writing failed: "Permission denied", without the path that the message names already."""
    return (isinstance(error, OSError) and error.strerror) or first_line(error)


PLUGIN_ERRORS = (Exception, SystemExit)
"""What the code of a plugin may raise. Its ``sys.exit`` must not end a command in silence."""


def described(error: BaseException) -> str:
    """An error in one line, such as "ValueError: its message"; an error of adbench needs no type."""
    if isinstance(error, SystemExit):
        return f"a call of sys.exit({error.code!r})"
    kind, text = type(error).__name__, first_line(error)
    return text if isinstance(error, AdbenchError) or text == kind else f"{kind}: {text}"


class TaskError(AdbenchError):
    """One task broke off; the results of the others stand."""


class UsageError(AdbenchError):
    """A mistake that the user can put right."""

    exit_code = 2


SHORTEST_PART, OFFERED = 2, 3
"""Shortest part of a name that is searched within names, and the most names that are offered."""


def _quoted(name: str) -> str:
    return f"'{name}'"


class UnknownNameError(UsageError):
    """A name that does not exist; the message offers the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        """Name the ``kind`` of thing, the unknown ``name`` and the ``known`` ones."""
        known = sorted(known)
        near = [each for each in known if len(name) >= SHORTEST_PART and name.lower() in each.lower()]
        if not 0 < len(near) <= OFFERED:
            near = get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        wanted = "one of " + ", ".join(known) if known else ""
        hint = f"Did you mean {' or '.join(map(_quoted, near))}?" if near else hint
        super().__init__(f"unknown {kind} '{name}'", wanted=wanted, hint=hint)


class OptionError(UsageError):
    """An option with a value that does not fit its type or its bounds."""


class SizeError(OptionError):
    """Images of a size that a backbone does not take: both sides must be multiples of ``multiple``."""

    def __init__(self, name: str, size: tuple[int, int], multiple: int) -> None:
        """Offer the nearest sizes to ``size``, which is height and width, for the backbone ``name``."""
        below = [max(1, side // multiple) * multiple for side in size]
        above = [-(-side // multiple) * multiple for side in size]
        nearest = dict.fromkeys("x".join(map(str, sides)) for sides in (below, above))
        super().__init__(
            f"size {size[0]}x{size[1]} with backbone {name}", wanted=f"multiples of {multiple}",
            hint=f"Choose --size {' or '.join(nearest)}",
        )  # fmt: skip
        self.name, self.size, self.multiple = name, size, multiple

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by its arguments, of which ``multiple`` is one."""
        return SizeError, (self.name, self.size, self.multiple)


class DataError(UsageError):
    """A data set, image or mask that is missing or cannot be used."""


class AuxiliaryError(UsageError):
    """A file or folder of ``--aux`` that a method can't train with; it ends a command before anything is trained."""


class WeightsError(UsageError):
    """Backbone weights that cannot be found or loaded; they are never replaced by random values."""


class CheckpointError(UsageError):
    """A checkpoint that cannot be read or does not fit the method."""


class PluginError(UsageError):
    """A plugin that cannot be used."""


class ResultError(UsageError):
    """Stored results that are missing or unreadable."""
