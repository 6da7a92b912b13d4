"""Checks what this machine's memory can hold, before hours of work are lost."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .errors import UsageError

INPUT_BYTES = 3 + 12
"""Bytes for each pixel of a scored image: decoded, and as float32 in three channels. A backbone takes more."""

MAP_BYTES = 4
"""Bytes for each pixel of an anomaly map; the map of every test image is kept."""

COMPARED_BYTES = 1 + 4 + 4 + 4
"""Bytes for each pixel of a map that is compared: the mask, its regions, the map and its sorted scores."""


def require_input(size: tuple[int, int], test_images: int = 0) -> None:
    """Refuse an input size that this machine can't hold: one image, and the maps of ``test_images``.

    Raises:
        UsageError: the size is too large; the message has the estimate.
    """
    needed = size[0] * size[1] * (INPUT_BYTES + MAP_BYTES * test_images)
    whose = f" and the maps of {test_images} test images" if test_images else ""
    _require(f"size {size[0]}x{size[1]}", needed, f"for one image{whose}", "Use a smaller --size")


def require_eval_size(size: tuple[int, int] | str | None) -> None:
    """Refuse an evaluation size that this machine can't hold; "native" and None are the images' own.

    Raises:
        UsageError: the size is too large; the message has the estimate.
    """
    if isinstance(size, tuple):
        needed, hint = size[0] * size[1] * COMPARED_BYTES, "Use a smaller --eval-size, or --eval-size native"
        _require(f"--eval-size {size[0]}x{size[1]}", needed, "for the map and the mask of one image", hint)


def _require(what: str, needed: int, purpose: str, hint: str) -> None:
    there = machine_bytes()
    if there is not None and needed > there:
        found = f"about {_text(needed)} of memory {purpose}"
        raise UsageError(what, found=found, wanted=f"at most the {_text(there)} of this machine", hint=hint)


def _text(size: int) -> str:
    return f"{size / 1e9:,.0f} GB" if size >= 10e9 else f"{size / 1e9:.2g} GB"


def machine_bytes(root: Path = Path("/")) -> int | None:
    """Memory that this process may use: the machine's, or the least that a control group allows; None if unknown.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    return min([*_physical(), *_group_limits(root)], default=None)


def _physical() -> Iterator[int]:
    if sys.platform == "win32":
        kilobytes = ctypes.c_ulonglong()
        if ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes)):
            yield kilobytes.value * 1024
        return
    with suppress(OSError, ValueError):  # a system that doesn't say it
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _group_limits(root: Path) -> Iterator[int]:
    """Limits of this process's control groups, v2 and v1; each level limits those below it."""
    paths = [Path()]
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            inner = Path(line.split(":", 2)[2].lstrip("/"))
            paths += [inner, *inner.parents]
    for path in dict.fromkeys(paths):
        for name in (path / "memory.max", Path("memory") / path / "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):  # no such group, or "max"
                yield int((root / "sys/fs/cgroup" / name).read_text(encoding="utf-8"))
