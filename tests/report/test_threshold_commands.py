"""Which commands gave a run its threshold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from made_results import make_result

from adbench.api.scores import BY_HAND, Promise, Threshold
from adbench.report import threshold_commands
from adbench.results.records import Result

USUAL = Path("results")
RUN = "adbench run -m msflow -c a"


def made(command: str, threshold: Threshold | None, class_name: str = "a") -> Result:
    return replace(make_result(class_name=class_name), command=command, threshold=threshold, run="cpu-seed0-1")


def promised(target: float, folds: int | None = None) -> Threshold:
    return Threshold(1.5, "conformal", 0.0, 0.0, promise=Promise(target, 99, target, target, folds=folds))


def commands(command: str, threshold: Threshold | None) -> list[str]:
    """The commands of a run of one class, without the place of the run."""
    found = threshold_commands.of_run([made(command, threshold)], USUAL)
    return [each.replace("folder/a/msflow/cpu-seed0-1", "RUN") for each in found]


def test_a_threshold_of_the_runs_own_command_needs_no_other():
    """Without a threshold, with a suggested one, and with the share that the command asks for, however it is typed."""
    assert commands(RUN, None) == []
    assert commands(RUN, Threshold(1.5, "mean + 3 sd of 60 training scores", 0.0, 0.0)) == []
    for typed in ("1%", "0.01", "1.0 %"):
        assert commands(f"{RUN} --target-false-alarms '{typed}'", promised(0.01)) == []
        assert commands(f"{RUN} --target-false-alarms='{typed}'", promised(0.01, folds=5)) == []


def test_another_share_is_set_from_stored_scores_or_by_the_run_again():
    """A cross-validation that the command did not ask for is one of run; a share keeps all its digits."""
    assert commands(f"{RUN} --holdout 0.5", promised(0.01)) == ["adbench threshold RUN --target 1%"]
    assert commands(RUN, promised(0.123456)) == ["adbench threshold RUN --target 0.123456"]
    assert commands(RUN, promised(0.02, folds=4)) == [f"{RUN} --target-false-alarms 2% --folds 4"]
    crossed = f"{RUN} --target-false-alarms 1% --folds 3"
    assert commands(crossed, promised(0.02, folds=3)) == ["adbench threshold RUN --target 2%"]


def test_a_threshold_by_hand_comes_after_the_promise_of_its_pixels():
    """The first command sets the pixels' threshold, the second the images'."""
    by_hand = Threshold(0.1 + 0.2, BY_HAND, 0.0, 0.0, pixel=promised(0.05))
    assert commands(RUN, by_hand) == [
        "adbench threshold RUN --target 5%", "adbench threshold RUN --value 0.30000000000000004",
    ]  # fmt: skip
    assert commands(RUN, replace(by_hand, pixel=None)) == ["adbench threshold RUN --value 0.30000000000000004"]


def test_each_class_of_a_model_has_its_own(tmp_path):
    """The class is named, and a folder of results that is not the usual one."""
    run = [made(RUN, Threshold(value, BY_HAND, 0.0, 0.0), name) for name, value in (("a", 1.0), ("b", 2.0))]
    assert threshold_commands.of_run(run, tmp_path) == tuple(
        f"adbench threshold folder/{name}/msflow/cpu-seed0-1 --value {value} -c {name} --results {tmp_path}"
        for name, value in (("a", 1.0), ("b", 2.0))
    )
