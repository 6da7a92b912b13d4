"""Completion in shells: the command that prints the script, and the names that parameters are completed with.

The shell calls adbench for each completion, so that nothing heavy may be imported for it, nothing be printed, and no
error show.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from ..util.errors import PLUGIN_ERRORS

if TYPE_CHECKING:
    from ..api.method import Method
    from ..api.registry import Registry

VARIABLE = "_ADBENCH_COMPLETE"
"""The variable of the environment by which a shell asks for completions: click's name for it."""

SHELLS = ("bash", "zsh", "fish")

Source = Callable[[click.Context], Iterable[str]]


@click.command(short_help="Print the script that completes commands and names in a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script with which a shell completes commands, options, methods, data sets, presets and stored runs.

    In ~/.bashrc the first line, in ~/.zshrc below compinit the second; the third once for fish:

    \b
    eval "$(adbench completion bash)"
    eval "$(adbench completion zsh)"
    adbench completion fish > ~/.config/fish/completions/adbench.fish
    """  # noqa: D301
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "adbench", VARIABLE).source())


class Names(click.types.StringParamType):
    """Text that a shell completes; after a comma the next name of a list.

    Args:
        source: finds the names, given the context with the values that are typed already.
        or_files: where no name fits, files are offered.
    """

    def __init__(self, source: Source, *, or_files: bool = False) -> None:
        self.source, self.or_files = source, or_files

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names that begin with the text; those with a slash only where no other does."""
        before, comma, last = incomplete.rpartition(",")
        chosen = before.split(",")
        quiet = io.StringIO()  # a plugin may print something when it is imported
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            try:
                found = list(dict.fromkeys(self.source(ctx)))
            except PLUGIN_ERRORS:  # there is no place for a message in the middle of a line
                return []
        names = [name for name in found if name.startswith(last) and name not in chosen]
        if not names and self.or_files:
            return [CompletionItem(incomplete, type="file")]
        short = [name for name in names if "/" not in name]
        return [CompletionItem(f"{before}{comma}{name}") for name in short or names]


def attach(group: click.Group) -> None:
    """Complete the parameters of all commands by their names, as far as click doesn't complete their types itself."""
    for command in commands_of(group):
        for parameter in command.params:
            source = SOURCES.get(parameter.name or "")
            if source is not None and type(parameter.type) is click.types.StringParamType:
                parameter.type = Names(source, or_files=source in (_runs, _files))


def commands_of(group: click.Group) -> Iterator[click.Command]:
    """All commands of a group and of the groups in it, and the groups themselves."""
    yield group
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from commands_of(command)
        else:
            yield command


# ---------------------------------------------------------------- names


def _registry(ctx: click.Context) -> Registry:
    from ..api import registry

    return registry.load(ctx.params.get("plugin_files") or ())


def _methods(ctx: click.Context) -> Iterable[str]:
    every = ["all"] if ctx.command.name == "run" else []
    return [*_registry(ctx).methods, *every]


def _datasets(ctx: click.Context) -> Iterable[str]:
    return _registry(ctx).datasets


def _presets(ctx: click.Context) -> Iterable[str]:
    """The presets of the methods that are typed already, or else of all."""
    return [name for method in _typed_methods(ctx) for name in method.presets]


def _typed_methods(ctx: click.Context) -> list[Method]:
    registry = _registry(ctx)
    typed: Any = next((ctx.params[key] for key in ("methods", "method", "name") if ctx.params.get(key)), "")
    words = typed.split(",") if isinstance(typed, str) else [str(word) for word in typed]
    chosen = [registry.methods[word.strip()] for word in words if word.strip() in registry.methods]
    return chosen or list(registry.methods.values())


def _backbones(ctx: click.Context) -> Iterable[str]:
    from ..api.backbone_table import describe

    return [*(info.name for info in describe()), *_registry(ctx).backbones]


def _metrics(ctx: click.Context) -> Iterable[str]:
    from ..api.scores import METRIC_NAMES

    return METRIC_NAMES


def _names(ctx: click.Context) -> Iterable[str]:
    """Methods, for ``check-method`` and ``list methods``."""
    return _methods(ctx) if ctx.params.get("what", "methods") == "methods" else []


def _plugins(ctx: click.Context) -> Iterable[str]:
    return [plugin.name for plugin in _registry(ctx).plugins]


def _trackers(ctx: click.Context) -> Iterable[str]:
    return _registry(ctx).trackers


def _executors(ctx: click.Context) -> Iterable[str]:
    from ..api.executor import LOCAL

    return [LOCAL, *_registry(ctx).executors]


def _devices(ctx: click.Context) -> Iterable[str]:
    return ("auto", "cpu", "cuda", "mps")


def _files(ctx: click.Context) -> Iterable[str]:
    """No names: the shell offers files."""
    return ()


def _results(ctx: click.Context) -> Path:
    return Path(ctx.params.get("results") or "results")


def _runs(ctx: click.Context) -> Iterable[str]:
    """The names of stored runs, and their places DATASET/CLASS/METHOD/RUN; only ``rm`` knows unfinished ones."""
    from ..results.removal import run_folders
    from ..results.result_file import RESULT

    folders = run_folders(_results(ctx))
    if ctx.command.name != "rm":
        folders = [folder for folder in folders if (folder / RESULT).is_file()]
    return [*(folder.name for folder in folders), *("/".join(folder.parts[-4:]) for folder in folders)]


def _stored_classes(ctx: click.Context) -> Iterable[str]:
    """The classes of stored runs."""
    from ..results.removal import run_folders

    wanted = ctx.params.get("dataset")
    return [folder.parts[-3] for folder in run_folders(_results(ctx)) if wanted in (None, folder.parts[-4])]


SOURCES: Mapping[str, Source] = {
    "method": _methods,
    "methods": _methods,
    "dataset": _datasets,
    "preset": _presets,
    "backbone": _backbones,
    "device": _devices,
    "images": _files,
    "metric": _metrics,
    "metrics": _metrics,
    "name": _names,
    "plugin_name": _plugins,
    "track": _trackers,
    "executor": _executors,
    "backbone_names": _backbones,
    "run": _runs,
    "runs": _runs,
    "class_name": _stored_classes,
    "weights": _files,
}
"""What completes a parameter, by the name of the parameter in the code."""
