"""The options of ``run`` that say where jobs run."""

from __future__ import annotations

import click

from .options import Command, no_nan

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
