"""``adbench run FILE``: a run file beside the options of the command line, which win over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from ..util.errors import OptionError, UsageError, placed
from ..util.text import plural
from . import option_file, values
from .console import say
from .defaults import PLACES, RUN_FILE, at_place, place_of
from .file_keys import default_for, keys_of, text_of
from .gathered import MethodOptions
from .grid import expand

if TYPE_CHECKING:
    from ..api.data import EvalSize, Setting
    from ..api.method import Method
    from ..api.registry import Registry
    from ..run.grid import Grid
    from ..run.job import Job, RunSettings
    from ..run.run_file import DataEntry, MethodEntry, RunFile
    from ..run.suite import DataChoice, MethodChoice, Suite
    from ..util.toml_files import Value

Command = TypeVar("Command", bound=Callable[..., Any])

OWN = frozenset(
    ("method", "dataset", "data_root", "class", "good", "bad", "test_share", "data_option", "option", "aux", "grid",
     "seed", "seeds", "setting", "shots", "backbone", "weights", "size", "tile", "overlap", "amp")
)  # fmt: skip
"""Options for which a run file has keys of its own (``run_file.KEYS``)."""

COMMAND_ONLY = frozenset(("force", "dry_run", "schema"))
"""Options about one call of the command, which are no part of a suite."""


def file_argument(command: Command) -> Command:
    """Add the argument FILE, as ``run_file.RunFile``; what it says of the command's options becomes their default."""
    return click.argument(
        "run_file", required=False, metavar="[FILE]", type=click.Path(path_type=Path), is_eager=True, callback=_read
    )(command)


def other_keys(command: click.Command) -> dict[str, click.Option]:
    """The options of ``adbench run`` that a run file may set as they are."""
    return {key: option for key, option in keys_of(command).items() if key not in OWN | COMMAND_ONLY}


def _read(ctx: click.Context, _: click.Parameter, path: Path | None) -> RunFile | None:
    if path is None or ctx.resilient_parsing:
        return None
    from ..run import run_file

    keys = other_keys(ctx.command)
    found = run_file.read(path, keys)
    given = {str(keys[key].name): (keys[key], value) for key, value in found.others.items()}
    defaults = {name: default_for(option, value) for name, (option, value) in given.items()}
    ctx.default_map = {**(ctx.default_map or {}), **defaults}
    ctx.meta[RUN_FILE] = {name: value.where for name, (_, value) in given.items()}
    return found


@dataclass(frozen=True, kw_only=True)
class Asked(MethodOptions):
    """The options of the command line for which a run file has keys of its own, as the command gets them."""

    methods: str | None
    dataset: str | None
    classes: str
    data_root: Path | None
    is_grid: bool
    seed: int | None
    seeds: str | None
    setting: Setting | None
    shots: int | None
    test_split: str | None


def suite_of(registry: Registry, file: RunFile | None, asked: Asked, common: RunSettings) -> tuple[Suite, Grid]:
    """Look up what the command line and the run file ask for.

    Args:
        registry: finds methods and data sets.
        file: the run file, if there is one.
        asked: the options of the command line.
        common: the other settings.

    Returns:
        The suite, and which options vary in it.

    Raises:
        UsageError: a name that doesn't exist, or a value that doesn't fit; where it is the file's, with its place.
    """
    from ..run import grid
    from ..run.suite import Suite

    entries, every = _method_entries(registry, file, asked)
    methods = [at_place(partial(registry.method, entry.name), entry.where) for entry in entries]
    unique = list({method.name: method for method in methods}.values())
    over, under = _changes(unique, asked, beside_file=file is not None)
    choices = [
        _method_choice(entry, method, file, asked, over, under)
        for entry, method in zip(entries, methods, strict=True)
    ]  # fmt: skip
    choices = _with_auxiliary(choices, entries, file, asked)
    _require_used(registry, file, unique)
    suite = Suite(
        data=_data_choices(registry, file, asked, common),
        methods=choices,
        settings=_settings(file, asked),
        seeds=_seeds(file, asked),
        common=common,
        every=every,
    )
    if file is None:
        return suite, over
    points: dict[str, list[dict[str, Any]]] = {}
    for choice in choices:
        points.setdefault(choice.method.name, []).extend(map(dict, choice.points))
    return suite, grid.of_points(points)


