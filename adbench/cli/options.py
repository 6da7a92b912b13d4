"""The options of the command line that several commands share."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from ..util.errors import OptionError, UsageError, absent
from .reader_options import reader_options

if TYPE_CHECKING:
    from ..util.threads import Choice

Command = TypeVar("Command", bound=Callable[..., Any])

FORMATS = ("table", "json", "csv", "markdown", "latex", "svg")

SETTINGS = ("one-class", "multi-class", "few-shot", "zero-shot")
"""Those of ``adbench.api.data``, which a start without a command need not import."""

LAST_SEED = 2**32 - 1
"""The highest seed that NumPy accepts."""

DEBUG = "adbench.debug"
"""Key in click's contexts for whether tracebacks are wanted."""


class _Folder(click.Path):
    """The path of a folder. An empty text, as of a shell's variable that is not set, is not the working folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            name = param.opts[0] if param is not None else "folder"
            raise UsageError(f"{name} ''", found="an empty name", wanted="a folder, such as . for the working folder")
        return super().convert(value, param, ctx)


FOLDER = _Folder(path_type=Path)


def debug_option(command: Command) -> Command:
    """Add ``--debug``, whose value ``debugging`` returns."""

    def remember(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            context.meta[DEBUG] = True

    return click.option(
        "--debug", is_flag=True, is_eager=True, expose_value=False, callback=remember,
        help="Show the traceback of an error.",
    )(command)  # fmt: skip


def debugging(context: click.Context) -> bool:
    """Whether the user wants tracebacks; a group's context has the ``--debug`` of its commands, too."""
    return bool(context.meta.get(DEBUG))


def format_option(command: Command) -> Command:
    """Add ``--format``."""
    return click.option(
        "--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True,
        help="How to write tables to standard output.",
    )(command)  # fmt: skip


def oracle_option(command: Command) -> Command:
    """Add ``--oracle``."""
    return click.option(
        "--oracle", is_flag=True, help="Show the best epochs, too: chosen on the test set, so they never rank."
    )(command)


def results_option(command: Command) -> Command:
    """Add ``--results``."""
    return click.option(
        "--results", type=FOLDER, default=Path("results"), show_default=True,
        help="Folder of the results.",
    )(command)  # fmt: skip


def settings_options(command: Command) -> Command:
    """Add ``--setting`` and ``--shots``: what one model is trained on."""
    shots = click.option(
        "--shots", type=click.IntRange(min=1), metavar="K",
        help="Train on K images of each class, drawn by the seed: the setting few-shot.",
    )  # fmt: skip
    setting = click.option(
        "--setting", type=click.Choice(SETTINGS),
        help="What a model is trained on: one class; all chosen classes together; a few images; or none.  "
        "[default: one-class]",
    )  # fmt: skip
    return setting(shots(command))


def setting_filter(command: Command) -> Command:
    """Add ``--setting``, which chooses among stored results."""
    return click.option("--setting", type=click.Choice(SETTINGS), help="Only results of this setting.")(command)


def target_options(command: Command) -> Command:
    """Add ``--target-false-alarms`` and ``--folds``: what the threshold is to promise."""
    target = click.option(
        "--target-false-alarms", "target", metavar="SHARE",
        help="Find the threshold that at most so many new good images exceed, such as 1%: from held-out images, else "
        "by cross-validation.",
    )  # fmt: skip
    folds = click.option(
        "--folds", type=click.IntRange(min=2), metavar="K",
        help="Models that the cross-validation trains.  [default: 5 where no good image is held out]",
    )  # fmt: skip
    return target(folds(command))


def test_split_option(command: Command) -> Command:
    """Add ``--test-split``."""
    return click.option(
        "--test-split", metavar="NAME", help="The test images to score, of a data set with several sets of them."
    )(command)


def threads_option(command: Command) -> Command:
    """Add ``--threads``, as a ``threads.Choice``."""
    return click.option(
        "--threads", metavar="N|auto", callback=_threads,
        help="Threads that compute on the CPU; auto looks at the load and times some training steps.  "
        "[default: auto, or OMP_NUM_THREADS]",
    )(command)  # fmt: skip


def _threads(ctx: click.Context, option: click.Parameter, text: str | None) -> Choice:
    from ..util import threads

    words = (text or "").strip().lower()
    choice: Choice = threads.default() if text is None else None
    if text is not None:
        if words != "auto" and not (words.isascii() and words.isdigit() and 1 <= int(words) <= threads.most()):
            wanted = f"auto, or a whole number from 1 to {threads.most()}"
            raise OptionError("--threads", found=f"'{text}'", wanted=wanted)
        choice = "auto" if words == "auto" else int(words)
    if choice == "auto":
        threads.this_machine()  # starts to measure the load
    return choice


