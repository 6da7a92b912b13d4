"""The commands about thresholds of stored runs: ``threshold`` and ``drift``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..util.errors import AdbenchError, DataError, OptionError, UsageError
from ..util.text import spelled
from . import options as arguments
from . import values
from .console import load_plugins, print_tables, say

if TYPE_CHECKING:
    from ..report.tables import AnyTable
    from ..results.records import Result
    from ..results.score_log import LoggedScore
    from ..results.variants import Names
    from ..run.retarget import Change


@click.command(short_help="Show or set the threshold of a stored run.")
@click.argument("run", metavar="RUN")
@click.option(
    "--target", "--target-false-alarms", "target", metavar="SHARE",
    help="Find the threshold that at most so many new good images exceed, such as 0.5%, from the stored good scores.",
)  # fmt: skip
@click.option("--value", type=float, help="Set the threshold of image scores by hand.")
@click.option("--class", "-c", "class_name", help="Only that of this class, of a model of several.")
@arguments.results_option
@arguments.format_option
@arguments.debug_option
def threshold(
    run: str, target: str | None, value: float | None, class_name: str | None, results: Path, format_: str
) -> None:
    """Show the threshold of a stored run, or set another one in its result and its checkpoint.

    RUN is a name as in `adbench list runs`, a variant such as padim:cpu or brick/padim:cpu/seed0, any part of
    DATASET/CLASS/METHOD/RUN that only one run has, or a folder.

    \b
    adbench threshold padim --target 0.5%
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"
    from ..results import store
    from ..results.variants import Names

    share = values.share(target, "--target")
    if share is not None and value is not None:
        raise OptionError("--target and --value", found="both", wanted="one of them")
    if value is not None and not math.isfinite(value):
        raise OptionError("--value", found=f"{value}", wanted="a finite number")
    stored = store.read_all(results).results
    found = _found(stored, run, class_name, results)
    if value is not None and len(found) > 1:
        raise UsageError(
            "--value", found=f"{len(found)} classes with scores of their own", wanted="one",
            hint="Give --class NAME",
        )  # fmt: skip
    if share is not None or value is not None:
        found = _set(found, share, value, results)
    print_tables([thresholds_table(found, results, Names(stored, found))], format_)


def thresholds_table(found: Sequence[Result], results: Path, names: Names) -> AnyTable:
    """What the thresholds of some stored runs promise, and what they did on their test sets."""
    from ..report import promises

    return promises.promise_table(found, names, [promises.good_test_images(results, result) for result in found])


def _found(stored: Sequence[Result], run: str, class_name: str | None, results: Path) -> list[Result]:
    """The results of a run's classes, or of one of them. Raises ``UsageError`` if there is no such class."""
    from ..results.find import find_runs

    found = find_runs(stored, [run], results)
    wanted = spelled(class_name, [result.class_name for result in found]) if class_name else None
    chosen = [result for result in found if wanted in (None, result.class_name)]
    if not chosen:
        known = ", ".join(result.class_name for result in found)
        raise UsageError(f"--class {class_name}", found=f"no such class of run '{run}'", wanted=f"one of {known}")
    return chosen


def _set(found: Sequence[Result], share: float | None, value: float | None, results: Path) -> list[Result]:
    """Store another threshold of each class."""
    from ..run import retarget

    def change(model: retarget.Model, result: Result) -> Change:
        if share is None:
            assert value is not None
            return retarget.by_hand(result, value)
        return retarget.stored_target(model.folders[result.class_name], result, share)

    model = retarget.Model.of(results, found[0])
    with model.first.lock():
        retarget.require_present_scale(model, found[0], load_plugins(()))
        now = [model.folders[result.class_name].read_result() for result in found]
        return retarget.apply(model, [change(model, result) for result in now])


