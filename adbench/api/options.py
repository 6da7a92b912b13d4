"""The options of a method: their types and ranges, and their conversion from text and JSON."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from math import inf
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ..util.errors import OptionError, UnknownNameError
from .data import Size


def option_text(key: str, value: Any) -> str:
    """Format an option's value as after -o: "256x640" for a size, "2,3" for other tuples, "none", "true"."""
    if isinstance(value, (tuple, list)):
        return ("x" if key in SIZES else ",").join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


SIZES = ("size", "resize_to", "tile")
"""Options that are a height and a width."""

LATER: Mapping[str, Any] = {"resize_to": None, "interpolation": "lanczos", "tile": None, "overlap": 0}
"""Options that adbench 0.1 did not have, with its implicit values, which results without them have."""


@dataclass(frozen=True)
class Range:
    """The numbers that an option takes: from ``low`` (excluded with ``above``) to ``high``.

    It is part of the option's type, as in ``lr: Annotated[float, Range(0, above=True)]``, and is checked for values
    from any source. NaN and infinity are in no range.
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
"""The type of an option that counts: 1 or more."""

Positive = Annotated[float, Range(0, above=True)]
"""The type of an option such as a learning rate: any number above 0."""

Share = Annotated[float, Range(0, 1)]
"""The type of an option that is a share: from 0 to 1."""


Resize = Literal["stretch", "crop"]

Interpolation = Literal["lanczos", "bicubic", "bilinear", "nearest", "bilinear-aliased"]


@dataclass(frozen=True)
class Options:
    """The options of every method; a method's own options extend them.

    The text below an option gives its meaning, which ``adbench list methods NAME`` shows.
    """

    size: Size = (256, 256)
    """Height and width of the input in pixels."""

    resize: Resize = "stretch"
    """How an image is resized to it: stretch ignores the aspect ratio, crop fits the shorter side and cuts the centre
    out."""

    resize_to: Size | None = None
    """Height and width to which an image is resized before its centre of the input's size is cut out: stretched to
    them, or covering them with crop; none for the input's size."""

    interpolation: Interpolation = "lanczos"
    """How pixels of the resized image are computed. All but nearest and bilinear-aliased use all pixels where the image
    shrinks, as Pillow does; bilinear-aliased uses the four nearest pixels, as OpenCV does."""

    batch_size: Count = 8
    """Images in a batch, in training and in scoring."""

    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    """Precision of the heavy arithmetic: off is fp32, auto the fastest that the machine has in hardware."""

    tile: Size | None = None
    """Height and width of tiles that images are cut into, each an image to the method; none for whole images. They are
    cut out of the image's own pixels, or out of what a size that is given beside makes of it."""

    overlap: Annotated[int, Range(0)] = 0
    """Pixels that neighbouring tiles have in common."""


@dataclass(frozen=True)
class BackboneOptions(Options):
    """Options of a method with a frozen backbone."""

    backbone: str = "wide_resnet50_2"
    """The frozen network that computes the features: see adbench list backbones."""

    layers: tuple[int, ...] = (1, 2, 3)
    """Levels of the backbone: 1 to 4 are its outputs at strides 4, 8, 16 and 32 (layer1 to layer4 of a ResNet). Of a
    vision transformer (timm:vit_...) they are its blocks, from 1."""

    padding: Literal["zeros", "reflect"] = "zeros"
    """How the backbone's convolutions pad their input."""

    weights: str | None = None
    """A file with the backbone's state dict; none for the published ImageNet weights."""


SMALLEST_SIZE = 32
"""Pixels; with fewer, a backbone's deepest level has less than one position."""

LARGEST_TILE = 4096
"""Pixels of a side: larger tiles would save no memory."""

O = TypeVar("O", bound=Options)  # noqa: E741


def option_types(kind: type[Any]) -> dict[str, Any]:
    """Name and type of each option, with its range if it has one, in the order of declaration.

    A class that redeclares an inherited option without a range, for another default, keeps the inherited range.
    """
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if is_dataclass(base):
            hints = get_type_hints(base, include_extras=True)
            found = {each.name: _with_range_of(found.get(each.name), hints[each.name]) for each in fields(base)}
    return found


def _with_range_of(inherited: Any, own: Any) -> Any:
    """Give a type the range of the type that it replaces, unless it has its own or is not for numbers."""
    if get_origin(inherited) is tuple and get_origin(own) is tuple and len(get_args(inherited)) == len(get_args(own)):
        return tuple[tuple(map(_with_range_of, get_args(inherited), get_args(own)))]  # type: ignore[misc]
    ranges = _ranges(inherited)
    if not ranges or _ranges(own) or not _is_numeric(own):
        return own
    for each in ranges:
        own = Annotated[own, each]
    return own


