"""Breaks adbench on purpose, for tests of the campaign: each function is called in a process before its command."""

from __future__ import annotations

from typing import Any

from adbench.results import result_file, store
from adbench.run import session
from adbench.util import files


def half_written() -> None:
    """Write results in place, without a temporary name."""

    def write(path: Any, fill: Any) -> None:
        with path.open("wb") as stream:
            fill(stream)

    files.write = write


def forgotten_randomness() -> None:
    """Go on from a state with other random numbers than those of the stopped run."""
    session.set_random_state = lambda state, device: None


def unchecked_files() -> None:
    """Store a result however its files are overwritten meanwhile."""
    result_file.fits_its_files = lambda path: True
    store.ATTEMPTS = 1
