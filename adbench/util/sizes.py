"""Parses and formats sizes in bytes."""

from __future__ import annotations

import os
import re

from .errors import OptionError

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def parse_bytes(text: str, owner: str) -> int:
    """Turn "4GB", "512 MiB" or "0" into bytes.

    Raises:
        OptionError: the text is no number of bytes; the message names ``owner``.
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*", text)
    if found is None or found[2].upper() not in _UNITS:
        raise OptionError(owner, found=f"'{text}'", wanted="a number of bytes such as 4GB or 512MB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def bytes_of(variable: str) -> int | None:
    """Bytes in an environment variable; None if it is not set. Raises ``OptionError``."""
    text = os.environ.get(variable, "").strip()
    return parse_bytes(text, variable) if text else None


def bytes_text(size: float) -> str:
    """Format bytes in the unit that gives one to three digits: "1.2 GB", "34 MB"; small sizes are "0.1 KB"."""
    units = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"))
    factor, unit = next((each for each in units if size >= 0.9995 * each[0]), (10**3, "KB"))
    number = max(size / factor, 0.1) if size else 0.0
    return f"{number:.1f} {unit}" if 0 < number < 9.95 else f"{number:.0f} {unit}"