def _ranges(kind: Any) -> list[Range]:
    """The ranges of a type, which may also allow None."""
    if get_origin(kind) is Annotated:
        inner, *extras = get_args(kind)
        return [extra for extra in extras if isinstance(extra, Range)] or _ranges(inner)
    if get_origin(kind) in (Union, types.UnionType):
        return [each for inner in get_args(kind) for each in _ranges(inner)]
    return []


def _is_numeric(kind: Any) -> bool:
    """Whether every value of a type is a number or None."""
    if get_origin(kind) is Annotated:
        return _is_numeric(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return all(map(_is_numeric, get_args(kind)))
    if get_origin(kind) is Literal:
        return all(isinstance(value, (int, float)) for value in get_args(kind))
    return kind in (int, float, type(None))


def parse(kind: type[Any], key: str, text: str, *, owner: str) -> Any:
    """Parse the text of one option.

    Raises:
        UnknownNameError: ``owner`` has no such option.
        OptionError: the text does not fit the option's type.
    """
    known = option_types(kind)
    if key not in known:
        raise UnknownNameError(f"option of {owner}", key, known, hint=f"See adbench list methods {owner}")
    if key in SIZES and "," in text and not text.strip().startswith(("(", "[")):
        # 128,256 reads as height and width and as two sizes
        raise OptionError(
            f"option {key} of {owner}", found=f"'{text}'", wanted=type_name(known[key]),
            hint="For several sizes run once for each, or with --grid and ';' between them",
        )  # fmt: skip
    try:
        return _convert(known[key], text.strip())
    except ValueError as error:
        raise OptionError(f"option {key} of {owner}", found=f"'{text}'", wanted=type_name(known[key])) from error


def _convert(kind: Any, text: str) -> Any:
    """Convert text to a type. Raises ``ValueError`` if it does not fit."""
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
    """Return a value. Raises ``ValueError`` if it is out of its type's range."""
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
    of_any_length = len(kinds) == 2 and kinds[1] is Ellipsis
    is_size = not of_any_length and all(map(_is_numeric, kinds))
    if is_size:
        text = text.lower().replace("x", ",")  # 256x640
    if text[:1] + text[-1:] in ("()", "[]"):
        text = text[1:-1].strip().removesuffix(",")  # Python writes (8,)
    words = text.split(",") if text else []
    if of_any_length:
        return tuple(_convert(kinds[0], word) for word in _filled(words))
    if is_size and len(words) == 1:  # "256" is a square
        words = words * len(kinds)
    if len(words) != len(kinds):
        raise ValueError(text)
    return tuple(_convert(kind, word) for kind, word in zip(kinds, _filled(words), strict=True))


def _filled(words: Sequence[str]) -> list[str]:
    """Strip words. Raises ``ValueError`` if one is empty: 64x is no square, but a side is missing."""
    stripped = [word.strip() for word in words]
    if not all(stripped):
        raise ValueError("an empty part")
    return stripped


def _convert_bool(text: str) -> bool:
    if text.lower() in ("true", "yes", "on", "1"):
        return True
    if text.lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError(text)


def _in_range(kind: Any, value: Any) -> bool:
    """Whether a value is finite and in its type's range; for a tuple, whether each of its values is."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *extras = get_args(kind)
        if value is None:
            return _in_range(inner, value)
        return _in_range(inner, value) and all(value in extra for extra in extras if isinstance(extra, Range))
    if origin in (Union, types.UnionType):
        return value is None or any(_in_range(each, value) for each in get_args(kind) if each is not type(None))
    if origin is tuple:
        kinds = get_args(kind)
        of_each = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        return all(_in_range(inner, item) for inner, item in zip(of_each, value, strict=False))
    return not isinstance(value, float) or value in Range()


def type_name(kind: Any) -> str:
    """Describe an option's type: "a whole number", "HxW", "one of zeros, reflect"."""
    if kind == Size:
        return "HxW, such as 256x640, or one number for a square"
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *extras = get_args(kind)
        return ", ".join([type_name(inner), *(str(extra) for extra in extras if isinstance(extra, Range))])
    if origin is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if origin in (Union, types.UnionType):
        names = ["none" if each is type(None) else type_name(each) for each in get_args(kind)]
        return (", or " if any("," in name for name in names) else " or ").join(names)
    if origin is tuple:
        return f"{type_name(get_args(kind)[0])} or several, separated by commas"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}.get(kind, str(kind))


