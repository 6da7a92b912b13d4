"""The group of all commands, and the one place that turns errors into messages and exit codes.

Results go to standard output, messages to standard error. Exit codes: 0 done, 1 a task failed, 2 a mistake in the
command or the data, 130 stopped with Ctrl-C or SIGTERM. Heavy modules are imported only by the commands that need them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import click

from ..util.errors import AdbenchError, PluginError, UsageError, described
from ..util.installed import namesake
from ..util.text import printable
from . import (
    cache,
    check_method,
    completion,
    data,
    defaults,
    doctor,
    evaluate,
    export,
    figure,
    install,
    label,
    plugin,
    predict,
    reproduce,
    run,
    sharing,
    shells,
    single,
    site,
    speed,
    stored,
    submit,
    threshold,
    trial,
    weights,
)
from . import options as arguments
from .console import STOPPED, say, warn
from .file_keys import wanted
from .groups import TopGroup

LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""torch's switch for pages of 2 MB under large tensors, where Linux has them: fewer page faults, faster steps."""

MPS_FALLBACK = "PYTORCH_ENABLE_MPS_FALLBACK"
"""torch's switch for operations that Apple's GPUs lack: the CPU computes them, instead of an error."""

NO_SPINNING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""Tells the OpenMP libraries (GNU's, LLVM's, Intel's) that a waiting thread must sleep and not spin.

torch, MKL and oneDNN share the library that torch ships. As soon as other programs run, a spinning thread takes a core
from the thread that it waits for.
"""


class _FailureError(click.ClickException):
    """Prints an ``AdbenchError`` in one line on standard error."""

    exit_code = AdbenchError.exit_code

    def format_message(self) -> str:
        """The message, with control characters as escapes: names of files and classes come from other people."""
        return printable(super().format_message())


class _MistakeError(_FailureError):
    """Prints a user's mistake."""

    exit_code = UsageError.exit_code


class _Group(TopGroup):
    """Turns errors into messages and exit codes."""

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        try:
            return super().make_context(*args, **settings)
        except click.UsageError as error:
            raise _in_one_line(error) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _sigterm_is_ctrl_c():
                defaults.apply(ctx)
                return super().invoke(ctx)
        except click.UsageError as error:
            raise _in_one_line(error) from error
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            say("Stopped.")
            ctx.exit(STOPPED)
        except BrokenPipeError:  # the reader has stopped, as in `adbench list runs | head`
            _forget_output()
            ctx.exit(0)
        except AdbenchError as error:
            if arguments.debugging(ctx):
                raise
            text = str(defaults.in_place(ctx, error))
            raise (_MistakeError if isinstance(error, UsageError) else _FailureError)(text) from error
        except SystemExit as error:  # adbench itself ends by click's Exit
            if arguments.debugging(ctx):
                raise
            stopped = PluginError(_innermost_file(error), found=described(error), hint="Correct that plugin")
            raise _MistakeError(str(stopped)) from error
        except Exception as error:
            if arguments.debugging(ctx):
                raise
            broken = AdbenchError("adbench broke", found=described(error), hint="See the traceback with --debug")
            raise _FailureError(str(broken)) from error


def _in_one_line(error: click.UsageError) -> click.ClickException:
    """A mistake that click found, in the form of adbench's own; the help of a group without a command stays."""
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        return error
    hint = f"See {error.ctx.command_path} --help" if error.ctx else ""
    if isinstance(error, click.NoSuchOption):
        near = f"Did you mean {' or '.join(error.possibilities)}?" if error.possibilities else hint
        return _MistakeError(str(UsageError(f"unknown option '{error.option_name}'", hint=near)))
    missing = isinstance(error, click.MissingParameter)
    if isinstance(error, click.BadParameter) and error.param is not None and not missing:
        found, _, _ = error.message.partition(" is not ")
        name = error.param.opts[0] if error.param.param_type_name == "option" else error.param.human_readable_name
        return _MistakeError(str(UsageError(name, found=found, wanted=wanted(error.param.type))))
    return _MistakeError(str(UsageError(" ".join(error.format_message().split()), hint=hint)))


@contextlib.contextmanager
def _sigterm_is_ctrl_c() -> Iterator[None]:
    """Make a first SIGTERM act as Ctrl-C, and ignore more of them. Only a program's main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _innermost_file(error: BaseException) -> str:
    """The file in which an error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "code of a plugin" if trace is None else trace.tb_frame.f_code.co_filename


def _forget_output() -> None:
    """Discard output that is not flushed yet; otherwise Python complains at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@click.group("adbench", cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="adbench-suite", message="adbench %(version)s")
def app() -> None:
    """Benchmark unsupervised industrial anomaly detection.

    \b
    adbench run --method msflow --dataset demo --class all --preset cpu
    adbench compare msflow cflow
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"


for _command in (
    run.run,
    trial.test,
    predict.predict,
    export.export,
    speed.speed,
    reproduce.reproduce,
    check_method.check_method,
    stored.leaderboard,
    stored.compare,
    stored.list_,
    stored.results_,
    sharing.publish,
    stored.report_,
    stored.heatmaps,
    submit.submit,
    threshold.threshold,
    threshold.drift,
    figure.figure,
    site.site,
    single.show,
    single.rm,
    plugin.plugin_,
    evaluate.evaluate,
    label.label,
    cache.cache_,
    completion.completion,
    data.data_,
    doctor.doctor,
    install.install,
    weights.weights_,
):
    app.add_command(_command)
for _command in (sharing.merge, sharing.archive, sharing.import_):
    stored.results_.add_command(_command)
completion.attach(app)
shells.register()
defaults.attach(app)


def prepare_torch() -> None:
    """Set the variables that torch and its libraries read when they are loaded. The user's own settings stay."""
    os.environ.setdefault(LARGE_PAGES, "1")
    os.environ.setdefault(MPS_FALLBACK, "1")
    if not any(name in os.environ for name in NO_SPINNING):
        os.environ.update(NO_SPINNING)


def main() -> None:
    """Run the command line."""
    if completion.VARIABLE not in os.environ and (warning := namesake()):
        warn(warning)
    prepare_torch()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a legacy code page of a Windows console must not end a run
            # files and programs get every letter on every system
            own = stream.isatty() or "PYTHONIOENCODING" in os.environ
            stream.reconfigure(encoding=None if own else "utf-8", errors="replace")
    app()


if __name__ == "__main__":
    main()
