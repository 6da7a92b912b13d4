"""Grids: the values of options in run files, and their combinations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_method import adbench_methods

from adbench import Method
from adbench.api.options import BackboneOptions, option_text, parse
from adbench.run import grid
from adbench.util.errors import UsageError
from adbench.util.toml_files import Value

TINY = adbench_methods()[0]
LAYERED = Method("layered", "has a list as option", lambda options, context: None, BackboneOptions)


def values(key: str, value: Any, method: Method = LAYERED) -> list[Any]:
    return grid.option_values(method, key, Value(Path("sub/s.toml"), f"methods[0].options.{key}", value))


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("batch_size", 4, [4]),
        ("batch_size", [4, 8, 4], [4, 8]),
        ("layers", [1, 2], [(1, 2)]),
        ("layers", [[1, 2], [2, 3]], [(1, 2), (2, 3)]),
        ("layers", ["1,2", "3"], [(1, 2), (3,)]),
        ("layers", 2, [(2,)]),
        ("size", 64, [(64, 64)]),
        ("size", [64, 96], [(64, 96)]),
        ("size", "64x96", [(64, 96)]),
        ("size", [[64, 64], [96, 96]], [(64, 64), (96, 96)]),
        ("resize_to", "none", [None]),
        ("amp", ["off", "bf16"], ["off", "bf16"]),
        ("weights", ["none", "w.pt"], [None, str(Path("sub/w.pt"))]),
    ],
)
def test_a_list_is_a_grid_and_for_lists_a_list_of_lists(key, value, wanted):
    """A scalar is one value; a flat list of an option that is a list itself is one value as well."""
    assert values(key, value) == wanted


@settings(max_examples=50)
@given(st.integers(-50, 50) | st.floats(0, 1e6, exclude_min=True))
def test_a_value_is_the_same_as_after_o(value):
    """So the run has the same name: a whole number for an option with fractions becomes one."""
    assert repr(values("lr", value, TINY)) == repr([parse(TINY.options, "lr", option_text("lr", value), owner="tiny")])


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("layer", 1, "s.toml: methods[0].options.layer: found an unknown key, wanted one of"),
        ("batch_size", 0, "options.batch_size: found 0, wanted a whole number, from 1 up."),
        ("batch_size", [4, "many"], "options.batch_size[1]: found 'many', wanted a whole number, from 1 up."),
        ("batch_size", True, "found true"),
        ("batch_size", 1.5, "found 1.5"),
        ("batch_size", [], "found an empty list"),
        ("batch_size", [[4, 8]], "options.batch_size[0]: found [4, 8]"),
        ("batch_size", {"a": 1}, "found a table"),
        ("layers", [[1, 2], 3], "as a list; a grid is a list of lists."),
        ("layers", ["a"], "options.layers[0]: found 'a'"),
        ("amp", "int8", "found 'int8', wanted one of auto, off, bf16, fp16"),
        ("size", [64, 96, 128], "found [64, 96, 128], wanted HxW"),
    ],
)
def test_a_value_that_doesnt_fit_is_named_by_its_key(key, value, said):
    """The message has file and key, what was found and what was wanted."""
    with pytest.raises(UsageError, match=re.escape(said)):
        values(key, value)


def test_numbers_that_are_none_are_refused():
    """NaN, infinity and numbers too long for Python's text are no values."""
    for value in (float("nan"), float("inf"), 10**5000):
        with pytest.raises(UsageError, match="wanted a number"):
            values("lr", value, TINY)


def test_changes_that_win_replace_lists_and_others_come_under_them():
    """A changed option varies no more; defaults count where nothing else says anything."""
    found = grid.product({"a": [1, 2], "b": [3, 4]}, {"c": 5, "b": 9}, [{"a": 7}], "s.toml")
    assert found == [{"c": 5, "b": 3, "a": 7}, {"c": 5, "b": 4, "a": 7}]


def test_too_many_combinations_are_refused():
    """With more than a thousand runs of a method, a list is not what was meant."""
    with pytest.raises(UsageError, match=r"s.toml: found 1600 combinations, wanted at most 1000"):
        grid.product({"a": range(40), "b": range(40)}, {}, [], "s.toml")


def test_what_varies_is_named_with_its_method_where_there_are_several():
    """A method without the option, or with one value of it, is not named."""
    points = {"padim": [{"d": 1, "l": (1, 2)}, {"d": 2, "l": (1, 2)}], "random": [{}]}
    assert grid.of_points(points).parts == ["padim.d=1,2"]
    assert grid.of_points({"padim": [{"l": (1, 2)}, {"l": (2, 3)}]}).parts == ["l=1,2;2,3"]
    assert grid.of_points(points).options == ["d"]
