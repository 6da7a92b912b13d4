"""The command ``install``."""

from __future__ import annotations

from pathlib import Path

import click

from ..util.errors import TaskError
from . import options as arguments
from .console import load_plugins, say


@click.command(short_help="Print, or run, the pip line for what a method needs.")
@click.argument("name", metavar="METHOD|EXTRA")
@click.option("--yes", "-y", is_flag=True, help="Run the line with this Python instead of printing it.")
@arguments.plugin_option
@arguments.debug_option
def install(name: str, yes: bool, plugin_files: tuple[Path, ...]) -> None:
    """Print the pip line that installs what a method and its presets' backbones need, or an extra such as wandb.

    \b
    adbench install dinomaly
    adbench install anomalib --yes
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"
    from ..run import installation
    from ..util import pip

    registry = load_plugins(plugin_files)
    needed = installation.needed(name, registry)
    missing = installation.missing(needed)
    for each in registry.methods[name].requirements.auxiliary if name in registry.methods else ():
        say(f"{name} also takes {each.name}, which pip does not install: see adbench list methods {name}.")
    if not missing:
        already = ", ".join(package.name for package in needed)
        say(f"{name}: nothing to install; {f'installed already: {already}' if already else 'it needs no package'}.")
        return
    for package in missing:
        say(f"{name} needs {package.name}: {package.purpose}.")
    wanted = [package.install for package in missing]
    if not yes:
        click.echo(pip.line(wanted))
        return
    pip.install(wanted)
    if left := installation.missing(needed):
        raise TaskError(f"{name} still lacks {', '.join(package.name for package in left)}", hint="Read pip's message")
    say(f"{name}: installed {', '.join(wanted)}.")