def naming(options: Options) -> dict[str, Any]:
    """The options in names of runs: without those of ``LATER`` that have the values of adbench 0.1."""
    return {key: value for key, value in asdict(options).items() if key not in LATER or LATER[key] != value}


def check(options: Options, *, owner: str) -> None:
    """Refuse values that no task can use. Raises ``OptionError``."""
    if min(options.size) < SMALLEST_SIZE:
        found = "x".join(map(str, options.size))
        key = "size" if options.tile is None else "tile"
        raise OptionError(f"option {key} of {owner}", found=found, wanted=f"at least {SMALLEST_SIZE} pixels each way")
    _check_tiles(options, owner)
    whole = options.resize_to if options.tile is None else None
    if whole is not None and (whole[0] < options.size[0] or whole[1] < options.size[1]):
        wanted = f"at least the size, {option_text('size', options.size)}, which is cut out of it"
        hint = "-o resize_to=none resizes the whole image to the size"
        found = option_text("resize_to", whole)
        raise OptionError(f"option resize_to of {owner}", found=found, wanted=wanted, hint=hint)
    check_ranges(options, owner=owner)


def _check_tiles(options: Options, owner: str) -> None:
    tile = options.tile
    if tile is None:
        if options.overlap > 0:
            hint = "Give --tile HxW as well"
            raise OptionError(f"option overlap of {owner}", found=f"{options.overlap}, but no tile", hint=hint)
        return
    text = option_text("tile", tile)
    if max(tile) > LARGEST_TILE:
        raise OptionError(f"option tile of {owner}", found=text, wanted=f"at most {LARGEST_TILE} pixels each way")
    if options.overlap >= min(tile):
        wanted = f"less than the tile, {text}"
        raise OptionError(f"option overlap of {owner}", found=str(options.overlap), wanted=wanted)
    whole = options.resize_to or tile
    if options.size != tile or whole[0] < tile[0] or whole[1] < tile[1]:
        size = option_text("size", options.size if options.size != tile else whole)
        raise OptionError(f"option size of {owner}", found=size, wanted=f"at least the tile, {text}")


def check_ranges(options: Any, *, owner: str) -> None:
    """Refuse values of a method's or a data set's options that are out of their ranges. Raises ``OptionError``."""
    for key, kind in option_types(type(options)).items():
        value = getattr(options, key)
        if not _in_range(kind, value):
            raise OptionError(f"option {key} of {owner}", found=option_text(key, value), wanted=type_name(kind))


def _is_of(kind: Any, value: Any) -> bool:
    """Whether a value has an option's type, whatever its range; True for types that options don't have."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _is_of(get_args(kind)[0], value)
    if origin in (Union, types.UnionType):
        return any(_is_of(each, value) for each in get_args(kind))
    if origin is Literal:
        return any(value == each and type(value) is type(each) for each in get_args(kind))
    if origin is tuple:
        kinds = get_args(kind)
        if not isinstance(value, tuple):
            return False
        if kinds[-1] is Ellipsis:
            return all(_is_of(kinds[0], item) for item in value)
        return len(value) == len(kinds) and all(map(_is_of, kinds, value))
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind) if kind in (bool, str, type(None)) else True


def to_json(options: Any) -> dict[str, Any]:
    """Convert options of a method or of a data set to JSON's types: tuples become lists."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(options).items()}


def from_json(kind: type[O], values: Mapping[str, Any], *, owner: str) -> O:
    """Make options from JSON's types, and check them.

    Raises:
        UnknownNameError: ``owner`` has no such option.
        OptionError: a value of another type, or out of its range.
    """
    later = {key: value for key, value in LATER.items() if key not in values}
    check(options := kind(**later, **typed(kind, values, owner)), owner=owner)
    return options


def typed(kind: type[Any], values: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Turn JSON's types into those of the options of ``kind``. Raises the errors of ``from_json`` but for ranges."""
    known, found = option_types(kind), dict[str, Any]()
    for key, value in values.items():
        if key not in known:
            raise UnknownNameError(f"option of {owner}", key, known)
        found[key] = tuple(value) if isinstance(value, list) else value
        if not _is_of(known[key], found[key]):
            text = f"'{value}'" if isinstance(value, str) else str(value)
            raise OptionError(f"option {key} of {owner}", found=text, wanted=type_name(known[key]))
    return found
