"""Checks for any method, on a few generated images: without data, without network, in seconds.

In a test of a plugin::

    from adbench import checks

    def test_mine():
        checks.check_method("mine", plugin_files=["mine.py"])
"""

from __future__ import annotations

import gc
import json
import tempfile
import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..api import options as options_module
from ..api import registry
from ..api.data import Size
from ..api.detector import Detector
from ..api.method import Method
from ..api.requirements import examine, require
from ..util.errors import PLUGIN_ERRORS, SizeError, UsageError, described
from ..util.text import plural
from . import checkpoint
from .check_bench import SIZE, CheckBench, MadeImages, difference, rows_of, small_options, through_a_file
from .check_outcome import CheckResult, FailedError, SkippedError, require_passed
from .evaluate import TestScores
from .session import Session
from .verify import ALIKE

SAME = 1e-5
"""Share of the spread within which scores count as the same."""

ON_GPU = 1e-2
"""Share of the spread by which scores may differ between a CPU and a GPU."""


def run(
    method: Method | str,
    *,
    preset: str | None = None,
    changes: Mapping[str, Any] | None = None,
    auxiliary: Mapping[str, Path] | None = None,
    plugin_files: Sequence[str | Path] = (),
    watch: Callable[[str], None] | None = None,
) -> tuple[CheckResult, ...]:
    """Check a method on a tiny data set, and return the result of each check.

    The method's preset is made small: 96 x 128 pixels, two epochs, batches of 8, float32. A method that
    doesn't take this size is checked at its preset's own.

    Args:
        method: the method, or the name of an installed one or of one in ``plugin_files``.
        preset: the preset; by default ``cpu``, or else ``quick`` or ``paper``.
        changes: options that keep these values.
        auxiliary: paths of the method's auxiliary data by name.
        plugin_files: plugin files to load.
        watch: called with the name of each check before it begins.

    Raises:
        UsageError: an unknown method or preset, an unmet requirement, or a user's mistake that the method reports.
    """
    plugins = registry.Registry({}, {})
    if isinstance(method, str) or plugin_files:
        plugins = registry.load([Path(file) for file in plugin_files])
    if isinstance(method, str):
        method = plugins.method(method)
    with tempfile.TemporaryDirectory(prefix="adbench-check-", ignore_cleanup_errors=True) as folder:
        subject = _Subject(method, plugins, preset, dict(changes or {}), dict(auxiliary or {}), Path(folder))
        results: list[CheckResult] = []
        for title, check in _CHECKS.items():
            if watch:
                watch(title)
            if any(result.outcome == "failed" for result in results[:2]):  # without scores there is no more to see
                results.append(CheckResult(title, "skipped", "the method does not get that far"))
            else:
                results.append(_one(title, check, subject))
        return tuple(results)


def check_method(
    method: Method | str,
    *,
    preset: str | None = None,
    changes: Mapping[str, Any] | None = None,
    auxiliary: Mapping[str, Path] | None = None,
    plugin_files: Sequence[str | Path] = (),
) -> None:
    """Fail a test unless the method passes all checks that can be made here. Arguments as in ``run``.

    Raises:
        AssertionError: a check failed; the message lists which, and why.
        UsageError: as ``run``.
    """
    results = run(method, preset=preset, changes=changes, auxiliary=auxiliary, plugin_files=plugin_files)
    require_passed(method if isinstance(method, str) else method.name, results)


def _one(title: str, check: Callable[[_Subject], str], subject: _Subject) -> CheckResult:
    try:
        return CheckResult(title, "passed", check(subject))
    except SkippedError as skipped:
        return CheckResult(title, "skipped", str(skipped))
    except UsageError as error:
        if check is _runs:  # the method can't be checked before the user corrects this
            raise
        return CheckResult(title, "failed", described(error))
    except FailedError as failed:
        return CheckResult(title, "failed", str(failed))
    except PLUGIN_ERRORS as error:  # any error of a method is its own failure
        return CheckResult(title, "failed", described(error) + _place(error, subject.method), error)


def _place(error: BaseException, method: Method) -> str:
    """The line of the plugin that raised an error, or called what did: ", in my_method.py, line 12"."""
    functions = vars(method.build).values() if isinstance(method.build, type) else (method.build,)
    files = [function.__code__.co_filename for function in functions if hasattr(function, "__code__")]
    if not files:
        return ""
    folder = Path(files[0]).parent
    own = [each for each in traceback.extract_tb(error.__traceback__) if Path(each.filename).parent == folder]
    return f", in {Path(own[-1].filename).name}, line {own[-1].lineno}" if own else ""


