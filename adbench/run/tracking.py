"""Tells trackers about runs. A tracker that fails is left out: it never ends a run, and never moves a number."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..api import options as options_module
from ..api.detector import Detector
from ..api.requirements import importing, require_packages
from ..api.tracker import (
    TrackedEpoch,
    TrackedFailure,
    TrackedImage,
    TrackedResult,
    TrackedRun,
    Tracker,
    TrackerEntry,
    TrackerRun,
    flat,
    frontier,
)
from ..results.records import EpochRecord, Result
from ..util.errors import PLUGIN_ERRORS, AdbenchError, described
from . import gallery, overlay, own_shape, summary, tracker_runs
from .identity import IGNORED
from .session import Session, kept_random_state
from .tracked_classes import class_table

if TYPE_CHECKING:
    from .class_run import ClassRun
    from .evaluate import TestScores
    from .resolved import ResolvedJob
    from .watch import Watch

STORE = "tracking"
"""Folder in that of the results in which trackers keep files, unless the user has set another place."""

OF_EACH_HEADING, SIDE = 2, 512
"""Images of a class that are drawn under each heading of a gallery, and their longer side in pixels at most."""

_LATER = ("aupro_map", "validation")
"""Parts of a protocol that are not known before training."""


class Trackers:
    """The trackers of a command, which log its runs one after the other.

    Args:
        entries: those that were asked for.
        watch: gets a note when a tracker fails, and where its runs are to be seen.

    Raises:
        UsageError: a package is not installed or can't be imported.
    """

    def __init__(self, entries: Sequence[TrackerEntry], watch: Watch) -> None:
        self._watch = watch
        self._at_work: dict[str, Tracker] = {}
        self._places: set[tuple[str, str]] = set()
        self._waiting: Callable[[Sequence[Result]], None] | None = None
        for entry in entries:
            require_packages(f"--track {entry.name}", entry.packages)
        for entry in entries:
            try:
                with importing(f"--track {entry.name}", entry.packages):
                    self._at_work[entry.name] = entry.make()
            except AdbenchError:
                raise
            except PLUGIN_ERRORS as error:
                self.drop(entry.name, error)

    def any_of(self, names: Sequence[str]) -> bool:
        """Whether one of these still works."""
        return any(name in self._at_work for name in names)

    def tell(self, names: Sequence[str], event: Callable[[Tracker, str], object]) -> None:
        """Tell some trackers of an event, which gets each with its name; one that fails is left out from now on."""
        for name in [name for name in self._at_work if name in names]:
            try:
                event(self._at_work[name], name)
            except PLUGIN_ERRORS as error:
                self.drop(name, error)

    def drop(self, name: str, error: BaseException) -> None:
        """Leave a tracker out, and say so."""
        self._at_work.pop(name, None)
        self.warn(f"the tracker {name} failed and logs no more ({described(error)}); the run goes on.")

    def warn(self, text: str) -> None:
        """Say what went wrong beside a run."""
        self._watch.note(f"Warning: {text}")

    def say_place(self, name: str, place: str) -> None:
        """Say once where a tracker's runs are to be seen."""
        if place and (name, place) not in self._places:
            self._places.add((name, place))
            self._watch.note(f"{name}: {place}")

    def wait(self, tell: Callable[[Sequence[Result]], None]) -> None:
        """Keep the end of a run, whose threshold is still to come, until ``conclude`` tells of it."""
        self._waiting = tell

    def conclude(self, results: Sequence[Result]) -> None:
        """The results have their thresholds, or won't get them: tell of the end that waited, if there is one."""
        tell, self._waiting = self._waiting, None
        if tell:
            tell(results)

    @contextmanager
    def following(self, resolved: ResolvedJob) -> Iterator[Tracking]:
        """Follow one run; trackers are told if it breaks off."""
        tracking = Tracking(self, resolved)
        try:
            yield tracking
        except BaseException as error:
            tracking.broke_off(error)
            raise


