"""A method's options: from text on the command line, from presets, and to JSON and back."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import OptionError, UnknownNameError
from .types import Method, Options, Preset, Range, Size, option_text

SMALLEST_SIZE = 32
"""Pixels; below that, a backbone's deepest level is less than one position."""

O = TypeVar("O", bound=Options)  # noqa: E741


def option_types(kind: type[Options]) -> dict[str, Any]:
    """Name and type of each option, with its range where it has one, in the order of declaration."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def option_meanings(kind: type[Options]) -> dict[str, str]:
    """What each option means: the text below it in its class, or in the class that it is redeclared from.

    An option without such a text has an empty one, and so has every option of a class whose source is not at hand.
    """
    found: dict[str, str] = {}
    for base in kind.__mro__:
        for name, text in _texts_below_fields(base).items():
            found.setdefault(name, text)
    return {key: found.get(key, "") for key in option_types(kind)}


def _texts_below_fields(kind: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError, SyntaxError):  # built-in, or made at run time
        return {}
    (node,) = tree.body
    found = {}
    for field, text in pairwise(node.body if isinstance(node, ast.ClassDef) else ()):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            value = text.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found[field.target.id] = " ".join(value.value.split())
    return found


def parse(kind: type[Options], key: str, text: str, *, owner: str) -> Any:
    """Turn the text of one option into its typed value.

    Raises:
        UnknownNameError: ``owner`` has no such option.
        OptionError: the text does not fit the option's type.
    """
    known = option_types(kind)
    if key not in known:
        raise UnknownNameError(f"option of {owner}", key, known, way_out=f"See adbench list methods {owner}")
    if key == "size" and "," in text and not text.strip().startswith(("(", "[")):
        # 128,256 reads as height and width and as two sizes
        raise OptionError(
            f"option {key} of {owner}", found=f"'{text}'", wanted=type_name(known[key]),
            way_out="For several sizes run once for each",
        )  # fmt: skip
    try:
        return _convert(known[key], text.strip())
    except ValueError as error:
        raise OptionError(f"option {key} of {owner}", found=f"'{text}'", wanted=type_name(known[key])) from error


def _convert(kind: Any, text: str) -> Any:
    """Convert text to a type; raises ValueError where it does not fit."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _within(kind, _convert(get_args(kind)[0], text))
    if origin in (Union, types.UnionType):
        if type(None) in get_args(kind) and text.lower() in ("none", ""):
            return None
        return _first_fit([each for each in get_args(kind) if each is not type(None)], text)
    if origin is Literal:
        fitting = [value for value in get_args(kind) if str(value).lower() == text.lower()]
        if not fitting:
            raise ValueError(text)
        return fitting[0]
    if origin is tuple:
        return _convert_tuple(get_args(kind), text)
    if kind is bool:
        return _convert_bool(text)
    if kind in (int, float, str):
        return _within(kind, kind(text))
    raise ValueError(f"no text for {kind}")


def _within(kind: Any, value: Any) -> Any:
    """Hand a value on; raises ValueError where it is out of its type's range."""
    if not _in_range(kind, value):
        raise ValueError(value)
    return value


def _first_fit(kinds: Iterable[Any], text: str) -> Any:
    for kind in kinds:
        try:
            return _convert(kind, text)
        except ValueError:
            continue
    raise ValueError(text)


def _convert_tuple(kinds: tuple[Any, ...], text: str) -> tuple[Any, ...]:
    words = [word for word in text.lower().replace("x", ",").strip("()[]").split(",") if word.strip()]
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_convert(kinds[0], word) for word in words)
    if len(words) == 1:  # "256" is a square
        words = words * len(kinds)
    if len(words) != len(kinds):
        raise ValueError(text)
    return tuple(_convert(kind, word) for kind, word in zip(kinds, words, strict=True))


def _convert_bool(text: str) -> bool:
    if text.lower() in ("true", "yes", "on", "1"):
        return True
    if text.lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError(text)


def _in_range(kind: Any, value: Any) -> bool:
    """Whether a value is in the range that its type asks for; of a tuple each, and every number finite."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *extras = get_args(kind)
        return _in_range(inner, value) and all(value in extra for extra in extras if isinstance(extra, Range))
    if origin in (Union, types.UnionType):
        return value is None or any(_in_range(each, value) for each in get_args(kind) if each is not type(None))
    if origin is tuple:
        kinds = get_args(kind)
        of_each = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        return all(_in_range(inner, item) for inner, item in zip(of_each, value, strict=False))
    return not isinstance(value, float) or value in Range()


def type_name(kind: Any) -> str:
    """Name an option's type for people: "a whole number", "HxW", "one of zeros, reflect"."""
    if kind == Size:
        return "HxW, such as 256x640, or one number for a square"
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *extras = get_args(kind)
        return ", ".join([type_name(inner), *(str(extra) for extra in extras if isinstance(extra, Range))])
    if origin is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if origin in (Union, types.UnionType):
        return " or ".join("none" if each is type(None) else type_name(each) for each in get_args(kind))
    if origin is tuple:
        return f"{type_name(get_args(kind)[0])} or several, separated by commas"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(kind, str(kind))


def resolve(method: Method, preset: str, overrides: Mapping[str, Any], dataset: str, class_name: str) -> Options:
    """The options of one task: the preset's, those of the class, and what the user changed.

    Raises:
        UnknownNameError: the method has no such preset.
        OptionError: values that no task can work with.
    """
    options = replace(find_preset(method, preset).resolve(dataset, class_name), **overrides)
    check(options, owner=method.name)
    return options


def find_preset(method: Method, preset: str) -> Preset:
    """Look a preset up. Raises ``UnknownNameError`` with the nearest name."""
    if preset not in method.presets:
        raise UnknownNameError(f"preset of {method.name}", preset, method.presets)
    return method.presets[preset]


def real_overrides(method: Method, preset: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what the preset says anyway, for every class, so that a variant has one name."""
    chosen = find_preset(method, preset)
    per_class = {key for changes in chosen.per_class.values() for key in changes}
    return {
        key: value
        for key, value in sorted(overrides.items())
        if key in per_class or getattr(chosen.options, key) != value
    }


def check(options: Options, *, owner: str) -> None:
    """Refuse values that no task can work with. Raises ``OptionError``."""
    if min(options.size) < SMALLEST_SIZE:
        found = "x".join(map(str, options.size))
        raise OptionError(f"option size of {owner}", found=found, wanted=f"at least {SMALLEST_SIZE} pixels each way")
    for key, kind in option_types(type(options)).items():
        value = getattr(options, key)
        if not _in_range(kind, value):
            raise OptionError(f"option {key} of {owner}", found=option_text(key, value), wanted=type_name(kind))


def to_json(options: Options) -> dict[str, Any]:
    """The options as JSON would hold them: tuples become lists."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(options).items()}


def from_json(kind: type[O], values: Mapping[str, Any], *, owner: str) -> O:
    """Take ``to_json``'s form back. Raises ``UnknownNameError`` and ``OptionError``."""
    known = option_types(kind)
    typed: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise UnknownNameError(f"option of {owner}", key, known)
        typed[key] = tuple(value) if isinstance(value, list) else value
    return kind(**typed)
