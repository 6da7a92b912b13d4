"""Options of commands as keys of files: run files and adbench.toml name them as the command line does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..util.toml_files import Value

PAIRS = ("KEY=VALUE", "NAME=PATH")
"""How the help shows options that are a table in a file."""

FILES = ("weights",)
"""Options whose text is a path, though it may also be the word "none"."""


def keys_of(command: click.Command) -> dict[str, click.Option]:
    """The options of a command that a file may set, by key: the long option with "_" for "-"."""
    found = {}
    for option in command.params:
        if isinstance(option, click.Option) and not option.is_eager and not option.hidden:
            name = next((name for name in option.opts if name.startswith("--")), "")
            if name:
                found[name.removeprefix("--").replace("-", "_")] = option
    return found


def is_flag(option: click.Option) -> bool:
    """Whether an option is true or false."""
    return option.is_flag and isinstance(option.type, click.types.BoolParamType)


def wanted(kind: click.ParamType[Any]) -> str:
    """The values that an option of click takes."""
    if isinstance(kind, click.Choice):
        return f"one of {', '.join(map(str, kind.choices))}"
    text = "a whole number" if isinstance(kind, click.types.IntParamType) else "a number"
    if not isinstance(kind, (click.IntRange, click.FloatRange)) or kind.min is None:
        return text
    return f"{text} from {kind.min:g} up" if kind.max is None else f"{text} from {kind.min} to {kind.max}"


def default_for(option: click.Option, value: Value) -> Any:
    """A value of a file, as click takes defaults for an option.

    Raises:
        OptionError: it doesn't fit the option.
    """
    if is_flag(option):
        return value.flag()
    if option.metavar in PAIRS and isinstance(value.value, Mapping):
        return list(_pairs(option, value))
    several = option.multiple or _is_text(option)
    items = value.items(_wanted(option)) if several else [value]
    found = [_one(option, each) for each in items]
    if option.multiple:
        return found
    return found[0] if len(found) == 1 else ",".join(map(str, found))


def _pairs(option: click.Option, value: Value) -> Iterator[str]:
    """The texts NAME=VALUE of a table."""
    for name, each in value.table().items():
        if option.metavar == "NAME=PATH":
            yield f"{name}={each.path()}"
        elif isinstance(each.value, list):
            yield f"{name}={','.join(map(text_of, each.items('a value')))}"
        else:
            yield f"{name}={text_of(each)}"


def _one(option: click.Option, value: Value) -> Any:
    kind = option.type
    if isinstance(kind, click.Path) or (option.name in FILES and value.value != "none"):
        return str(value.path())
    if isinstance(kind, (click.types.IntParamType, click.types.FloatParamType)):
        whole = isinstance(kind, click.types.IntParamType)
        if isinstance(value.value, bool) or not isinstance(value.value, int if whole else (int, float)):
            value.refuse(wanted(kind))
    elif isinstance(kind, click.Choice):
        value.text(wanted(kind))
    else:
        return text_of(value)
    try:
        kind.convert(value.value, None, None)
    except (click.BadParameter, OverflowError):
        value.refuse(wanted(kind))
    return value.value


def text_of(value: Value) -> str:
    """A text or number as after an option."""
    if isinstance(value.value, bool):
        return str(value.value).lower()
    if isinstance(value.value, (int, float)):
        return repr(value.value)
    return value.text("a text or a number")


def _is_text(option: click.Option) -> bool:
    """Whether an option takes any text: its commas stand for a list."""
    return not isinstance(option.type, (click.Choice, click.Path, click.types.IntParamType, click.types.FloatParamType))


def _wanted(option: click.Option) -> str:
    return "a value, or several in a list" if _is_text(option) else wanted(option.type)


# ---------------------------------------------------------------- for editors


def schema_of(option: click.Option) -> dict[str, Any]:
    """What an editor needs to know of an option's values, as JSON schema."""
    found = _schema_of_values(option)
    meaning = " ".join((option.help or "").split())
    return {**found, "description": meaning} if meaning else found


def _schema_of_values(option: click.Option) -> dict[str, Any]:
    kind = option.type
    if is_flag(option):
        return {"type": "boolean"}
    if isinstance(kind, click.Choice):
        one: dict[str, Any] = {"enum": list(map(str, kind.choices))}
    elif isinstance(kind, (click.types.IntParamType, click.types.FloatParamType)):
        one = {"type": "integer" if isinstance(kind, click.types.IntParamType) else "number"}
        if isinstance(kind, (click.IntRange, click.FloatRange)):
            bounds = {"minimum": kind.min, "maximum": kind.max}
            one |= {name: bound for name, bound in bounds.items() if bound is not None}
    else:
        one = {"type": "string"} if isinstance(kind, click.Path) else {"type": ["string", "number"]}
    if option.metavar in PAIRS:
        return {"type": "object"}
    if option.multiple or (_is_text(option) and "[," in (option.metavar or "")):
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
    return one
