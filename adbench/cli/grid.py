"""``--grid``: lists of values after -o become one run for each combination of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..util.errors import OptionError, UsageError
from . import values

if TYPE_CHECKING:
    from ..api.method import Method
    from ..run.grid import Grid, Points


def expand(methods: Sequence[Method], changes: Sequence[str], short: Mapping[str, str | None], *, on: bool) -> Grid:
    """Parse the values of -o and of the short options; with ``on``, a list of values is one run for each.

    Values are separated by commas, and by semicolons where an option is a list itself or a value has a comma.

    Raises:
        UnknownNameError: no such option or method.
        OptionError: a value that doesn't fit, an option that is given twice, or a list without ``on``.
        UsageError: a grid without any list, or with too many combinations.
    """
    from ..run.grid import Grid

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
    from ..run.grid import MOST

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
    from ..run.grid import is_tuple

    owner, dot, key = name.rpartition(".")
    kinds = [option_types(method.options).get(key) for method in methods if not dot or method.name == owner]
    return any(map(is_tuple, kinds))
