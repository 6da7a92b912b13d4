"""The commands for plugins: ``plugin new``, ``plugin list`` and ``plugin check``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..util.errors import AdbenchError, PluginError, UnknownNameError, UsageError, absent
from . import options as arguments
from . import values
from .check_method import store_audit
from .console import load_plugins, print_path, print_tables, print_tracebacks, say, status_line
from .groups import CommandGroup

if TYPE_CHECKING:
    from ..api.registry import Plugin, Registry
    from ..run.check_plugin import Checked
    from ..util.threads import Choice


@click.group("plugin", cls=CommandGroup, short_help="Start, list and check plugins.")
def plugin_() -> None:
    """Start a plugin of your own, list those that are found, and check what they offer.

    \b
    adbench plugin new my-method
    """  # noqa: D301


@plugin_.command(short_help="Write a small package with a method or data set, and its test.")
@click.argument("new_name", metavar="NAME")
@click.option("--dataset", "is_dataset", is_flag=True, help="A data set instead of a method.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR",
              help="The folder to make.  [default: adbench-NAME]")  # fmt: skip
@arguments.plugin_option
@arguments.debug_option
def new(new_name: str, is_dataset: bool, output: Path | None, plugin_files: tuple[Path, ...]) -> None:
    """Write a small package to install: a method that works, or a data set's reader, with a test that passes.

    \b
    adbench plugin new my-method
    adbench plugin new my-parts --dataset
    """  # noqa: D301
    from ..run import new_plugin

    made = new_plugin.plan(new_name, "dataset" if is_dataset else "method", load_plugins(plugin_files))
    folder = output or Path(made.distribution)
    written = new_plugin.write(made, folder)
    print_path(folder)
    say(f"Wrote {', '.join(map(str, written))}. Now:")
    say(f"  cd {shlex.quote(str(folder))}")
    say("  pip install -e . && pytest")
    if is_dataset:
        say(f"  adbench plugin check {new_name} --data-root DIR")
    else:
        say(f"  adbench run -m {new_name} -d demo -p cpu")


@plugin_.command("list", short_help="List plugins: what they offer, where they are, whether they work.")
@click.option("--all", "every", is_flag=True, help="Each of adbench's own plugins, too.")
@arguments.plugin_option
@arguments.format_option
@arguments.debug_option
def list_(every: bool, plugin_files: tuple[Path, ...], format_: str) -> None:
    """List all plugins with distribution, version and file, what they offer, and whether they can be loaded.

    \b
    adbench plugin list
    """  # noqa: D301
    from ..api import registry as plugins
    from ..report import lists

    print_tables(lists.plugins(plugins.load(plugin_files), every=every), format_)


@plugin_.command(short_help="Check the methods and data sets of a plugin.")
@click.argument("plugin_name", required=False, metavar="[NAME|FILE]")
@click.option("--data-root", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder of the data set: its images are looked up, too.")  # fmt: skip
@arguments.auxiliary_option
@arguments.plugin_option
@arguments.threads_option
@arguments.results_option
@arguments.format_option
@arguments.debug_option
def check(plugin_name: str | None, data_root: Path | None, auxiliary: Sequence[str], plugin_files: tuple[Path, ...],
          threads: Choice, results: Path, format_: str) -> None:  # fmt: skip
    """Check what a plugin offers: each method as adbench check-method does, and each data set's reader.

    NAME is a plugin's name in `adbench plugin list`, its distribution, or a method or data set of it; FILE is a Python
    file. Without either, all plugins that are not adbench's own. The outcome of methods is stored in RESULTS/audits.

    \b
    adbench plugin check padim
    adbench plugin check folder --data-root ~/parts
    """  # noqa: D301
    try:
        registry, chosen = _chosen(plugin_name, plugin_files)
    except PluginError as error:
        if plugin_name is None or not _is_file(plugin_name):
            raise
        from ..run.check_plugin import unusable

        _print([unusable(plugin_name, error)], format_)
        return
    if not chosen:
        say("There is no plugin besides adbench's own: name one, or a file.")
        return
    from ..run import check_plugin
    from ..run.audit import Auditor

    auditor = Auditor(registry)
    methods = [registry.method(each) for plugin in chosen for each in plugin.names("method")]
    given = values.auxiliary(methods, auxiliary)
    for method in methods:
        auditor.begin(method.name)
    values.compute_with(1 if threads == "auto" else threads)  # a fixed number, so that checks repeat
    checked: list[Checked] = []
    with status_line() as show:

        def watch(what: str, check: str) -> None:
            show(f"checking {what}: {check}")

        for plugin in chosen:
            checked += check_plugin.run(plugin, registry, auxiliary=given, root=data_root, watch=watch)
    for each in checked:
        if each.method is not None:
            store_audit(auditor, results, each.method, None, {}, each.results)
    _print(checked, format_)


def _print(checked: Sequence[Checked], format_: str) -> None:
    """Print the outcomes, and end the command with exit code 1 if a check failed."""
    from ..report import lists

    print_tables([lists.checks(each.what, each.results) for each in checked], format_)
    failed = [result for each in checked for result in each.failed]
    if failed:
        if arguments.debugging(click.get_current_context()):
            print_tracebacks([result.error for result in failed])
        say(f"{len(failed)} of {sum(len(each.results) for each in checked)} checks failed.")
        raise click.exceptions.Exit(AdbenchError.exit_code)


def _is_file(name: str) -> bool:
    return name.endswith(".py") or Path(name).is_file()


def _chosen(name: str | None, plugin_files: Sequence[Path]) -> tuple[Registry, list[Plugin]]:
    """The plugins to check, and all that is loaded.

    Raises:
        UsageError: no such plugin or file.
        PluginError: a plugin file that can't be used.
    """
    if name is not None and _is_file(name):
        file = Path(name)
        if not file.is_file():
            raise UsageError(f"plugin file {file}", found=absent(file, "file"), wanted="a Python file")
        registry = load_plugins([*plugin_files, file])
        return registry, [each for each in registry.plugins if each.file == file.resolve()]
    registry = load_plugins(plugin_files)
    if name is None:
        return registry, [each for each in registry.plugins if not each.is_own]
    chosen = [each for each in registry.plugins if each.is_called(name)]
    if not chosen:
        known = {word for each in registry.plugins for word in (each.name, *(name for _, name in each.offers))}
        raise UnknownNameError("plugin", name, known, hint="See adbench plugin list, or give its file")
    return registry, chosen