# ---------------------------------------------------------------- what is tried


class _Subject:
    """The method under test; what several checks need is made once."""

    def __init__(
        self,
        method: Method,
        plugins: registry.Registry,
        preset: str | None,
        changes: dict[str, Any],
        auxiliary: dict[str, Path],
        folder: Path,
    ) -> None:
        self.method, self.plugins, self.preset = method, plugins, preset
        self.changes, self.auxiliary, self.folder = changes, auxiliary, folder

    @cached_property
    def _begun(self) -> tuple[CheckBench, Detector]:
        """Options with which the method trains, on small images or else on images of its preset's size.

        If its backbone takes multiples of some number only, the small size is rounded to these.
        """
        sizes: list[Size | None] = [None] if "size" in self.changes else [SIZE, None]
        for number, size in enumerate(sizes):
            options = small_options(self.method, self.preset, self.changes, size=size)
            require(self.method.name, self.method.requirements, options, self.auxiliary)
            examine(self.method.requirements, options, self.auxiliary)
            images = MadeImages(self.folder / str(number), options.size)
            bench = CheckBench(self.method, options, images, torch.device("cpu"), self.auxiliary, self.plugins)
            try:
                return bench, bench.fitted(0, shown=images.test(1))
            except SizeError as error:
                if size is None:
                    raise
                fitting = _rounded(size, error.multiple)
                if fitting not in sizes:
                    sizes.insert(number + 1, fitting)
            except UsageError:
                if size is None:
                    raise
        raise AssertionError("unreachable: the last size is None")

    @property
    def bench(self) -> CheckBench:
        """The method on the CPU."""
        return self._begun[0]

    @property
    def detector(self) -> Detector:
        """A detector trained with seed 0, which scored the first test images between its epochs."""
        return self._begun[1]

    @cached_property
    def scores(self) -> TestScores:
        """Its scores."""
        return self.bench.score(self.detector, self.bench.made.test(1))

    @cached_property
    def again(self) -> tuple[float, bool, int]:
        """Train again and drop the detector: difference of its scores, whether it is freed, and the tensors left."""
        store = self.bench.made.test(1)
        expected = self.scores
        before = _tensors()
        detector = self.bench.fitted(0, shown=store)
        gone = weakref.ref(detector)
        off = difference(expected, self.bench.score(detector, store))
        del detector
        left = _tensors() - before
        return off, gone() is None, left

    def need_repeatable(self) -> None:
        """Skip a check that needs the same scores from the same seed if they differ."""
        if not self.again[0] <= SAME:
            raise SkippedError("can't be checked while the same seed gives other scores")


def _rounded(size: Size, multiple: int) -> Size:
    """The nearest size whose sides are multiples of a number."""
    height, width = (max(1, round(side / multiple)) * multiple for side in size)
    return height, width


def _require(found: float, limit: float, what: str) -> None:
    if not found <= limit:
        amount = f"by {found:.1%} of their spread" if found < float("inf") else "altogether"
        raise FailedError(f"{what} {amount}")


def _runs(subject: _Subject) -> str:
    """Build, train and score."""
    epoch = subject.detector.epoch
    size = "x".join(map(str, subject.bench.options.size))
    return f"{plural(epoch, 'epoch')} at {size}"


def _shapes(subject: _Subject) -> str:
    """Scores of the right shapes and finite."""
    scores = subject.scores
    found = ["image scores"]
    found += ["maps"] if scores.maps is not None else []
    found += ["region maps"] if scores.region_maps is not None else []
    return ", ".join(found)


def _alone(subject: _Subject) -> str:
    """An image's score doesn't depend on its batch, nor on images scored before."""
    bench, store = subject.bench, subject.bench.made.test(1)
    count = len(store.samples)
    alone = bench.score(subject.detector, store, 1)
    together = bench.score(subject.detector, store, count)
    _require(difference(alone, together), ALIKE, "in a batch the scores differ")
    backwards = bench.score(subject.detector, rows_of(store, range(count)[::-1]))
    _require(difference(alone, backwards.reversed()), ALIKE, "in another order the scores differ")
    bench.score(subject.detector, replace(store, images=store.images % 2 * 255), count)  # as odd as can be
    _require(difference(alone, bench.score(subject.detector, store, 1)), ALIKE, "after other images the scores differ")
    return "also in another order, and after other images"


