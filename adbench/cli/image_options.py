"""The options of the command line about how images are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ..api.levels import Levels

Command = TypeVar("Command", bound=Callable[..., Any])


def range_option(default: str) -> Callable[[Command], Command]:
    """Add ``--range``, as ``Levels``; ``default`` says what holds without it."""
    return click.option(
        "--range", "levels", metavar="BLACK:WHITE", callback=_levels,
        help="Values of black and white in images of more than 8 bits, such as 0:4095; what lies beyond is clipped.  "
        f"[default: {default}]",
    )  # fmt: skip


def _levels(ctx: click.Context, option: click.Parameter, text: str | None) -> Levels | None:
    from ..api.levels import Levels

    return None if text is None else Levels.parse(text)