def megapixels_option(command: Command) -> Command:
    """Add ``--max-megapixels``, which reaches all code that decodes images as an environment variable."""
    return click.option(
        "--max-megapixels", type=float, callback=_megapixels, expose_value=False,
        envvar="ADBENCH_MAX_MEGAPIXELS", show_envvar=True,
        help="Read images of up to so many million pixels.  [default: 179]",
    )(command)  # fmt: skip


def _megapixels(ctx: click.Context, option: click.Parameter, value: float | None) -> None:
    if value is None:
        return
    if not value > 0:
        raise OptionError("--max-megapixels", found=f"{value:g}", wanted="a positive number")
    from ..data.image_files import MEGAPIXELS

    _set_variable(ctx, MEGAPIXELS, repr(value))


def cache_limit_option(command: Command) -> Command:
    """Add ``--cache-limit``, which goes to whatever writes to the cache by a variable of the environment."""
    return click.option(
        "--cache-limit", metavar="SIZE", callback=_cache_limit, expose_value=False,
        envvar="ADBENCH_CACHE_LIMIT", show_envvar=True,
        help="Let cached images and features take at most so many bytes, such as 100GB.  "
        "[default: the smaller of 50GB and a tenth of the disk]",
    )(command)  # fmt: skip


def _cache_limit(ctx: click.Context, option: click.Parameter, text: str | None) -> None:
    if text is None:
        return
    from ..util.cache import LIMIT_VARIABLE
    from ..util.sizes import parse_bytes

    _set_variable(ctx, LIMIT_VARIABLE, str(parse_bytes(text, "--cache-limit")))


def _set_variable(ctx: click.Context, name: str, value: str) -> None:
    """Set a variable of the environment for this command, and for the processes that it starts."""
    before = os.environ.get(name)
    os.environ[name] = value

    def restore() -> None:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before

    ctx.call_on_close(restore)


def plugin_option(command: Command) -> Command:
    """Add ``--plugin``."""
    return click.option(
        "--plugin", "plugin_files", multiple=True, type=click.Path(path_type=Path),
        help="A Python file that offers methods or data sets; may be given several times.",
    )(command)  # fmt: skip


def device_option(command: Command) -> Command:
    """Add ``--device``."""
    return click.option(
        "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."
    )(command)  # fmt: skip


def change_option(help_: str) -> Callable[[Command], Command]:
    """Add ``--option``, which changes options of a method."""
    return click.option("--option", "-o", "changes", multiple=True, metavar="KEY=VALUE", help=help_)


def metric_option(command: Command) -> Command:
    """Add ``--metric``, by which results are ranked."""
    return click.option("--metric", default="image_auroc", show_default=True, help="Rank by this metric.")(command)


def metrics_option(command: Command) -> Command:
    """Add ``--metrics``, which tables show."""
    meaning = "image_auroc, pixel_auroc, aupro; segf1 and au_spro where most runs have them"
    return click.option("--metrics", metavar="all|NAME,...", help=f"Show these metrics.  [default: {meaning}]")(command)


def why_option(command: Command) -> Command:
    """Add ``--why``."""
    return click.option("--why", is_flag=True, help="Say why a metric is -, for each that is.")(command)


def auxiliary_option(command: Command) -> Command:
    """Add ``--aux``."""
    return click.option(
        "--aux", "auxiliary", multiple=True, metavar="NAME=PATH",
        help="A file or folder that a method needs beside the images: see adbench list methods NAME.",
    )(command)  # fmt: skip


def stored(command: Command) -> Command:
    """Add the options of every command that reads stored results."""
    for option in (debug_option, format_option, chosen, results_option):  # --help shows the last one first
        command = option(command)
    return command


def chosen(command: Command) -> Command:
    """Add ``--dataset`` and ``--class``, which choose among stored results."""
    classes = click.option("--class", "-c", "class_name", help="Only these classes: CLASS[,CLASS...] or all.")
    return click.option("--dataset", "-d", help="Only this data set.")(classes(command))


def no_nan(ctx: click.Context, option: click.Parameter, value: float | None) -> float | None:
    """Refuse NaN: it compares with nothing, so click's ranges accept it."""
    if value is not None and math.isnan(value):
        raise UsageError(option.opts[0], found="nan", wanted="a number")
    return value