def _seed(subject: _Subject) -> str:
    """The same seed trains the same detector."""
    _require(subject.again[0], SAME, "trained again, the scores differ")
    return ""


def _state(subject: _Subject) -> str:
    """A checkpoint contains everything needed to score, also after a start with another seed."""
    bench, store = subject.bench, subject.bench.made.test(1)
    fresh = bench.reopened(1)
    checkpoint.hand_over(subject.detector, fresh, through_a_file)
    _require(difference(subject.scores, bench.score(fresh, store)), SAME, "a loaded state's scores differ")
    return ""


def _settings(subject: _Subject) -> str:
    """It trains and scores in each of its settings: on two classes, on one image, on none."""
    others = [setting for setting in subject.method.settings if setting != "one-class"]
    if not others:
        raise SkippedError("it supports one-class only")
    bench, store = subject.bench, subject.bench.made.test(1)
    for setting in others:
        try:
            detector = bench.build(0, setting)
            bench.train(detector, shown=store, images=bench.training(setting))
            bench.score(detector, store)
        except Exception as error:
            raise FailedError(f"{setting}: {described(error)}") from error
    return ", ".join(others)


def _no_test_images(subject: _Subject) -> str:
    """With other test images on disk, scored between epochs, training ends the same."""
    subject.need_repeatable()
    bench = subject.bench
    ours = bench.score(subject.detector, bench.made.test(3))
    other = bench.fitted(0, shown=bench.made.test(2))
    theirs = bench.score(other, bench.made.test(3))
    _require(difference(ours, theirs), SAME, "with other test images the scores of a third set differ")
    return ""


def _options(subject: _Subject) -> str:
    """Options survive JSON, as in results and checkpoints."""
    chosen = {name: preset.options for name, preset in subject.method.presets.items()}
    chosen["check"] = subject.bench.options
    for name, options in chosen.items():
        text = json.dumps(options_module.to_json(options), allow_nan=False)
        back = options_module.from_json(subject.method.options, json.loads(text), owner=subject.method.name)
        if back != options:
            first = next(key for key in vars(options) if getattr(options, key) != getattr(back, key))
            raise FailedError(f"{name}: {first} is {getattr(options, first)!r} and comes back {getattr(back, first)!r}")
    return f"{len(subject.method.presets)} presets"


def _resumes(subject: _Subject) -> str:
    """Stopped after the first epoch and built again, it resumes to the same numbers."""
    subject.need_repeatable()
    bench, store = subject.bench, subject.bench.made.test(1)
    broken = bench.build(0)
    if bench.train(broken, shown=store, epochs=1):
        raise SkippedError("it trains in a single epoch")
    state = through_a_file(Session().to_state(broken, bench.device))
    resumed = bench.build(0)
    Session.from_state(state, resumed, bench.device)
    bench.train(resumed, shown=store)
    _require(difference(subject.scores, bench.score(resumed, store)), SAME, "gone on after epoch 1, the scores differ")
    return f"broken off after epoch 1 of {subject.detector.epoch}"


def _memory(subject: _Subject) -> str:
    """A dropped detector frees its tensors."""
    _, gone, left = subject.again
    if not gone:
        raise FailedError("the detector is still in memory: something outside it, such as a global, refers to it")
    if left > 0:
        raise FailedError(f"{left} tensors are left behind")
    return ""


def _tensors() -> int:
    gc.collect()
    return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())


def _on_gpu(subject: _Subject) -> str:
    """It trains on a GPU, and a state from the CPU has the same scores there."""
    if not torch.cuda.is_available():
        raise SkippedError("no CUDA device here")
    here, store = subject.bench, subject.bench.made.test(1)
    there = replace(here, device=torch.device("cuda"))
    there.score(there.fitted(0, shown=store), store)
    moved = there.reopened(0)
    checkpoint.hand_over(subject.detector, moved, through_a_file)
    _require(difference(subject.scores, there.score(moved, store)), ON_GPU, "the CPU's state scores differ there")
    return torch.cuda.get_device_name()


_CHECKS: dict[str, Callable[[_Subject], str]] = {
    "works on the CPU": _runs,
    "shapes and finite values": _shapes,
    "scores alone equal scores in a batch": _alone,
    "same seed, same scores": _seed,
    "state saved and loaded scores the same": _state,
    "fit sees no test image": _no_test_images,
    "works in its settings": _settings,
    "options survive JSON": _options,
    "resumes to the same numbers": _resumes,
    "memory is released": _memory,
    "works on a GPU": _on_gpu,
}
