"""Converts records to JSON and back, exactly: nested dataclasses, tuples, None and every bit of a float."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

R = TypeVar("R")

_PLAIN: dict[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float), bool: (bool,)}

_TYPE_NAMES: dict[Any, str] = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object", list: "a list",
}  # fmt: skip


def to_text(record: Any) -> str:
    """Write a dataclass as readable JSON.

    A number that is not finite becomes null, and text ("inf") inside a mapping, where null means None.
    """
    return json.dumps(_encode(record), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def from_text(kind: type[R], text: str) -> R:
    """Read the text of ``to_text``; fields that ``kind`` does not have are ignored.

    A null in place of a number becomes NaN. Lists inside a mapping stay lists.

    Raises:
        ValueError: not JSON, or a field that is missing or of another type; the message names it.
    """
    return from_content(kind, json.loads(text))


def from_content(kind: type[R], content: Any) -> R:
    """Like ``from_text``, with the JSON as Python's lists, dictionaries, texts and numbers."""
    return cast(R, _decode(kind, content, kind.__name__))


def canonical(value: Any) -> str:
    """The canonical JSON text of a value, the same on every machine: for digests, not for reading."""
    return json.dumps(_whole(_encode(value)), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _encode(value: Any, in_mapping: bool = False) -> Any:
    if is_dataclass(value):
        return {field.name: _encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _encode(each, in_mapping=True) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(each, in_mapping) for each in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else (str(float(value)) if in_mapping else None)
    if value is None or isinstance(value, (str, int)):
        return value
    # A NumPy number is a number. For the rest, text is better than losing a day's run at its end.
    return _encode(value.item(), in_mapping) if hasattr(value, "item") else str(value)


def _whole(value: Any) -> Any:
    """Write 2.0 as 2, since they are the same to a method."""
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _decode(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        inner = [each for each in arguments if each is not type(None)]
        return None if value is None else _decode_first_fit(inner, value, where)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where} is {value!r}, wanted one of {', '.join(map(str, arguments))}")
        return value
    if is_dataclass(kind):
        return _decode_record(kind, value, where)
    if origin is tuple:
        return _decode_tuple(arguments, value, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        _check(value, (dict,), where, "an object")
        return {key: _decode(arguments[1], each, f"{where}.{key}") for key, each in value.items()}
    if kind is float and value is None:
        return math.nan
    _check(value, _PLAIN[kind], where, _TYPE_NAMES[kind])
    return kind(value)


def _decode_first_fit(kinds: list[Any], value: Any, where: str) -> Any:
    for kind in kinds[:-1]:
        try:
            return _decode(kind, value, where)
        except ValueError:
            continue
    return _decode(kinds[-1], value, where)


def _decode_record(kind: Any, value: Any, where: str) -> Any:
    _check(value, (dict,), where, "an object")
    hints = _hints(kind)
    required = [field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING]
    missing = [name for name in required if name not in value]
    if missing:
        raise ValueError(f"{where} has no field '{missing[0]}'")
    found = {name: hint for name, hint in hints.items() if name in value}  # older files lack newer fields
    return kind(**{name: _decode(hint, value[name], f"{where}.{name}") for name, hint in found.items()})


def _decode_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    _check(value, (list,), where, "a list")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{where} has {len(value)} entries, wanted {len(kinds)}")
    return tuple(_decode(kind, each, where) for kind, each in zip(kinds, value, strict=True))


def _check(value: Any, wanted: tuple[type, ...], where: str, name: str) -> None:
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        raise ValueError(f"{where} is {_json_type(value)}, wanted {name}")


def _json_type(value: Any) -> str:
    """A value's type in the words of JSON."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return _TYPE_NAMES[type(value)]


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
