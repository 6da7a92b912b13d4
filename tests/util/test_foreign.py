"""Values of foreign files are checked whatever they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adbench.util import foreign

HUGE = 10**400


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_finite_number_becomes_a_float(value):
    """Whatever is accepted can be converted."""
    assert foreign.is_finite(value)
    assert float(value) == pytest.approx(value)


@pytest.mark.parametrize("value", [HUGE, -HUGE, float("inf"), float("nan"), True, "1", None, [1]])
def test_what_no_float_can_hold_is_no_number(value):
    """A whole number of 400 digits is no error of its own."""
    assert not foreign.is_finite(value)
    assert not foreign.is_share(value)
    assert not foreign.is_whole(value, 0)


def test_shares_and_counts_have_limits():
    """Both ends count."""
    assert [foreign.is_share(value) for value in (-0.1, 0, 1.0, 1.1)] == [False, True, True, False]
    assert [foreign.is_whole(value, 1) for value in (0, 1, 2**63 - 1, 2**63)] == [False, True, True, False]


def test_any_value_is_described_in_a_few_words():
    """Also one of 5000 levels, and one of 5000 digits."""
    deep: list = []
    for _ in range(5000):
        deep = [deep]
    values = [deep, {"a": deep}, 10**5000, "a" * 99, None]
    assert [foreign.shown(value) for value in values] == [
        "a list of 1", "a dict", "a whole number of 16610 bits", "'" + "a" * 39 + "...", "None",
    ]  # fmt: skip
