"""Grids: several values of options become one run for each combination of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from ..api.method import Method
from ..api.options import check_ranges, option_text, option_types, parse, type_name, typed
from ..util.errors import OptionError, UsageError
from ..util.toml_files import Value, described, unknown_key

MOST = 1000
"""Combinations of one command or of one method, at most: with more, a separator is in the wrong place."""

Points = dict[str, list[dict[str, Any]]]
"""The changes of each run, by method."""


@dataclass(frozen=True)
class Grid:
    """What is changed: the changes of each run by method, and the options with several values as texts.

    The names of these options have their method in front, as in "padim.dimensions", where only that one varies.
    """

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

    @property
    def parts(self) -> list[str]:
        """The options with their values, as after -o: "dimensions=50,100", or "layers=1,2;2,3" for lists."""
        return [
            f"{name}={(';' if any(',' in each for each in few) else ',').join(few)}"
            for name, few in self.varied.items()
        ]

    def text(self, tasks: int) -> str:
        """What ``--grid`` will train, in one line; ``tasks`` counts all classes and seeds."""
        sizes = " x ".join(str(len(few)) for few in self.varied.values())
        count = math.prod(map(len, self.varied.values()))
        what = f"{sizes} values" if len(self.varied) == 1 else f"{sizes} = {count} combinations"
        return f"--grid: {what} of {' and '.join(self.parts)}, {tasks} tasks."


def of_points(points: Points) -> Grid:
    """The grid of the changes of each run: which options vary, method by method."""
    varied: dict[str, list[str]] = {}
    for method, runs in points.items():
        for key in dict.fromkeys(key for run in runs for key in run):
            texts = dict.fromkeys(option_text(key, run[key]) if key in run else "preset's" for run in runs)
            if len(texts) > 1:
                varied[key if len(points) == 1 else f"{method}.{key}"] = list(texts)
    return Grid(points, varied)


def product(
    lists: Mapping[str, Sequence[Any]], under: Mapping[str, Any], over: Sequence[Mapping[str, Any]], where: str
) -> list[dict[str, Any]]:
    """The changes of each run of a method, each once.

    Args:
        lists: the values of each option.
        under: values of options that are in none of the others.
        over: changes that win; each becomes runs of its own.
        where: what the lists are, for messages.

    Raises:
        UsageError: too many combinations.
    """
    found: list[dict[str, Any]] = []
    for changes in over or [{}]:
        rest = {key: values for key, values in lists.items() if key not in changes}
        count = math.prod(map(len, rest.values()))
        if count > MOST:
            raise UsageError(where, found=f"{count} combinations", wanted=f"at most {MOST}")
        for chosen in itertools.product(*rest.values()):
            point = {**under, **dict(zip(rest, chosen, strict=True)), **changes}
            if point not in found:
                found.append(point)
    return found


def is_tuple(kind: Any) -> bool:
    """Whether one value of an option's type is a list or a size."""
    if get_origin(kind) in (Annotated, Union, UnionType):
        return any(map(is_tuple, get_args(kind)))
    return get_origin(kind) is tuple


def option_values(method: Method, key: str, value: Value) -> list[Any]:
    """The values of an option in a run file: one, or those of a list, each once and as after -o.

    Where one value is a list itself, several are a list of lists or of texts.

    Raises:
        UsageError: the method has no such option.
        OptionError: a value that doesn't fit the option.
    """
    known = option_types(method.options)
    if key not in known:
        raise unknown_key(value, key, known)
    found = []
    for each in _items(known[key], value):
        one = _value(method, key, each)
        if one not in found:
            found.append(one)
    return found


def _items(kind: Any, value: Value) -> list[Value]:
    if not isinstance(value.value, list):
        return [value]
    if is_tuple(kind):
        several = value.value and all(isinstance(each, (list, str)) for each in value.value)
        return value.items("a list of lists") if several else [value]
    return value.items(f"{type_name(kind)}, or several in a list")


def _value(method: Method, key: str, value: Value) -> Any:
    """One value, by way of its text: so that it is the same as after -o, with the same name of the run."""
    kind, given = option_types(method.options)[key], value.value
    try:
        if isinstance(given, str) and _takes_text(kind):
            text = given
        elif is_tuple(kind) and isinstance(given, int) and not isinstance(given, bool):
            text = str(given)  # 256 is a square
        else:
            text = option_text(key, typed(method.options, {key: given}, method.name)[key])
        found = parse(method.options, key, text, owner=method.name)
        if key == "weights" and isinstance(found, str):
            found = str(value.file.parent / found)
        check_ranges(replace(next(iter(method.presets.values())).options, **{key: found}), owner=method.name)
    except (OptionError, ValueError) as error:  # Python refuses to write out very long numbers
        wanted = type_name(kind)
        if is_tuple(kind) and isinstance(given, list):
            wanted += ", as a list; a grid is a list of lists"
        hint = error.parts["hint"] if isinstance(error, OptionError) else ""
        raise OptionError(value.where, found=described(given), wanted=wanted, hint=hint) from error
    return found


def _takes_text(kind: Any) -> bool:
    """Whether a value may be a text in a run file: not where it is a number, or true or false."""
    if get_origin(kind) is Annotated:
        return _takes_text(get_args(kind)[0])
    return kind not in (int, float, bool)
