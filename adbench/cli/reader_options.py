"""The options of the command line that say how a data set is read, and what counts as a defect in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

DATA_OPTION = "--data-option"

READER_CHANGES = "adbench.reader_changes"
"""Key in click's contexts for these options."""


def reader_options() -> Sequence[Callable[[Command], Command]]:
    """The options of data sets and their readers."""
    return (
        _reader_option("--good", "NAME[,NAME]", "Folders of good images, or patterns such as 'ok_*'.  [default: good]"),
        _reader_option("--bad", "NAME[,NAME]", "Folders of defective images beside them, or patterns.  [default: bad]"),
        _reader_option("--test-share", "SHARE", "Part of the good images to test on, without a split.  [default: 0.3]"),
        _reader_option("--mask-rule", "RULE", "What masks mark: nonzero, above:N of 255, inverted or alpha.  "
                       "[default: auto, above half or exact labels]"),
        _reader_option("--min-defect-area", "N", "Leave regions of fewer pixels out of metrics of pixels."),
        _reader_option("--ignore-mask", "PATH", "An image that marks pixels to leave out of metrics of pixels, or a "
                       "folder with CLASS.png.", click.Path()),
        _reader_option(DATA_OPTION, "KEY=VALUE", "Change an option of the data set's reader: see adbench list datasets "
                       "NAME."),
    )  # fmt: skip


def _reader_option(
    flag: str, metavar: str, help_: str, kind: click.ParamType[Any] | None = None
) -> Callable[[Command], Command]:
    """Add an option of data sets' readers; ``reader_changes`` returns what was given."""

    def remember(ctx: click.Context, option: click.Parameter, texts: Sequence[str]) -> None:
        key = "" if flag == DATA_OPTION else flag.removeprefix("--").replace("-", "_")
        ctx.meta.setdefault(READER_CHANGES, []).extend((flag, key, text) for text in texts)

    return click.option(
        flag, multiple=True, metavar=metavar, type=kind, expose_value=False, callback=remember, help=help_
    )  # fmt: skip


def reader_changes(context: click.Context) -> list[tuple[str, str, str]]:
    """What was given for the data set's reader: the flag, the option's key ("" if the text has it) and the text."""
    return list(context.meta.get(READER_CHANGES, ()))


def read_by(command: Command) -> Command:
    """Add the options of data sets' readers."""
    for option in reversed(reader_options()):  # --help shows the last one applied first
        command = option(command)
    return command
