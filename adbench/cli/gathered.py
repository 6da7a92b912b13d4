"""Options that a command gets as one argument: a dataclass whose fields have the options' names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any, TypeVar, cast

Command = TypeVar("Command", bound=Callable[..., Any])


def gathered(name: str, kind: type[Any]) -> Callable[[Command], Command]:
    """Hand the options named as the fields of a dataclass to a command as one argument.

    Args:
        name: of the argument.
        kind: the dataclass.
    """
    options = [field.name for field in fields(kind)]

    def gather(command: Command) -> Command:
        @wraps(command)
        def call(**given: Any) -> Any:
            own = kind(**{option: given.pop(option) for option in options})
            return command(**given, **{name: own})

        return cast(Command, call)

    return gather


@dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """The options that choose and change a method's, as texts of the command line; None where one isn't given.

    ``changes`` are those of ``-o``, and ``auxiliary`` those of ``--aux``; the others are short for changes.
    """

    preset: str
    changes: Sequence[str]
    auxiliary: Sequence[str]
    backbone: str | None
    weights: str | None
    size: str | None
    tile: str | None
    overlap: str | None
    amp: str | None

    @property
    def short(self) -> dict[str, str | None]:
        """The options that are short for changes, by the option of the method that each changes."""
        return {name: getattr(self, name) for name in ("backbone", "weights", "size", "tile", "overlap", "amp")}
