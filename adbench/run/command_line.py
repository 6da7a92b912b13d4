"""The command line that does one job alone, whatever file or defaults the job came from."""

from __future__ import annotations

import shlex

from ..api.data import size_text
from ..api.options import option_text
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
