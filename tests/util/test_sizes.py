"""Sizes in bytes as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adbench.util import sizes
from adbench.util.errors import OptionError


@pytest.mark.parametrize(
    ("text", "expected"), [("4GB", 4 * 10**9), ("512 MiB", 2**29), ("1.5kb", 1500), ("0", 0), (" 7 B ", 7)]
)
def test_sizes_as_people_write_them(text, expected):
    """Decimal and binary units are read in upper and lower case, with or without a blank."""
    assert sizes.parse_bytes(text, "BUDGET") == expected


@pytest.mark.parametrize("text", ["", "a lot", "-4GB", "4 G B", "4XB", "nan", "1e9", "٤GB", "4²GB"])
def test_what_is_no_size_is_refused(text):
    """The message names the option or variable, and gives an example."""
    with pytest.raises(OptionError, match=r"--cache-limit.*4GB"):
        sizes.parse_bytes(text, "--cache-limit")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 KB"), (7, "0.1 KB"), (1200, "1.2 KB"), (999_900, "1.0 MB"), (12 * 10**6, "12 MB"), (1.94e9, "1.9 GB"),
     (50e9, "50 GB"), (9.96e9, "10 GB"), (2e15, "2000 TB")],
)  # fmt: skip
def test_sizes_as_people_read_them(size, text):
    """Two or three digits, in a suitable unit."""
    assert sizes.bytes_text(size) == text


@given(st.integers(0, 10**16))
def test_what_is_shown_is_right_to_a_twentieth(size):
    """A shown size, read back, differs only by rounding."""
    assert sizes.parse_bytes(sizes.bytes_text(size), "") == pytest.approx(size, rel=0.05, abs=500)
