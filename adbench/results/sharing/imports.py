"""Takes the runs of archives into a folder of results."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ...util import files
from ...util.errors import ResultError, reason
from .merge import Merged, Prefer, merge
from .scan import Take, Watch, scan
from .unpack import unpack


def import_archives(
    archives: Sequence[Path],
    target: Path,
    *,
    prefer: Prefer | None = None,
    dry_run: bool = False,
    watch: Watch | None = None,
) -> Merged:
    """Unpack archives into a temporary folder, check them, and merge their runs into a folder of results.

    Args:
        archives: files of ``archive.write``.
        target: the folder of results, which may not exist yet.
        prefer: as for ``merge``.
        dry_run: as for ``merge``; the archives are unpacked into the system's temporary folder.
        watch: called with what is being done.

    Raises:
        ResultError: an archive is damaged or not safe to open, or the folder can't be written. Of a bad archive, and
            of the others beside it, nothing is taken.
    """
    with _unpacked_beside(target, dry_run) as stage:
        scans = []
        for number, archive in enumerate(archives):
            own = stage / str(number)
            own.mkdir()
            unpack(archive, own, watch)
            scans.append(scan(own, Take(), source=archive, watch=watch))
        return merge(scans, target, prefer=prefer, dry_run=dry_run, watch=watch)


@contextmanager
def _unpacked_beside(target: Path, dry_run: bool) -> Iterator[Path]:
    """A temporary folder within the results, so that files need not be copied again."""
    if dry_run:
        with tempfile.TemporaryDirectory(prefix="adbench-") as folder:
            yield Path(folder)
        return
    made = not target.exists()
    try:
        with files.new_folder(target / "import") as stage:
            yield stage
    except OSError as error:
        hint = "Free some space or permit writing there, or choose another folder with --results"
        raise ResultError(f"results folder {target} can't be written", found=reason(error), hint=hint) from error
    finally:
        if made:
            with suppress(OSError):  # unless something was taken
                target.rmdir()
