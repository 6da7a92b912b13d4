"""Checks for any data set: what its reader says of a folder, without opening an image.

In a test of a plugin::

    from adbench import checks

    def test_mine(tmp_path):
        checks.check_dataset("mine", made_folder(tmp_path), plugin_files=["mine.py"])
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..api import registry
from ..api.data import TEST, TRAIN, Dataset, Sample, Task
from ..util.errors import PLUGIN_ERRORS, AdbenchError, described, type_text
from ..util.files import cache_folder
from ..util.text import plural
from .check_outcome import CheckResult, FailedError, SkippedError, require_passed

NO_CLASS = "adbench-check-no-such-class"


def run(
    dataset: Dataset | str,
    root: str | Path | None = None,
    *,
    plugin_files: Sequence[str | Path] = (),
    watch: Callable[[str], None] | None = None,
) -> tuple[CheckResult, ...]:
    """Check a data set's reader, and return the result of each check.

    Args:
        dataset: the data set, or the name of an installed one or of one in ``plugin_files``.
        root: its folder; without one only the checks that need no images are made. A data set that makes its images
            itself, or comes as an installed package, needs none.
        plugin_files: plugin files to load.
        watch: called with the name of each check before it begins.

    Raises:
        UsageError: an unknown data set.
    """
    if isinstance(dataset, str):
        dataset = registry.load([Path(file) for file in plugin_files]).dataset(dataset)
    if root is None:
        root = cache_folder() if not dataset.needs_root else dataset.installed_root and dataset.installed_root()
    subject = _Subject(dataset, None if root is None else Path(root))
    results: list[CheckResult] = []
    for title, check in _CHECKS.items():
        if watch:
            watch(title)
        if any(result.outcome == "failed" for result in results if _CHECKS[result.check] in (_classes, _loads)):
            results.append(CheckResult(title, "skipped", "the reader does not get that far"))
        else:
            results.append(_one(title, check, subject))
    return tuple(results)


def check_dataset(dataset: Dataset | str, root: str | Path, *, plugin_files: Sequence[str | Path] = ()) -> None:
    """Fail a test unless the data set passes all checks. Arguments as in ``run``.

    Raises:
        AssertionError: a check failed; the message lists which, and why.
        UsageError: as ``run``.
    """
    results = run(dataset, root, plugin_files=plugin_files)
    require_passed(dataset if isinstance(dataset, str) else dataset.name, results)


def _one(title: str, check: Callable[[_Subject], str], subject: _Subject) -> CheckResult:
    try:
        return CheckResult(title, "passed", check(subject))
    except SkippedError as skipped:
        return CheckResult(title, "skipped", str(skipped))
    except FailedError as failed:
        return CheckResult(title, "failed", str(failed))
    except PLUGIN_ERRORS as error:  # any error of a reader is its own failure
        return CheckResult(title, "failed", described(error), error)


@dataclass(frozen=True, eq=False)
class _Subject:
    """The data set under test; its classes and tasks are looked up once."""

    dataset: Dataset
    given: Path | None

    @property
    def root(self) -> Path:
        """The data set's folder."""
        if self.given is None:
            raise SkippedError("no --data-root")
        return self.given

    @cached_property
    def classes(self) -> list[str]:
        """Names of the classes."""
        found = self.dataset.classes(self.root)
        if isinstance(found, str) or not all(isinstance(name, str) and name for name in found):
            raise FailedError(f"found {type_text(found)}, wanted a list of texts")
        return list(found)

    @cached_property
    def tasks(self) -> list[Task]:
        """The images of each class."""
        found = [self.dataset.load(self.root, name) for name in self.classes]
        for name, task in zip(self.classes, found, strict=True):
            if not isinstance(task, Task):
                raise FailedError(f"load({name!r}) returned {type_text(task)}, wanted a Task")
        return found


