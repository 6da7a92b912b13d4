"""Parses the values of the command line's options."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..util.errors import DataError, OptionError, UnknownNameError, UsageError, placed
from ..util.text import share_of
from . import option_file
from .defaults import RUN_FILE
from .options import LAST_SEED
from .reader_options import reader_changes

if TYPE_CHECKING:
    from ..api.data import Dataset, EvalSize, Setting, Size
    from ..api.method import Method
    from ..api.registry import Registry
    from ..util.threads import Choice
    from ..util.toml_files import Value


BY_NAME_ONLY = "anomalib:"
"""How the names of methods begin that run another library's code: "all" leaves them out."""


ALL_BESIDE = "all, beside others"
"""What is wrong with a list such as "all,padim"."""


def is_all(text: str) -> bool:
    """Whether ``--method`` asks for all methods."""
    return text.strip() == "all"


def methods(registry: Registry, text: str) -> list[Method]:
    """Turn "all" or "msflow,cflow" into methods. Raises ``UnknownNameError``, or ``OptionError`` for none."""
    if is_all(text):
        return [method for name, method in registry.methods.items() if not name.startswith(BY_NAME_ONLY)]
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise OptionError("--method", found=f"'{text}'", wanted="all, or some of " + ", ".join(registry.methods))
    if "all" in names:
        raise OptionError(f"--method '{text}'", found=ALL_BESIDE, wanted="all, or names of methods")
    return [registry.method(name) for name in dict.fromkeys(names)]


def left_out(registry: Registry, lacking: Mapping[str, Sequence[str]]) -> str:
    """A line with the methods that ``--method all`` leaves out; empty if there is none.

    Args:
        registry: all methods.
        lacking: what each method lacks that can't be trained.
    """
    parts = [f"{name} (lacks {' and '.join(lacks)})" for name, lacks in lacking.items()]
    if others := [name for name in registry.methods if name.startswith(BY_NAME_ONLY)]:
        parts.append(f"{', '.join(others)} (only where named)")
    return f"--method all leaves out {', '.join(parts)}. See adbench list methods NAME." if parts else ""