def planned_jobs(suite: Suite, registry: Registry, grid: Grid, file: RunFile | None) -> list[Job]:
    """The jobs of a suite, after lines about what was left out and what varies.

    Where a file took part, the command of each is that which does it alone: the file may change.

    Raises:
        UsageError: what no job can do.
    """
    from ..run import command_line

    planned = suite.planned()
    if suite.every:
        lines = [values.left_out(registry, planned.lacking)]
    else:
        lines = [f"{name} is left out where it lacks {' and '.join(lacks)}." for name, lacks in planned.lacking.items()]
    jobs = planned.jobs()
    if file is not None:
        lines.append(f"{file.path}: {plural(len(jobs), 'task')}{', with ' if grid.varied else ''}"
                     f"{' and '.join(grid.parts)}.")  # fmt: skip
    elif grid.varied:
        lines.append(grid.text(len(jobs)))
    for line in filter(None, lines):
        say(line)
    if file is None and not click.get_current_context().meta.get(PLACES):
        return jobs
    return [
        replace(job, command=command_line.of_job(job, needs_root=registry.dataset(job.dataset).needs_root))
        for job in jobs
    ]


def _typed(*names: str) -> bool:
    """Whether one of these parameters was given on the command line."""
    sources = map(click.get_current_context().get_parameter_source, names)
    return ParameterSource.COMMANDLINE in sources


def _missing(name: str, file: RunFile | None, key: str) -> UsageError:
    if file is not None:
        return UsageError(f"{file.path}", found=f"no {key}", wanted=f"{key} = ... there, or --{name}")
    return UsageError(f"Missing option '--{name}' / '-{name[0]}'.", hint="See adbench run --help")


# ---------------------------------------------------------------- methods


def _method_entries(registry: Registry, file: RunFile | None, asked: Asked) -> tuple[Sequence[MethodEntry], bool]:
    """The methods as the file has them, or as the command line names them; and whether these are all."""
    from ..run.run_file import ALL, MethodEntry

    there = file.methods if file is not None else ()
    if there and not _typed("methods"):
        every = next((entry for entry in there if entry.name == ALL), None)
        if every is None:
            return there, False
        if len(there) > 1:
            raise UsageError(every.where, found="all, beside others", wanted='methods = "all", or names')
        return [replace(every, name=method.name) for method in values.methods(registry, ALL)], True
    if asked.methods is None:
        raise _missing("method", file, "methods")
    found: list[MethodEntry] = []
    for method in values.methods(registry, asked.methods):
        own = [entry for entry in there if entry.name == method.name]
        of_all = [replace(entry, name=method.name) for entry in there if entry.name == ALL]
        found += own or of_all or [MethodEntry(method.name, "--method")]
    return found, values.is_all(asked.methods)


def _changes(
    methods: Sequence[Method], asked: Asked, *, beside_file: bool
) -> tuple[Grid, Mapping[str, Mapping[str, Any]]]:
    """The changes of options that win over a file's, as a grid; and the user's defaults, over which the file wins."""
    none: dict[str, str | None] = dict.fromkeys(asked.short)
    if not beside_file:
        return expand(methods, asked.changes, asked.short, on=asked.is_grid), {}
    short = {key: text if _typed(key) else None for key, text in asked.short.items()}
    changes = asked.changes if _typed("changes") else ()
    over = expand(methods, changes, short, on=asked.is_grid and bool(changes or any(short.values())))
    rest = {**asked.short, **{key: None for key, text in short.items() if text is not None}}
    under = values.overrides(methods, () if changes else asked.changes, {**none, **rest})
    return over, under


def _method_choice(
    entry: MethodEntry,
    method: Method,
    file: RunFile | None,
    asked: Asked,
    over: Grid,
    under: Mapping[str, Mapping[str, Any]],
) -> MethodChoice:
    """A method with its preset and the changes of its runs."""
    from ..api.method import find_preset
    from ..api.options import option_types
    from ..run import grid
    from ..run.suite import MethodChoice

    own = entry.preset if entry.preset is not None and not _typed("preset") else None
    preset = own or asked.preset
    where = f"{entry.where}.preset" if own else place_of("--preset")
    at_place(lambda: find_preset(method, preset), where)
    shared = file.options if file is not None else {}
    known = option_types(method.options)
    given = {**{key: value for key, value in shared.items() if key in known}, **entry.options}
    lists = {key: grid.option_values(method, key, value) for key, value in given.items()}
    points = grid.product(lists, under.get(method.name, {}), over.points[method.name], f"{entry.where}: options")
    return MethodChoice(method, preset, points)


def _require_used(registry: Registry, file: RunFile | None, picked: Sequence[Method]) -> None:
    """Refuse options and auxiliary data for all methods that none of them has, be it picked or in the file alone."""
    from ..api.options import option_types
    from ..run.run_file import ALL
    from ..util.toml_files import unknown_key

    if file is None:
        return
    names = {entry.name for entry in file.methods}
    methods = [*picked, *(each for name, each in registry.methods.items() if name in names or ALL in names)]
    options = {key for method in methods for key in option_types(method.options)}
    auxiliary = {each.name for method in methods for each in method.requirements.auxiliary}
    for given, known in ((file.options, options), (file.auxiliary, auxiliary)):
        for key, value in given.items():
            if key not in known:
                raise unknown_key(value, key, known)


