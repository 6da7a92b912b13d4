"""Whether runs are stored in a folder, and whether they can be."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..util.errors import ResultError, reason
from .result_file import RESULT


def has_results(results: Path) -> bool:
    """Whether a finished run is stored in a folder."""
    return any(results.glob(f"*/*/*/*/{RESULT}"))


def require_writable(results: Path) -> None:
    """Check that runs can be stored in a folder, which may not exist yet; nothing is left there.

    Raises:
        ResultError: no file can be written in it, or in the folder in which it would be made.
    """
    place = results.absolute()
    while not place.exists():
        place = place.parent
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        found = f"{place}, a file" if place.is_file() else f"{reason(error)} in {place}"
        hint = "Permit writing there, or choose another folder with --results"
        raise ResultError(f"results folder {results} can't be written", found=found, hint=hint) from error