class Tracking:
    """One run, as its trackers are told of it; made by ``Trackers.following``."""

    def __init__(self, trackers: Trackers, resolved: ResolvedJob) -> None:
        self._trackers, self._resolved = trackers, resolved
        self._images: dict[str, tuple[TrackedImage, ...]] = {}
        self._open = False
        self.seconds = 0.0
        """What all of this took."""

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds += time.monotonic() - began

    def _tell(self, event: Callable[[Tracker, str], object]) -> None:
        if self._trackers.any_of(self._resolved.job.track):
            with self._timed(), kept_random_state(self._resolved.device):
                self._trackers.tell(self._resolved.job.track, event)

    def started(self, detector: Detector, session: Session) -> None:
        """The images are open and training begins, or goes on.

        A tracker that has not seen the epochs before a break is told of them.
        """
        if not self._trackers.any_of(self._resolved.job.track):
            return
        folder = self._resolved.folder
        runs = tracker_runs.read(folder)
        told = _run(self._resolved, detector)

        def start(tracker: Tracker, name: str) -> None:
            earlier = runs.get(name, TrackerRun()).id
            made = tracker.run_started(replace(told, earlier=earlier, epoch=detector.epoch))
            runs[name] = made
            self._trackers.say_place(name, made.place)
            if made.id != earlier or not earlier:
                for record in list(session.records):
                    tracker.epoch(_epoch(record, session))

        self._open = True
        self._tell(start)
        try:
            tracker_runs.write(folder, runs)
        except OSError as error:
            self._trackers.warn(f"{folder.path / tracker_runs.FILE} can't be written ({described(error)}).")

    def epoch(self, record: EpochRecord, session: Session) -> None:
        """An epoch has ended, and is the last of ``session.records``."""
        if self._open:
            told = _epoch(record, session)
            self._tell(lambda tracker, _: tracker.epoch(told))

    def look(self, run: ClassRun, scores: TestScores) -> None:
        """Draw a few test images of a class with their maps, which are there only while it is evaluated."""
        if not self._open or scores.maps is None or not self._trackers.any_of(self._resolved.job.track):
            return
        try:
            with self._timed():
                self._images[run.name] = _drawn(run, scores)
        except PLUGIN_ERRORS as error:
            self._trackers.warn(f"the maps for {', '.join(self._resolved.job.track)} failed ({described(error)}).")

    def finished(self, results: Sequence[Result], session: Session) -> None:
        """The results are stored; trackers hear of it at once, or with the threshold that the job asks for."""
        if not self._open:
            return
        self._open = False
        ended = TrackedResult(
            metrics=session.mean(max(session.evaluated)),
            classes=class_table(results, self._resolved.job.results),
            frontier=frontier(_points(session)),
            images=tuple(image for images in self._images.values() for image in images),
            checkpoint=self._resolved.folder.checkpoint("last").absolute(),
            facts=_facts(results[0]),
        )

        def tell(stored: Sequence[Result]) -> None:
            told = replace(ended, facts={**ended.facts, **_thresholds(stored)})
            self._tell(lambda tracker, _: tracker.finished(told))

        if self._resolved.job.target_false_alarms is None:
            tell(results)
        else:
            self._trackers.wait(tell)

    def broke_off(self, error: BaseException) -> None:
        """Tell of an error, unless the run has not started or its trackers know its end."""
        if self._open:
            self._open = False
            stopped = isinstance(error, KeyboardInterrupt)
            told = TrackedFailure("stopped by the user" if stopped else described(error), stopped)
            self._tell(lambda tracker, _: tracker.failed(told))