@click.command(short_help="Test whether logged scores still look like the good ones.")
@click.argument("run", metavar="RUN")
@click.argument("log", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--window", type=click.IntRange(min=5), default=200, show_default=True, help="Images of a window.")
@click.option(
    "--level", metavar="SHARE", default="1%", show_default=True,
    help="Probability of a false alarm in all windows together.",
)  # fmt: skip
@click.option(
    "--ignore-alarms", is_flag=True,
    help="Leave the number of alarms out of the verdict, where defective parts are usual.",
)  # fmt: skip
@click.option(
    "--good", "good_log", metavar="FILE", type=click.Path(path_type=Path),
    help="A log of good images to compare with, instead of the stored scores.",
)  # fmt: skip
@click.option("--fail-on-drift", is_flag=True, help="Exit with code 1 if any window has drifted.")
@click.option("--class", "-c", "class_name", help="Only this class, of a model of several.")
@arguments.results_option
@arguments.format_option
@arguments.debug_option
def drift(run: str, log: Path, window: int, level: str, ignore_alarms: bool, good_log: Path | None,
          fail_on_drift: bool, class_name: str | None, results: Path, format_: str) -> None:  # fmt: skip
    """Test whether the scores in FILE still look like the stored ones of good images, window by window.

    FILE is what `adbench predict --log FILE` wrote. RUN is a name as in `adbench list runs`, any part of
    DATASET/CLASS/METHOD/RUN that only one run has, or its folder, wherever it was copied.

    \b
    adbench drift padim scores.jsonl --fail-on-drift
    """  # noqa: D301 - the backspace is click's mark for "do not wrap"
    from ..report.drift import Reference, drift_table, watched
    from ..results import score_log
    from ..results.run_files import read_good_scores

    share = values.share(level, "--level") or 0.0
    places = _places(run, class_name, results)
    logs = _by_class(score_log.read(log), [result for _, result in places], log)
    known = _by_class(score_log.read(good_log), [result for _, result in places], good_log) if good_log else {}
    found, references = [], []
    used = [(folder, result) for folder, result in places if logs[result.class_name]]
    for folder, result in used:
        name = result.class_name
        if good_log is None:
            references.append(Reference.of_stored(read_good_scores(folder, result), result))
        elif known[name]:
            references.append(Reference.of_log(known[name]))
        else:
            raise DataError(f"log {good_log}", found=f"no record of class {name}", wanted="some of good images")
        found += watched(
            result, references[-1], logs[name], window=window, level=share / len(used), with_alarms=not ignore_alarms
        )
    title = f"Drift of {places[0][1].run}: {log}"
    print_tables([drift_table(found, references, level=share, with_alarms=not ignore_alarms, title=title)], format_)
    drifted = [each for each in found if each.look.drifted]
    say(f"{len(drifted)} of {len(found)} windows drifted." if drifted else "No drift.")
    if drifted and fail_on_drift:
        raise click.exceptions.Exit(AdbenchError.exit_code)


def _places(run: str, class_name: str | None, results: Path) -> list[tuple[Path, Result]]:
    """The folders of a run's classes with their results; a folder may lie anywhere."""
    from ..results import result_file, store
    from ..results.run_files import folder_of

    copied = Path(run)
    if (copied / result_file.RESULT).is_file():
        return [(copied, result_file.read(copied / result_file.RESULT))]
    found = _found(store.read_all(results).results, run, class_name, results)
    return [(folder_of(results, result).path, result) for result in found]


def _by_class(records: Sequence[LoggedScore], found: Sequence[Result], log: Path) -> dict[str, list[LoggedScore]]:
    """The records of a run by class, each image and score once. Raises ``DataError`` if the log has none.

    An image that was scored again, such as by a second ``predict --watch``, tells nothing new.
    """
    run = found[0].run
    by_class: dict[str, list[LoggedScore]] = {result.class_name: [] for result in found}
    once = {(record.run, record.class_name, record.path, record.score): record for record in reversed(records)}
    for record in reversed(once.values()):
        if record.run == run and record.class_name in by_class:
            by_class[record.class_name].append(record)
    if len(once) < len(records):
        say(
            f"{len(records) - len(once)} of {len(records)} records repeat an image with the same score and don't count."
        )
    if not any(by_class.values()):
        there = dict.fromkeys(f"{record.run} ({record.class_name})" for record in records)
        listed = ", ".join(list(there)[:4]) or "no record"
        raise DataError(
            f"log {log}", found=f"records of {listed}" if there else listed,
            wanted=f"those of {run} ({', '.join(by_class)})",
        )  # fmt: skip
    return by_class