def reader(
    registry: Registry, name: str, own: Mapping[str, Value] | None = None, *, root: Path | None = None
) -> Dataset:
    """The data set of a command, read with the options that were given for its reader.

    Args:
        registry: finds data sets.
        name: of the data set.
        own: options that a run file gives it: the command line wins over them, and they over what the run file says
            of all data sets, that over the data set's own file, and this over the user's defaults.
        root: the data set's folder, where its own file of options may lie.

    Raises:
        UsageError: there is no such data set, its reader has no such option, or a value doesn't fit.
    """
    from ..api.data_options import parse_change, with_options

    dataset, context = registry.dataset(name), click.get_current_context()
    usual, common, typed = (dict[str, tuple[str, str]]() for _ in range(3))
    for flag, key, text in reader_changes(context):
        if not key:
            key, found, text = text.partition("=")
            if not found:
                raise OptionError(f"{flag} {key}", found="no '='", wanted="KEY=VALUE")
        parameter = flag.removeprefix("--").replace("-", "_")
        is_typed = context.get_parameter_source(parameter) is not ParameterSource.DEFAULT_MAP
        of_file = parameter in context.meta.get(RUN_FILE, {})
        (typed if is_typed else common if of_file else usual)[key] = (flag, text)

    def parsed(given: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
        return {key: parse_change(dataset, key, text, flag) for key, (flag, text) in given.items()}

    there = option_file.changes(dataset, root, _change_of_file)
    of_own = {key: _change_of_file(dataset, key, value) for key, value in (own or {}).items()}
    changes = {**parsed(usual), **there, **parsed(common), **of_own, **parsed(typed)}
    option_file.say_used(dataset, root, there, changes)
    return with_options(dataset, changes)


def _change_of_file(dataset: Dataset, key: str, value: Value) -> Any:
    """The value of a reader's option in a run file, the same as of its text on the command line."""
    from ..api.data_options import parse_change
    from ..api.options import option_text

    if key == "ignore_mask" and value.value != "none":
        return str(value.path())
    items = value.value if isinstance(value.value, list) else [value.value]
    if not all(isinstance(each, (str, int, float)) for each in items):
        value.refuse("a text, a number, true or false, or a list of them")
    if isinstance(value.value, list) and (wrong := [each for each in items if isinstance(each, str) and "," in each]):
        value.refuse("texts without commas", found=f"'{wrong[0]}'")
    _require_type(dataset, key, value)
    try:
        return parse_change(dataset, key, option_text(key, value.value), value.where)
    except OptionError as error:
        raise OptionError(**{**error.parts, "thing": value.where}) from error
    except UnknownNameError as error:
        raise placed(error, value.where) from error


def _require_type(dataset: Dataset, key: str, value: Value) -> None:
    """Refuse a number, or true or false, where an option is a text, as it would be a text after an option."""
    from ..api.data_options import MARKING
    from ..api.marking import Marking
    from ..api.options import option_types, type_name, typed

    kind = Marking if key in MARKING else type(dataset.options)
    items = value.value if isinstance(value.value, list) else [value.value]
    known = option_types(kind) if key in MARKING or dataset.options is not None else {}
    if key not in known or all(isinstance(each, str) for each in items):
        return
    for form in (value.value, items):  # one value may stand for a list of it
        with contextlib.suppress(OptionError):
            typed(kind, {key: form}, dataset.name)
            return
    value.refuse(type_name(known[key]))


def root(reader: Dataset, given: Path | None) -> Path:
    """The data set's folder; a generated one is in the cache, and some come as packages.

    Raises:
        DataError: no folder is given.
    """
    if not reader.needs_root:
        from ..util.files import cache_folder

        return cache_folder()
    if given is None and reader.installed_root is not None:
        given = reader.installed_root()
    if given is None:
        install = f", or adbench install {reader.name}" if reader.installed_root is not None else ""
        raise DataError(
            f"data set {reader.name}", found="no --data-root", wanted="the folder where it lies",
            hint=f"Give --data-root DIR or set ADBENCH_DATA{install}. {reader.source}".strip(),
        )  # fmt: skip
    return given


def overrides(
    methods: Sequence[Method], changes: Sequence[str], short: Mapping[str, str | None]
) -> dict[str, dict[str, Any]]:
    """Parse the values of -o and of the short options, method by method.

    Raises:
        UnknownNameError: no such option or method.
        OptionError: a value that doesn't fit, or a short option that no method has.
    """
    from ..api.options import option_types, parse

    typed: dict[str, dict[str, Any]] = {method.name: {} for method in methods}
    for key, text in short.items():
        if text is None:
            continue
        having = [method for method in methods if key in option_types(method.options)]
        if not having:
            names = ", ".join(method.name for method in methods)
            raise OptionError(f"--{key}", found=f"no option '{key}' in {names}", wanted="a method that has one")
        for method in having:
            typed[method.name][key] = parse(method.options, key, text, owner=method.name)
    for change in changes:
        name, found, text = change.partition("=")
        if not found:
            raise OptionError(f"-o {change}", found="no '='", wanted="KEY=VALUE")
        owner, dot, key = name.rpartition(".")
        if dot and owner not in typed:
            raise UnknownNameError("method in -o", owner, typed)
        for method in methods:
            if not dot or method.name == owner:
                typed[method.name][key] = parse(method.options, key, text, owner=method.name)
    return typed


def auxiliary(methods: Sequence[Method], given: Sequence[str]) -> dict[str, dict[str, Path]]:
    """Sort ``--aux NAME=PATH`` and ``--aux METHOD.NAME=PATH`` by method.

    Raises:
        UsageError: no path, or a name that none of the methods has.
    """
    from ..api.requirements import unknown

    known = {method.name: {each.name for each in method.requirements.auxiliary} for method in methods}
    found: dict[str, dict[str, Path]] = {method.name: {} for method in methods}
    for each in given:
        name, is_there, path = each.partition("=")
        if not is_there or not path:
            raise UsageError(f"--aux {each}", found="no path", wanted="NAME=PATH")
        owner, dot, key = name.rpartition(".")
        having = [method for method in known if key in known[method] and (not dot or method == owner)]
        if not having:
            raise unknown(name, {method.name: method.requirements for method in methods})
        for method in having:
            found[method][key] = Path(path).expanduser()
    return found


def compute_with(choice: Choice, say: Callable[[str], object] | None = None) -> None:
    """Make torch compute with these threads until the command ends; ``say`` gets a line about a busy machine."""
    from ..util import threads

    click.get_current_context().with_resource(threads.using(choice, say))


def seeds(seed: int | None, several: str | None) -> list[int]:
    """Turn ``--seed 0`` or ``--seeds 0,1,2`` into numbers. Raises ``OptionError``."""
    if several is None:
        return [seed or 0]
    if seed is not None:
        raise OptionError("--seed and --seeds", found="both", wanted="one of them")
    words = [word.strip() for word in several.strip().removesuffix(",").split(",")]  # "3," is the seed 3
    if not all(word.isascii() and word.isdigit() and int(word) <= LAST_SEED for word in words):
        raise OptionError("--seeds", found=f"'{several}'", wanted="whole numbers such as 0,1,2")
    if len(words) == 1 and "," not in several and int(words[0]) > 0:  # one seed 3, or three seeds
        number = int(words[0])
        listed = ",".join(map(str, range(number))) if number < 10 else "0,1,2,..."
        raise OptionError(
            "--seeds", found=f"the single number {number}", wanted="several seeds such as 0,1,2",
            hint=f"For {number} seeds give --seeds {listed}; for seed {number} alone give --seed {number}",
        )  # fmt: skip
    return list(dict.fromkeys(map(int, words)))


def setting(given: Setting | None, shots: int | None) -> Setting:
    """Turn ``--setting`` and ``--shots`` into a setting. Raises ``OptionError`` where one contradicts the other."""
    if shots is not None and given not in (None, "few-shot"):
        raise OptionError("--shots", found=f"--setting {given}", wanted="--setting few-shot")
    if given == "few-shot" and shots is None:
        raise OptionError("--setting few-shot", found="no --shots", wanted="--shots K, the training images of a class")
    return "few-shot" if shots is not None else given or "one-class"


def trackers(registry: Registry, text: str | None) -> tuple[str, ...]:
    """Turn "wandb,mlflow" into names. Raises ``UnknownNameError``, or ``OptionError`` for none."""
    if text is None:
        return ()
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise OptionError("--track", found=f"'{text}'", wanted=f"some of {', '.join(registry.trackers)}")
    return tuple(registry.tracker(name).name for name in dict.fromkeys(names))


def eval_size(text: str | None) -> EvalSize | None:
    """Turn "native", "256" or "256x640" into a size. Raises ``OptionError``."""
    if text is not None and text.strip().lower() == "native":
        return "native"
    return size("--eval-size", text, wanted="native, or HxW such as 256x640")


def size(option: str, text: str | None, *, wanted: str = "HxW such as 256x640") -> Size | None:
    """Turn "256" or "256x640" into height and width. Raises ``OptionError``."""
    if text is None:
        return None
    words = text.lower().split("x")
    if len(words) > 2 or not all(word.strip().isascii() and word.strip().isdigit() and int(word) for word in words):
        raise OptionError(option, found=f"'{text}'", wanted=wanted)
    return int(words[0]), int(words[-1])


def share(text: str | None, option: str) -> float | None:
    """Turn "1%" or "0.01" into a share above 0 and below 1; None stays None. Raises ``OptionError``."""
    if text is None:
        return None
    try:
        return share_of(text)
    except ValueError:
        hint = ""
        with contextlib.suppress(ValueError):
            share_of(f"{text}%")
            hint = f"Did you mean {text.strip()}%?"
        raise OptionError(option, found=f"'{text}'", wanted="a share such as 1% or 0.01", hint=hint) from None


def target(text: str | None, folds: int | None, holdout: float) -> float | None:
    """Turn ``--target-false-alarms`` into a share. Raises ``OptionError`` where ``--folds`` does not fit."""
    if folds is not None and text is None:
        raise OptionError("--folds", found="no --target-false-alarms", wanted="the share that the threshold promises")
    if folds is not None and holdout:
        raise OptionError(
            "--folds and --holdout", found="both", wanted="one of them",
            hint="Images that are held out need no cross-validation",
        )  # fmt: skip
    return share(text, "--target-false-alarms")


def option_names(text: str) -> list[str]:
    """Turn "dimensions,layers" into names. Raises ``OptionError`` for none."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise OptionError("--by-option", found=f"'{text}'", wanted="names of options, such as dimensions,layers")
    return list(dict.fromkeys(names))


def metric(name: str) -> str:
    """Check the name of a metric. Raises ``UnknownNameError``."""
    from ..api.scores import METRIC_NAMES

    if name not in METRIC_NAMES:
        raise UnknownNameError("metric", name, METRIC_NAMES)
    return name


def metrics(*texts: str | None) -> tuple[str, ...] | None:
    """Turn "all", or names with commas between them, into names; None if there are none.

    Raises:
        UnknownNameError: a name of no metric.
    """
    from ..api.scores import METRIC_NAMES

    names = [name.strip() for text in texts if text for name in text.split(",") if name.strip()]
    if "all" in names:
        return tuple(METRIC_NAMES)
    return tuple(dict.fromkeys(map(metric, names))) or None