def _run(resolved: ResolvedJob, detector: Detector) -> TrackedRun:
    job = resolved.job
    variant = summary.variant(resolved, detector)
    ignored = resolved.identity.files.get(IGNORED)
    protocol = asdict(summary.protocol(resolved.options, detector, job, resolved.classes[0].task, ignore_mask=ignored))
    environment = asdict(summary.environment(resolved.device))
    return TrackedRun(
        title=f"{variant} · {job.data_name} · seed {job.seed}",
        path=resolved.folder.path.relative_to(job.results).as_posix(),
        method=job.method,
        variant=variant,
        dataset=job.dataset,
        classes=job.classes,
        seed=job.seed,
        options=options_module.to_json(resolved.options),
        protocol={name: value for name, value in protocol.items() if name not in _LATER},
        environment={name: value for name, value in environment.items() if name != "threads"},
        command=job.command,
        store=(job.results / STORE).absolute(),
    )


def _facts(result: Result) -> dict[str, str | int | float | bool | None]:
    """What is known only after training; of several classes it is the same, but for the number of images."""
    later = {name: getattr(result.protocol, name) for name in _LATER}
    return flat(
        {
            "protocol": later,
            "environment": {"threads": result.environment.threads},
            "last_epoch": result.last_epoch,
            "parameters": result.parameters,
            "peak_memory_bytes": result.peak_memory_bytes,
        }
    )


def _thresholds(results: Sequence[Result]) -> dict[str, str | int | float | bool | None]:
    """The thresholds with what they promise and did: "threshold.value", of several classes "threshold.screw.value"."""
    found = {result.class_name: asdict(result.threshold) for result in results if result.threshold}
    one = next(iter(found.values()), {}) if len(results) == 1 else found
    return flat({"threshold": one})


def _epoch(record: EpochRecord, session: Session) -> TrackedEpoch:
    return TrackedEpoch(
        number=record.number,
        total=record.total,
        loss=record.loss,
        learning_rate=record.learning_rate,
        fit_seconds=sum(each.seconds for each in session.records if each.number <= record.number),
        metrics=record.metrics,
        classes=dict(session.evaluated.get(record.number, {})),
    )


def _points(session: Session) -> Iterator[tuple[int, float, float]]:
    """Each evaluated epoch, the seconds of training up to it, and its image AUROC."""
    seconds = 0.0
    for record in session.records:
        seconds += record.seconds
        if record.number in session.evaluated:
            value = session.mean(record.number).image_auroc
            if value is not None:
                yield record.number, seconds, value


def _drawn(run: ClassRun, scores: TestScores) -> tuple[TrackedImage, ...]:
    """Draw some images of a gallery, in a common scale."""
    assert scores.maps is not None
    known = run.image_scores()
    rows = {each.path: row for row, each in enumerate(known)}
    seen: dict[str, int] = {}
    chosen = []
    for choice in gallery.choose(known):
        seen[choice.heading] = seen.get(choice.heading, 0) + 1
        if seen[choice.heading] <= OF_EACH_HEADING:
            chosen.append(choice)
    if not chosen:
        return ()
    numbers = [rows[choice.score.path] for choice in chosen]
    maps = [np.asarray(scores.maps[number].float().cpu()) for number in numbers]
    pixels = np.concatenate([each.reshape(-1) for each in maps])
    scale, store = overlay.Scale.of(pixels), run.test.store
    found = []
    for choice, row, values in zip(chosen, numbers, maps, strict=True):
        if store.grids is None:
            mask = None if store.masks is None else store.masks[row]
            canvas = Image.fromarray(overlay.overlay(store.images[row], values, mask, scale))
        else:
            size = own_shape.size_within(store.sizes[row], SIDE * SIDE)
            shown = own_shape.read(store.samples[row], run.framing, store.sizes[row], size, values)
            assert shown.values is not None
            canvas = Image.fromarray(overlay.overlay(shown.image, shown.values, shown.mask, scale))
        canvas.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        one = choice.score
        found.append(TrackedImage(run.name, one.path, one.label, one.score, choice.heading, np.asarray(canvas)))
    return tuple(found)
