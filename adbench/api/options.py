"""The options of a method: their types and ranges, from text and presets, to JSON and back."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from math import inf
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from ..util.errors import OptionError, UnknownNameError
from .data import Size

if TYPE_CHECKING:
    pass


def option_text(key: str, value: Any) -> str:
    """Write an option's value as it is given after -o: "256x640" for a size, "2,3" for other tuples."""
    if isinstance(value, (tuple, list)):
        return ("x" if key == "size" else ",").join(map(str, value))
    return str(value)


@dataclass(frozen=True)
class Range:
    """What numbers an option takes: from ``low`` (left out where ``above``) to ``high``.

    It stands in the option's type, as in ``lr: Annotated[float, Range(0, above=True)]``, and is checked
    wherever the value comes from. NaN and infinity are in no range.
    """

    low: float = -inf
    high: float = inf
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high and abs(value) < inf

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.above else f"from {self.low:g}"
        return f"{low} up" if self.high == inf else f"{low} to {self.high:g}"


Count = Annotated[int, Range(1)]
"""The type of an option that counts something: 1 or more."""

Positive = Annotated[float, Range(0, above=True)]
"""The type of an option such as a learning rate: any number above 0."""

Share = Annotated[float, Range(0, 1)]
"""The type of an option that is a part of something: from 0 to 1."""


@dataclass(frozen=True)
class Options:
    """What the engine must know of any method; a method's own options extend it.

    The text below an option says what it means: ``adbench list methods NAME`` shows it.
    """

    size: Size = (256, 256)
    """Height and width of the input in pixels."""

    resize: Literal["stretch", "crop"] = "stretch"
    """How an image gets to that size: stretch ignores the aspect ratio, crop fits the shorter side and cuts the centre
    out."""

    batch_size: Count = 8
    """Images in a batch, in training and in scoring."""

    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    """Precision of the heavy arithmetic: off is fp32, auto what the machine does well."""


@dataclass(frozen=True)
class BackboneOptions(Options):
    """Options of a method that looks through a frozen backbone."""

    backbone: str = "wide_resnet50_2"
    """The frozen network that features come from: see adbench list backbones."""

    layers: tuple[int, ...] = (1, 2, 3)
    """Levels of the backbone: 1 to 4 are its outputs at strides 4, 8, 16 and 32 (layer1 to layer4 of a ResNet)."""

    padding: Literal["zeros", "reflect"] = "zeros"
    """How the backbone's convolutions pad their input."""

    weights: str | None = None
    """A file with the backbone's state dict; none for the published ImageNet weights."""


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
        raise UnknownNameError(f"option of {owner}", key, known, hint=f"See adbench list methods {owner}")
    if key == "size" and "," in text and not text.strip().startswith(("(", "[")):
        # 128,256 reads as height and width and as two sizes
        raise OptionError(
            f"option {key} of {owner}", found=f"'{text}'", wanted=type_name(known[key]),
            hint="For several sizes run once for each",
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
