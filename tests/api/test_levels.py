"""The values of black and white in images of more than 8 bits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adbench.api.levels import UNKNOWN, Levels
from adbench.util.errors import OptionError


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9))
def test_levels_read_what_they_write(black, extent):
    """``--range`` takes the text that is shown, to nine digits."""
    levels = Levels(float(f"{black:.9g}"), float(f"{black + extent:.9g}"))
    if levels.is_known:
        assert Levels.parse(levels.text) == levels


@pytest.mark.parametrize("text", ["", "4095", "4095:0", "5:5", "0:inf", "nan:1", "a:b", "0:1:2"])
def test_other_texts_are_refused(text):
    """Two finite numbers are wanted, the lower one first."""
    with pytest.raises(OptionError, match=rf"--range: found '{text}', wanted BLACK:WHITE, such as 0:4095"):
        Levels.parse(text)


def test_levels_clip_what_lies_beyond():
    """Values at the ends are within."""
    assert not Levels(0, 4095).clips(0, 4095)
    assert Levels(0, 4095).clips(-1, 5)
    assert Levels(0, 4095).clips(0, 4096)
    assert not UNKNOWN.is_known
