"""The command ``install``."""

from __future__ import annotations

from pathlib import Path

import click

from ..util.errors import TaskError
from . import options as arguments
from .console import load_plugins, say


@click.command(short_help="Print, or run, the pip line for what a method needs.")
@click.argument("name", metavar="METHOD")
@click.option("--yes", "-y", is_flag=True, help="Run the line with this Python instead of printing it.")
@arguments.plugin_option
@arguments.debug_option
def install(name: str, yes: bool, plugin_files: tuple[Path, ...]) -> None:
    """Print the pip line that installs the packages which a method and its presets' backbones need.

    \b
    adbench install dinomaly
    adbench install dinomaly --yes
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"
    from ..run import installation
    from ..util import pip

    method = load_plugins(plugin_files).method(name)
    missing = installation.missing(method)
    for each in method.requirements.auxiliary:
        say(f"{name} also takes {each.name}, which pip does not install: see adbench list methods {name}.")
    if not missing:
        needed = ", ".join(package.name for package in installation.packages_of(method))
        say(
            f"{name}: nothing to install" + (f"; {needed} is there." if needed else ", it needs no package of its own.")
        )
        return
    for package in missing:
        say(f"{name} needs {package.name}: {package.purpose}.")
    wanted = [package.install for package in missing]
    if not yes:
        click.echo(pip.line(wanted))
        return
    pip.install(wanted)
    if left := installation.missing(method):
        raise TaskError(f"{name} still lacks {', '.join(package.name for package in left)}", hint="Read pip's message")
    say(f"{name}: installed {', '.join(wanted)}.")
