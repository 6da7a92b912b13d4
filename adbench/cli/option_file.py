"""Options in a data set's own folder: a TOML file, such as dataset.toml, that sets what the command line may as well.

It is data: nothing in it is ever run. What is typed wins over a run file, and that over this file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..util.errors import OptionError, UnknownNameError, UsageError, placed
from .console import say
from .defaults import RUN_FILE, place_of

if TYPE_CHECKING:
    from ..api.data import Dataset
    from ..api.levels import Levels
    from ..util.toml_files import Value

RANGE = "range"
"""The key that is no option of a reader, but of the command."""

OWN_FILES = "adbench.own_files"
"""Key in click's contexts for the lines that were said."""


def _values(dataset: Dataset, root: Path | None) -> dict[str, Value]:
    """What a file in the data set's folder sets, by key. It is data: nothing in it is ever run."""
    from ..util import toml_files

    path = root / dataset.option_file if root is not None and dataset.option_file else None
    return toml_files.read_lines(path) if path is not None and path.is_file() else {}


def levels(
    dataset: Dataset, root: Path, given: Levels | None, own: tuple[Levels, str] | None = None
) -> tuple[Levels | None, str]:
    """The range of images of more than 8 bits, and what gave it.

    What is typed counts first, then what a run file says of the data set, what it says of all of them, the data set's
    own file, and the user's defaults.

    Args:
        dataset: its reader.
        root: its folder.
        given: the value of ``--range``, from wherever it is.
        own: what a run file says of the data set, and where it says that.
    """
    from ..results.records import GIVEN

    context = click.get_current_context()
    is_typed = context.get_parameter_source("levels") is ParameterSource.COMMANDLINE
    if own is not None and not is_typed:
        winner: tuple[Levels | None, str] = own
    else:
        winner = given, place_of("--range") or "--range"
    is_asked = is_typed or own is not None or "levels" in context.meta.get(RUN_FILE, {})
    if (value := _values(dataset, root).get(RANGE)) is None:
        return winner[0], GIVEN
    found = _range_in(value)
    _say_once(f"{value.file} sets {RANGE}={found.text}{f', which {winner[1]} overrides' if is_asked else ''}.")
    return (winner[0], GIVEN) if is_asked else (found, str(dataset.option_file))


def _range_in(value: Value) -> Levels:
    from ..api.levels import Levels

    return Levels.parse(value.text("BLACK:WHITE, such as '0:4095'"), value.where)


def changes(dataset: Dataset, root: Path | None, change: Callable[[Dataset, str, Value], Any]) -> dict[str, Any]:
    """The options of the reader that the file sets; ``change`` turns a value of a file into that of an option."""
    from ..api.data_options import with_options

    everything = _values(dataset, root)
    if RANGE in everything:
        _range_in(everything[RANGE])
    values = {key: value for key, value in everything.items() if key != RANGE}
    try:
        found = {key: change(dataset, key, value) for key, value in values.items()}
    except UnknownNameError as error:  # of a data set that has this file
        raise UsageError(**{**error.parts, "wanted": f"{error.parts['wanted']}, or {RANGE}"}) from error
    try:
        with_options(dataset, found)
    except OptionError as error:  # names that can't be, or don't go together
        raise placed(error, str(next(iter(values.values())).file)) from error
    return found


def say_used(dataset: Dataset, root: Path | None, there: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Say which options come from the data set's own file, once for a command, and which others win over it."""
    from ..api.options import option_text

    if not there or root is None:
        return
    used = [f"{key}={option_text(key, value)}" for key, value in there.items() if changes[key] == value]
    won = [key for key, value in there.items() if changes[key] != value]
    texts = [f"sets {', '.join(used) or 'nothing that counts'}"]
    texts += [f"its {' and '.join(won)} {'is' if len(won) == 1 else 'are'} overridden"] if won else []
    _say_once(f"{root / dataset.option_file} {'; '.join(texts)}.")


def _say_once(line: str) -> None:
    said = click.get_current_context().meta
    if line not in said.setdefault(OWN_FILES, []):
        said[OWN_FILES].append(line)
        say(line)
