"""Checks values from files that other people may have written: any type, any size, any depth."""

from __future__ import annotations

import math
from typing import TypeGuard

from .errors import type_text

LONGEST = 40
"""Characters of a value that a message repeats."""

LARGEST = 2**63 - 1
"""The largest whole number that arrays and tensors take."""


def is_finite(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number that a float can hold: neither infinite, NaN nor a bool."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def is_share(value: object, most: float = 1.0) -> TypeGuard[int | float]:
    """Whether a value is a number from 0 to ``most``."""
    return is_finite(value) and 0 <= value <= most


def is_whole(value: object, least: int) -> TypeGuard[int]:
    """Whether a value is a whole number from ``least`` up that arrays can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= LARGEST


def shown(value: object) -> str:
    """Describe a value briefly; by its type, if it is neither a number nor a text."""
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if value is not None and not isinstance(value, (bool, int, float, str)):
        return type_text(value)
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"a whole number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
