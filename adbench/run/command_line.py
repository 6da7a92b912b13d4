"""The command line that does one job alone, or a stored run's for other classes, whatever file they came from."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from ..api.data import size_text
from ..api.options import option_text
from ..results.records import Result
from . import places
from .identity import AUXILIARY
from .job import Job


def of_job(job: Job, *, needs_root: bool) -> str:
    """The command that computes the same result as a job, with the same name.

    Args:
        job: the job.
        needs_root: whether its data set lies in a folder of the user's.
    """
    words = ["adbench", "run", "-m", job.method, "-d", job.dataset, "-c", ",".join(job.classes), "-p", job.preset]
    words += ["--data-root", str(job.data_root)] if needs_root else []
    words += ["--seed", str(job.seed)]
    if job.shots is not None:
        words += ["--shots", str(job.shots)]
    elif job.setting != "one-class":
        words += ["--setting", job.setting]
    for flag, values in (("--data-option", job.data_options), ("-o", job.overrides)):
        words += [word for key, value in values for word in (flag, f"{key}={option_text(key, value)}")]
    words += [word for name, path in job.auxiliary for word in ("--aux", f"{name}={path}")]
    words += [word for path in job.plugin_files for word in ("--plugin", str(path))]
    given = {
        "--test-split": job.test,
        "--range": None if job.levels is None else job.levels.text,
        "--eval-every": job.eval_every,
        "--eval-size": None if job.eval_size is None else size_text(job.eval_size),
        "--holdout": job.holdout or None,
        "--target-false-alarms": job.target_false_alarms,
        "--folds": job.folds,
        "--segf1": None if job.segf1 == "rule" else job.segf1,
        "--keep": None if job.keep == "last" else job.keep,
        "--label": job.label or None,
        "--track": ",".join(job.track) or None,
        "--device": None if job.device == "auto" else job.device,
        "--threads": job.threads,
        "--results": job.results,
    }
    words += [word for flag, value in given.items() if value is not None for word in (flag, str(value))]
    return shlex.join([*words, *(["--skip-bad"] if job.skip_bad else [])])


def of_result(result: Result, classes: Sequence[str], results: Path) -> str:
    """The command that makes runs of a stored result's variant and seed for other classes.

    What a result does not hold, the places of auxiliary data, plugin files and ignore masks, is taken from its own
    command. Where that doesn't name them (a run file did), the word PATH stands in their place.

    Args:
        result: one run of the variant.
        classes: those to train.
        results: the folder of all results.
    """
    made, command = result.protocol, result.command
    words = ["adbench", "run", "-m", result.method, "-d", result.dataset, "-c", ",".join(classes), "-p", result.preset]
    roots = places.of_data(result, results)
    words += ["--data-root", str(next(filter(Path.is_dir, roots), roots[0]))] if roots else []
    words += ["--seed", str(result.seed)]
    if made.shots is not None:
        words += ["--shots", str(made.shots)]
    elif made.setting != "one-class":
        words += ["--setting", made.setting]
    for key in made.reading.changed if made.reading else ():
        assert made.reading is not None
        words += ["--data-option", f"{key}={option_text(key, made.reading.options[key])}"]
    words += [word for key, value in result.overrides.items() for word in ("-o", f"{key}={option_text(key, value)}")]
    words += [word for text in _auxiliary(result) for word in ("--aux", text)]
    words += [word for path in places.named_in(command, "--plugin") for word in ("--plugin", path)]
    own = made.segf1_target is not None
    given = {
        "--mask-rule": made.mask_rule,
        "--min-defect-area": made.min_defect_area or None,
        "--ignore-mask": made.ignore_mask and [*places.named_in(command, "--ignore-mask"), "PATH"][0],
        "--test-split": made.test,
        "--range": None if made.levels_given is None else made.levels_given.text,
        "--eval-every": result.eval_every,
        "--eval-size": None if made.map_resampling is None else size_text(made.mask_size),
        "--holdout": made.holdout or None,
        "--target-false-alarms": made.segf1_target,
        "--segf1": "own" if own else None,
        "--label": result.label or None,
        "--results": None if results == Path("results") else results,
    }
    words += [word for flag, value in given.items() if value is not None for word in (flag, str(value))]
    return shlex.join(words)


def _auxiliary(result: Result) -> list[str]:
    """The auxiliary data of a run, NAME=PATH: the places of its own command, or the word PATH."""
    pairs = [text.partition("=")[::2] for text in places.named_in(result.command, "--aux")]
    own = [(key.removeprefix(f"{result.method}."), path) for key, path in pairs]
    typed = {key: path for key, path in own if "." not in key}  # "." is in those of other methods
    files = result.identity.files if result.identity else {}
    names = [key.removeprefix(AUXILIARY) for key in files if key.startswith(AUXILIARY)]
    return [f"{name}={typed.get(name, 'PATH')}" for name in names]