def _refuses(call: Callable[[], object], what: str) -> None:
    """Raise an error unless ``call`` ends in an error of adbench, which the user sees as a message, or returns [].

    A task without images is wrong: stored results of such a class would look stale.
    """
    try:
        if call() == []:
            return
    except AdbenchError:
        return
    except PLUGIN_ERRORS as error:
        raise FailedError(f"{what} ends in {described(error)}, wanted a DataError or UnknownNameError") from error
    raise FailedError(f"{what} is no error, wanted a DataError or UnknownNameError")


def _missing(subject: _Subject) -> str:
    """A folder that is not there ends in a message."""
    if not subject.dataset.needs_root:
        raise SkippedError("it makes its images itself")
    with tempfile.TemporaryDirectory(prefix="adbench-check-") as folder:
        place = Path(folder) / "missing"
        _refuses(lambda: list(subject.dataset.classes(place)), "naming the classes of a missing folder")
        _refuses(lambda: subject.dataset.load(place, NO_CLASS), "loading from a missing folder")
    return ""


def _classes(subject: _Subject) -> str:
    """There are classes, each once."""
    found = subject.classes
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice or not found:
        raise FailedError(f"{', '.join(twice)} twice" if twice else "no class, wanted at least one, or a DataError")
    return plural(len(found), "class") if len(found) == 1 else f"{len(found)} classes"


def _unknown(subject: _Subject) -> str:
    """A class that is not there ends in a message."""
    root = subject.root
    _refuses(lambda: subject.dataset.load(root, NO_CLASS), "loading an unknown class")
    return ""


def _loads(subject: _Subject) -> str:
    """Each class has images to train on and to test, and says whose they are."""
    for name, task in zip(subject.classes, subject.tasks, strict=True):
        if (task.dataset, task.class_name) != (subject.dataset.name, name):
            raise FailedError(f"load({name!r}) returned a Task of {task.dataset}/{task.class_name}")
        for part, samples in task.splits.items():
            if not samples and part != TRAIN:  # without training images only zero-shot methods can run
                raise FailedError(f"{name} has no image in {part}")
        if task.problems:
            raise FailedError(f"{name}: {task.problems[0]}")
    count = sum(len(samples) for task in subject.tasks for samples in task.splits.values())
    return f"{count} images"


def _files(subject: _Subject) -> str:
    """All images and masks are files, and none is in two splits."""
    masks = 0
    for task in subject.tasks:
        places: dict[Path, str] = {}
        for part, samples in task.splits.items():
            for sample in samples:
                for path in sample.files:
                    if not path.is_file():
                        raise FailedError(f"{path} in {task.class_name}/{part} is no file")
                masks += len(sample.masks)
                if places.setdefault(sample.path, part) != part:
                    raise FailedError(f"{sample.path} is in {places[sample.path]} and in {part}")
    return f"{masks} masks"


def _labels(subject: _Subject) -> str:
    """Training images are good, each test has both kinds or no labels, and only defective images have masks."""
    for task in subject.tasks:
        for part, samples in task.splits.items():
            wrong = next((sample for sample in samples if _is_wrong(sample, part)), None)
            if wrong is not None:
                mask = " and a mask" if wrong.mask else ""
                raise FailedError(f"{wrong.path} in {part} has the label {wrong.label!r}{mask}")
            if not any(sample.is_labelled for sample in samples):
                continue
            kinds = {sample.label for sample in samples}
            if part in (task.tests or {TEST: ()}) and len(kinds) < 2:
                raise FailedError(f"{task.class_name}/{part} has only images of label {kinds.pop()}")
    return ""


def _is_wrong(sample: Sample, part: str) -> bool:
    return sample.label not in ((0,) if part == TRAIN else (0, 1)) or (sample.mask is not None and not sample.label)


_CHECKS: dict[str, Callable[[_Subject], str]] = {
    "a missing folder is a message": _missing,
    "names its classes": _classes,
    "an unknown class is a message": _unknown,
    "each class has images": _loads,
    "images and masks are files": _files,
    "labels fit the splits": _labels,
}