def _folders(ctx: click.Context, option: click.Parameter, folders: Sequence[Path]) -> Sequence[Path]:
    return existing_roots(ctx, folders)


def existing_roots(ctx: click.Context, folders: Sequence[Path]) -> Sequence[Path]:
    """The folders given as ``data_roots``. Raises ``UsageError`` for one that is missing, except by the environment."""
    if ctx.get_parameter_source("data_roots") is ParameterSource.ENVIRONMENT:
        return [folder for folder in folders if folder.is_dir()]
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"--data-root {folder}", found=absent(folder, "folder"), wanted="where a data set lies")
    return folders


def looked_up(command: Command) -> Command:
    """Add the options of every command that looks for stale runs."""
    return data_roots_option("where the run found it", _folders)(plugin_option(command))


def reopened(command: Command) -> Command:
    """Add the options of every command that scores with stored runs again."""
    return looked_up(device_option(threads_option(megapixels_option(command))))


def data_roots_option(
    default: str, callback: Callable[..., Sequence[Path]] | None = None
) -> Callable[[Command], Command]:
    """Make an option for folders of data sets; ``default`` says what holds without one."""
    return click.option(
        "--data-root", "data_roots", type=FOLDER, multiple=True, callback=callback,
        envvar="ADBENCH_DATA", show_envvar=True,
        help=f"Folder of a data set; may be given several times.  [default: {default}]",
    )  # fmt: skip


def what_to_run(command: Command) -> Command:
    """Add the options of ``run``: the data, and all settings of a method."""
    data = _data(_all_classes(), required=False)  # a run file may name it
    return _added(*data, *_method(), *_machine(), _skip_bad(), plugin_option, debug_option)(command)


def what_to_test(command: Command) -> Command:
    """Add the options of ``test``: those of ``run``, but with the checkpoint's own class as default."""
    own = click.option("--class", "-c", "classes", show_default="the checkpoint's own", help="CLASS[,CLASS...] or all.")
    return _added(*_data(own), *_method(), *_machine(), _skip_bad(), plugin_option, debug_option)(command)


def what_to_reproduce(command: Command) -> Command:
    """Add the options of ``reproduce``: those of ``run`` that don't change the published set-up."""
    own = (auxiliary_option, _weights(), _amp())
    return _added(*_data(_all_classes()), *own, *_machine(), plugin_option, debug_option)(command)


def _added(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):  # --help shows the last one applied first
            command = option(command)
        return command

    return add


def _all_classes() -> Callable[[Command], Command]:
    return click.option("--class", "-c", "classes", default="all", show_default=True, help="CLASS[,CLASS...] or all.")


def _data(
    class_option: Callable[[Command], Command], *, required: bool = True
) -> Sequence[Callable[[Command], Command]]:
    return (
        click.option("--dataset", "-d", required=required, help="mvtec, visa, folder, demo or a plugin's."),
        class_option,
        click.option("--data-root", type=FOLDER, envvar="ADBENCH_DATA", show_envvar=True,
                     help="Folder of the data set."),
        *reader_options(),
    )  # fmt: skip


def _method() -> Sequence[Callable[[Command], Command]]:
    return (
        click.option("--preset", "-p", default="paper", show_default=True, help="paper, quick, cpu or a method's own."),
        change_option("Change an option of the method; METHOD.KEY=VALUE for one of several."),
        auxiliary_option,
        click.option("--backbone", help="Short for -o backbone=NAME."),
        _weights(),
        click.option("--size", help="Input size; short for -o size=HxW. With --tile, the size of the whole image."),
        *_tiles(),
        _amp(),
    )


def _tiles() -> Sequence[Callable[[Command], Command]]:
    return (
        click.option("--tile", metavar="HxW", help="Cut large images into tiles of this size, and join their scores."),
        click.option("--overlap", metavar="N", help="Pixels that neighbouring tiles have in common.  [default: 0]"),
    )


def _weights() -> Callable[[Command], Command]:
    return click.option("--weights", help="State dict of the backbone; short for -o weights=FILE.")


def _amp() -> Callable[[Command], Command]:
    return click.option(
        "--amp", type=click.Choice(["auto", "off", "bf16", "fp16"]),
        help="Precision: off is fp32, auto the fastest that the device has. Short for -o amp=NAME.",
    )  # fmt: skip


def _machine() -> Sequence[Callable[[Command], Command]]:
    return (device_option, threads_option, megapixels_option, cache_limit_option)


def _skip_bad() -> Callable[[Command], Command]:
    return click.option("--skip-bad", is_flag=True, help="Leave broken images out and record which.")
