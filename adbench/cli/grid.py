"""``--grid``: lists of values after -o become one run for each combination of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from ..util.errors import OptionError, UsageError
from . import values

if TYPE_CHECKING:
    from ..api.method import Method

MOST = 1000
"""Combinations of one command, at most: with more, a separator is in the wrong place."""

Points = dict[str, list[dict[str, Any]]]
"""The changes of each run, by method."""


@dataclass(frozen=True)
class Grid:
    """What a command changes: the changes of each run by method, and the options with several values as typed."""

    points: Points
    varied: Mapping[str, Sequence[str]]

    @property
    def options(self) -> list[str]:
        """The names of the options with several values, without their methods."""
        return list(dict.fromkeys(name.rpartition(".")[2] for name in self.varied))

    @property
    def first(self) -> dict[str, dict[str, Any]]:
        """The changes of the first run of each method."""
        return {method: points[0] for method, points in self.points.items()}

    def text(self, tasks: int) -> str:
        """What will be trained, in one line; ``tasks`` counts all classes and seeds."""
        parts = [f"{name}={(';' if any(',' in each for each in few) else ',').join(few)}" for name, few in
                 self.varied.items()]  # fmt: skip
        sizes = " x ".join(str(len(few)) for few in self.varied.values())
        count = math.prod(map(len, self.varied.values()))
        what = f"{sizes} values" if len(self.varied) == 1 else f"{sizes} = {count} combinations"
        return f"--grid: {what} of {' and '.join(parts)}, {tasks} tasks."


def expand(methods: Sequence[Method], changes: Sequence[str], short: Mapping[str, str | None], *, on: bool) -> Grid:
    """Parse the values of -o and of the short options; with ``on``, a list of values is one run for each.

    Values are separated by commas, and by semicolons where an option is a list itself or a value has a comma.

    Raises:
        UnknownNameError: no such option or method.
        OptionError: a value that doesn't fit, an option that is given twice, or a list without ``on``.
        UsageError: a grid without any list, or with too many combinations.
    """
    if not on:
        return Grid({name: [each] for name, each in _single(methods, changes, short).items()}, {})
    lists: dict[str, list[str]] = {}
    for key, text in short.items():
        if text is not None:
            lists[key] = _texts(methods, f"--{key}", key, text)
    given = list(lists)
    for change in changes:
        name, found, text = change.partition("=")
        if not found:
            raise OptionError(f"-o {change}", found="no '='", wanted="KEY=VALUE")
        if name in lists:
            raise OptionError(f"-o {name}", found="it twice", wanted=f"one list, {name}={','.join(lists[name])},...")
        lists[name] = _texts(methods, f"-o {name}", name, text)
    varied = {name: texts for name, texts in lists.items() if len(texts) > 1}
    _require_some(varied)
    points: Points = {method.name: [] for method in methods}
    for chosen in itertools.product(*lists.values()):
        texts = dict(zip(lists, chosen, strict=True))
        own = [f"{name}={text}" for name, text in texts.items() if name not in given]
        for method, point in values.overrides(methods, own, {key: texts[key] for key in given}).items():
            if point not in points[method]:  # an option of another method
                points[method].append(point)
    return Grid(points, varied)


def _single(
    methods: Sequence[Method], changes: Sequence[str], short: Mapping[str, str | None]
) -> dict[str, dict[str, Any]]:
    try:
        return values.overrides(methods, changes, short)
    except OptionError as error:
        if error.parts["hint"] or not {",", ";"} & set(error.parts["found"]):
            raise
        raise OptionError(**{**error.parts, "hint": "For one run with each of several values add --grid"}) from error


def _require_some(varied: Mapping[str, Sequence[str]]) -> None:
    """Refuse a grid that is none, or that is not meant."""
    if not varied:
        raise UsageError(
            "--grid", found="no option with several values", wanted="a list such as -o KEY=1,2",
            hint="Separate values that are lists themselves by semicolons: -o 'KEY=1,2;2,3'",
        )  # fmt: skip
    count = math.prod(map(len, varied.values()))
    if count > MOST:
        raise UsageError("--grid", found=f"{count} combinations", wanted=f"at most {MOST}")


def _texts(methods: Sequence[Method], thing: str, name: str, text: str) -> list[str]:
    """The values in a text, each once."""
    separator = ";" if ";" in text or _is_list(methods, name) else ","
    words = [word.strip() for word in text.split(separator)]
    if len(words) > 1 and not all(words):
        raise OptionError(thing, found=f"an empty value in '{text}'", wanted=f"values separated by '{separator}'")
    return list(dict.fromkeys(words))


def _is_list(methods: Sequence[Method], name: str) -> bool:
    """Whether any method takes a list or a size as one value of the option."""
    from ..api.options import option_types

    owner, dot, key = name.rpartition(".")
    kinds = [option_types(method.options).get(key) for method in methods if not dot or method.name == owner]
    return any(map(_is_tuple, kinds))


def _is_tuple(kind: Any) -> bool:
    if get_origin(kind) in (Annotated, Union, UnionType):
        return any(map(_is_tuple, get_args(kind)))
    return get_origin(kind) is tuple
