"""Defaults of the user's own: adbench.toml, or [tool.adbench] in pyproject.toml, here or in a folder above.

Their keys are the long options of commands, with "_" for "-". At the top they are for every command that has them, in
a table such as [run] for that command alone. The command line and run files win over them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from ..util.errors import AdbenchError, placed
from .console import say
from .file_keys import default_for, is_flag, keys_of

if TYPE_CHECKING:
    from ..util.toml_files import Value

T = TypeVar("T")

FILE, PROJECT = "adbench.toml", "pyproject.toml"

PLACES = "adbench.places"
"""Key in click's contexts: where the value of each option stands that a file has set, by its flags."""

RUN_FILE = "adbench.run_file"
"""Key in click's contexts: where the values of the run file stand, by the name of the parameter."""

Map = dict[str, Any]
"""Defaults as click has them: by parameter, and by command for those in a group."""


@dataclass(frozen=True)
class Defaults:
    """The user's defaults for all commands; ``places`` has where each stands, in the same form as ``values``."""

    file: Path
    values: Map = field(default_factory=dict)
    places: Map = field(default_factory=dict)


class Context(click.Context):
    """A command's context: knows which values come from files, and says so before the command begins."""

    def set_parameter_source(self, name: str, source: ParameterSource) -> None:
        """Remember the source of a parameter's value."""
        super().set_parameter_source(name, source)
        if source is ParameterSource.DEFAULT_MAP:
            where = self.meta.get(RUN_FILE, {}).get(name) or _places_of(self).get(name, "")
            option = next(each for each in self.command.params if each.name == name)
            self.meta.setdefault(PLACES, {}).update(dict.fromkeys(option.opts, where))

    def invoke(self, /, *args: Any, **values: Any) -> Any:
        """Run the command, after a line about the defaults that count in it."""
        _say_which(self)
        return super().invoke(*args, **values)


def attach(group: click.Group) -> None:
    """Give all commands of a group, and of the groups in it, a context that knows the files."""
    for command in group.commands.values():
        command.context_class = Context
        if isinstance(command, click.Group):
            attach(command)


def apply(ctx: click.Context) -> None:
    """Give the user's defaults to the commands of a group, before one of them is read.

    Raises:
        UsageError: the file can't be read, is no TOML, or has an unknown key or a value that doesn't fit.
    """
    assert isinstance(ctx.command, click.Group)
    try:
        folder = Path.cwd()
    except OSError:  # the folder is gone
        return
    found = find(folder)
    if found is not None:
        ctx.obj = load(found, ctx.command)
        ctx.default_map = ctx.obj.values


def find(folder: Path) -> Value | None:
    """The nearest file with defaults, or its table; None if there is none."""
    from ..util import toml_files

    for place in (folder, *folder.parents):
        own, project = place / FILE, place / PROJECT
        if _is_file(own):
            return toml_files.read(own)
        if _may_have_defaults(project):
            tools = toml_files.read(project).table().get("tool")
            table = tools.table().get("adbench") if tools is not None else None
            if table is not None:
                return table
    return None


def _is_file(path: Path) -> bool:
    """Whether there is a file; one in a folder above that may not be read counts as none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _may_have_defaults(project: Path) -> bool:
    """Whether a project's file names adbench; one that may not be read is passed over: it is another program's."""
    try:
        return project.is_file() and b"adbench" in project.read_bytes()
    except OSError:
        return False


def load(value: Value, group: click.Group) -> Defaults:
    """The defaults of a file. Raises the errors of ``apply``."""
    table = value.table()
    values: Map = {}
    places: Map = {}
    commands = {key for key, each in table.items() if key in group.commands and _is_table(each)}
    shared = {*_shared(group)} - commands
    _fill(group, table, {key: each for key, each in table.items() if key in shared}, shared, values, places)
    return Defaults(value.file, values, places)


def _fill(
    group: click.Group, table: dict[str, Value], shared: dict[str, Value], known: set[str], values: Map, places: Map
) -> None:
    """Fill the defaults of a group's commands, from its own table and from what is for all."""
    from ..util.toml_files import unknown_key

    tables = {key: each for key, each in table.items() if key in group.commands and _is_table(each)}
    for key, each in table.items():
        if key not in known and key not in tables:
            if key in group.commands:
                each.refuse(f"a table [{key}]")
            raise unknown_key(each, key, [*known, *group.commands])
    for name, command in group.commands.items():
        own = tables[name].table() if name in tables else {}
        values[name], places[name] = {}, {}
        if isinstance(command, click.Group):
            _fill(command, own, shared, set(), values[name], places[name])
            continue
        options = keys_of(command)
        for key, each in own.items():
            if key not in options:
                raise unknown_key(each, key, options)
        for key, option in options.items():
            found = own.get(key) or (None if is_flag(option) else shared.get(key))
            if found is not None and option.name == "plugin_files":
                _require_own(found)
            if found is not None and option.name:
                values[name][option.name] = default_for(option, found)
                places[name][option.name] = found.where


def _require_own(plugins: Value) -> None:
    """Refuse plugin files that another user's file names: they are code, and folders above may be anybody's."""
    if sys.platform != "win32" and plugins.file.stat().st_uid not in (os.getuid(), 0):
        plugins.refuse(
            "plugin files in a file of your own", found="a file that another user owns", hint="Give --plugin FILE"
        )


def _is_table(value: Value) -> bool:
    """Whether a value is a table: "label" is an option, and [label] a command."""
    return isinstance(value.value, dict)


def _shared(group: click.Group) -> Iterator[str]:
    """The keys for all commands: those of options with a value, since a flag may delete or overwrite something."""
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from _shared(command)
        else:
            yield from (key for key, option in keys_of(command).items() if not is_flag(option))


def _places_of(ctx: click.Context) -> Map:
    """Where the defaults of a command stand, by parameter."""
    defaults = ctx.find_object(Defaults)
    names = []
    while ctx.parent is not None:
        names.append(ctx.info_name or "")
        ctx = ctx.parent
    found: Map = defaults.places if defaults else {}
    for name in reversed(names):
        found = found.get(name, {})
    return found


def _say_which(ctx: click.Context) -> None:
    """Say in one line which defaults count in a command: none that the user or the run file gave."""
    defaults, of_file = ctx.find_object(Defaults), ctx.meta.get(RUN_FILE, {})
    said = [
        f"{key} = {_shown((ctx.default_map or {})[option.name])}"
        for key, option in keys_of(ctx.command).items()
        if option.name
        and option.name not in of_file
        and ctx.get_parameter_source(option.name) is ParameterSource.DEFAULT_MAP
    ]
    if defaults is not None and said:
        say(f"Defaults of {defaults.file}: {', '.join(said)}.")


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def place_of(flag: str) -> str:
    """Where the value of an option stands that a file has set; empty if none has."""
    return str(click.get_current_context().meta.get(PLACES, {}).get(flag, ""))


def at_place(look_up: Callable[[], T], where: str) -> T:
    """Look something up; an error names ``where`` it stands in a file, unless that is empty or an option."""
    try:
        return look_up()
    except AdbenchError as error:
        if not where or where.startswith("--"):
            raise
        raise placed(error, where) from error


def in_place(ctx: click.Context, error: AdbenchError) -> AdbenchError:
    """The error, with the place in a file of the option that it names; the same error if the user typed that."""
    thing = error.parts["thing"]
    for flag, where in ctx.meta.get(PLACES, {}).items():
        if where and (thing == flag or thing.startswith(f"{flag} ")):
            return placed(error, where, instead_of=flag)
    return error
