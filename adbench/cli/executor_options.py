"""The options of ``run`` that say where jobs run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ..util.errors import OptionError
from .options import Command, no_nan

if TYPE_CHECKING:
    from ..api.registry import Registry
    from ..run.dispatch import Where

_OPTIONS = (
    click.option("--executor", metavar="NAME", default="local", show_default=True,
                 help="Where the jobs run: local, processes, ray, slurm or a plugin's. See docs/scale.md."),
    click.option("--workers", type=click.IntRange(min=1), metavar="N",
                 help="Jobs that run at once.  [default: one for each GPU]"),
    click.option("--address", metavar="ADDRESS", help="A running cluster, such as auto or ray://HOST:10001."),
    click.option("--gpus-per-job", type=float, callback=no_nan, metavar="X",
                 help="1, or a share where several jobs use one GPU, such as 0.5."),
    click.option("--executor-option", "executor_changes", multiple=True, metavar="KEY=VALUE",
                 help="An option of the executor, such as partition=gpu for slurm."),
)  # fmt: skip


def executor_options(command: Command) -> Command:
    """Add ``--executor`` and what it takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, kw_only=True)
class ExecutorOptions:
    """What the command line says of where jobs run."""

    executor: str
    workers: int | None
    address: str | None
    gpus_per_job: float | None
    executor_changes: Sequence[str]

    def where(self, registry: Registry) -> Where:
        """Where the jobs run. Raises ``UsageError`` for what doesn't fit the executor."""
        from ..run.dispatch import Where

        options = {}
        for each in self.executor_changes:
            key, is_there, value = each.partition("=")
            if not is_there or not key:
                raise OptionError(f"--executor-option {each}", found="no value", wanted="KEY=VALUE")
            options[key] = value
        found = Where(self.executor.strip(), self.workers, self.address or "", self.gpus_per_job, options)
        found.check(registry)
        return found