def _with_auxiliary(
    choices: Sequence[MethodChoice], entries: Sequence[MethodEntry], file: RunFile | None, asked: Asked
) -> list[MethodChoice]:
    """The methods with their auxiliary data: of the command line, else of the method's entry, else for all."""
    from ..util.toml_files import unknown_key

    methods = list({choice.method.name: choice.method for choice in choices}.values())
    given, wins = values.auxiliary(methods, asked.auxiliary), _typed("auxiliary")
    found = []
    for choice, entry in zip(choices, entries, strict=True):
        known = {each.name for each in choice.method.requirements.auxiliary}
        for name, value in entry.auxiliary.items():
            if name not in known:
                raise unknown_key(value, name, known)
        shared: Mapping[str, Value] = file.auxiliary if file is not None else {}
        own = {name: value.path() for name, value in {**shared, **entry.auxiliary}.items() if name in known}
        typed = given[choice.method.name]
        found.append(replace(choice, auxiliary={**own, **typed} if wins else {**typed, **own}))
    return found


# ---------------------------------------------------------------- data, settings, seeds


def _data_choices(registry: Registry, file: RunFile | None, asked: Asked, common: RunSettings) -> list[DataChoice]:
    from ..run.run_file import DataEntry

    there = file.data if file is not None else ()
    if _typed("dataset") or not there:
        if asked.dataset is None:
            raise _missing("dataset", file, "data")
        there = tuple(entry for entry in there if entry.name == asked.dataset) or (DataEntry(asked.dataset, ""),)
    if _typed("data_root") and sum(registry.dataset(entry.name).needs_root for entry in there) > 1:
        names = ", ".join(entry.name for entry in there)
        raise UsageError("--data-root", found=f"several data sets ({names})", wanted="one", hint="Choose one with -d")
    return [_data_choice(registry, entry, file, asked, common) for entry in there]


def _data_choice(
    registry: Registry, entry: DataEntry, file: RunFile | None, asked: Asked, common: RunSettings
) -> DataChoice:
    from ..run import plan
    from ..run.suite import DataChoice

    at_place(lambda: registry.dataset(entry.name), entry.where)
    given = asked.data_root if _typed("data_root") or entry.root is None else entry.root
    root = at_place(lambda: values.root(registry.dataset(entry.name), given), entry.where)
    reader = values.reader(registry, entry.name, entry.options, root=root)
    names = entry.classes if entry.classes is not None else file.classes if file is not None else None
    if names is None or _typed("classes"):
        classes = plan.choose_classes(reader, root, asked.classes)
    else:
        assert file is not None
        where = f"{entry.where}.classes" if entry.classes is not None else f"{file.path}: classes"
        classes = at_place(lambda: plan.choose_named(reader, root, names), where)
    test = entry.test_split if entry.test_split is not None and not _typed("test_split") else asked.test_split
    own = None if entry.levels is None else (entry.levels, f"{entry.where}.range")
    levels, levels_by = option_file.levels(reader, root, common.levels, own)
    eval_size = None if entry.eval_size is None or _typed("eval_size") else _eval_size(entry.eval_size)
    return DataChoice(
        reader, root, classes, test, levels, levels_by, eval_size, None if _typed("skip_bad") else entry.skip_bad
    )


def _eval_size(value: Value) -> EvalSize | None:
    """An evaluation size of a file, as after --eval-size."""
    try:
        return values.eval_size(text_of(value))
    except OptionError as error:
        raise placed(error, value.where, instead_of="--eval-size") from error


def _settings(file: RunFile | None, asked: Asked) -> Sequence[tuple[Setting, int | None]]:
    if file is None or (file.settings is None and not _typed("setting", "shots")):
        return [(values.setting(asked.setting, asked.shots), asked.shots)]
    if _typed("setting", "shots"):
        shots = asked.shots if _typed("shots") else None
        return [(values.setting(asked.setting if _typed("setting") else None, shots), shots)]
    assert file.settings is not None
    return file.settings


def _seeds(file: RunFile | None, asked: Asked) -> Sequence[int]:
    if _typed("seed", "seeds"):
        return values.seeds(
            asked.seed if _typed("seed") else None, asked.seeds if _typed("seeds") else None
        )  # fmt: skip
    if file is not None and file.seeds is not None:
        return file.seeds
    return values.seeds(asked.seed, asked.seeds)
