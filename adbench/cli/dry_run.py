"""``adbench run --dry-run``: what a command would do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..util.errors import AdbenchError, UsageError
from .console import print_tables, status_line

if TYPE_CHECKING:
    from ..api.registry import Registry
    from ..run.disk_use import MapKind
    from ..run.dispatch import Where
    from ..run.job import Job


def show_forecasts(
    jobs: Sequence[Job], registry: Registry, format_: str, *, maps: MapKind | None, where: Where
) -> None:
    """Print which jobs are done and which are left; the exit code is that of the run if some can't run."""
    from ..report.dry_run import dry_run
    from ..run.forecast import forecasts

    with status_line() as show:
        found = forecasts(jobs, registry, maps=maps, show=show)
    print_tables([dry_run(found, 1 if where.is_local else where.workers)], format_)
    errors = [each.error for each in found if each.error is not None]
    if errors:
        mistakes = len(errors) == len(found) and all(isinstance(error, UsageError) for error in errors)
        raise click.exceptions.Exit(UsageError.exit_code if mistakes else AdbenchError.exit_code)
