"""Runs one model from data to results: open, build, fit, score, evaluate, and store class by class.

The engine draws the progress, evaluates, saves and stops *between* two yields of ``Detector.fit``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ..api import registry as plugins
from ..api.detector import Detector, Epoch
from ..api.scores import MAIN_METRICS, Metrics
from ..backbones.feature_cache import FeatureCache
from ..results import store
from ..results.records import EpochRecord, Result, Timing
from ..util import devices, threads
from ..util.memory import MicroBatches, is_out_of_memory
from . import checkpoint, loop, rebuild, summary, thread_tuner, verify
from .class_run import ClassRun, training_images
from .resolved import ResolvedJob
from .saving import Saver, total_bytes
from .scoring import images_per_second
from .session import Session
from .tracking import Trackers, Tracking
from .watch import Watch


def run(
    resolved: ResolvedJob,
    registry: plugins.Registry,
    *,
    cache: FeatureCache | None = None,
    watch: Watch | None = None,
    announce: Callable[[str, int], None] | None = None,
    trackers: Trackers | None = None,
) -> tuple[Result, ...]:
    """Train one model, or resume it if an earlier run was stopped; score anew the classes whose results were removed.

    Args:
        resolved: the task.
        registry: finds its method.
        cache: keeps features for other tasks.
        watch: called with the progress.
        announce: called before training with the variant's name and the bytes of a checkpoint.
        trackers: those of the command, which log the run if it names them.

    Returns:
        The result of each class of the job.

    Raises:
        UsageError: a fault of the data or the options that the user can correct.
        TaskError: training or scoring failed.
    """
    watch = watch or Watch()
    with resolved.folder.lock():
        for each in resolved.classes:
            each.folder.sweep()
        if resolved.job.force:
            _discard(resolved)
        elif resolved.is_finished():
            return tuple(each.folder.read_result() for each in resolved.classes)
        cache = cache or FeatureCache(say=watch.note)
        with threads.using(None if resolved.job.threads == "auto" else resolved.job.threads):
            if not resolved.job.force and rebuild.lost_results(resolved, registry, cache, watch):
                return tuple(each.folder.read_result() for each in resolved.classes)
            with (trackers or Trackers((), watch)).following(resolved) as tracking:
                running = _Run(resolved, registry, cache, watch, announce, tracking)
                try:
                    return running.results()
                finally:
                    running.saver.close()


def _discard(resolved: ResolvedJob) -> None:
    for each in resolved.classes:
        each.folder.discard()


@dataclass(frozen=True)
class _Oracle:
    """A saved oracle checkpoint: its name, its epoch, and the epoch of its thresholds, None if it has none."""

    name: str
    epoch: int
    final_at: int | None


class _Run:
    """One task in this process."""

    def __init__(
        self,
        resolved: ResolvedJob,
        registry: plugins.Registry,
        cache: FeatureCache,
        watch: Watch,
        announce: Callable[[str, int], None] | None,
        tracking: Tracking,
    ) -> None:
        self.resolved, self.watch, self.announce, self.tracking = resolved, watch, announce, tracking
        self.job, self.options, self.device = resolved.job, resolved.options, resolved.device
        self.method = registry.method(resolved.job.method)
        self.context = registry.offering(resolved.context, resolved.options)
        self.package = registry.package_of(resolved.job.method)
        self.began = time.monotonic()
        self.building = 0.0
        devices.reset_peak_memory(self.device)
        self.cache = cache
        self.tuner = thread_tuner.tuner(
            self.job.threads,
            on_cpu=self.device.type == "cpu",
            clock=lambda: time.perf_counter() - cache.seconds,  # features don't count as steps
            say=watch.note,
        )
        self.saver = Saver(resolved.folder, self.device)
        self.oracle: _Oracle | None = None
        """The oracle checkpoint saved last."""
        self.classes: Sequence[ClassRun] = ()
        self.scoring = MicroBatches("scoring", self._say, self._free_cached_features)
        self.final_at: int | None = None
        """The epoch whose scores and thresholds are stored; None before the last one."""

    def _say(self, message: str) -> None:
        self.watch.note(f"{self.job.method} {self.job.class_names}: {message}")

    def _free_cached_features(self) -> bool:
        """Free device memory; return whether there was any to free."""
        freed = self.cache.leave(self.device)
        if freed:
            self._say(f"Out of memory: {freed / 1e9:.1f} GB of cached features are moved off {self.device}.")
        return freed > 0

    def _open_images(self) -> None:
        self.classes = [
            ClassRun(each, self.resolved, cache=self.cache, watch=self.watch) for each in self.resolved.classes
        ]
        self.train = training_images(self.classes)

    # -- training

    def results(self) -> tuple[Result, ...]:
        """Fit, evaluate and store."""
        try:
            detector, session = self._begin()  # a wrong backbone raises here, before images are decoded
            self._open_images()
            if self.announce:
                size = detector.checkpoint_bytes() or total_bytes(checkpoint.model_state(detector))
                self.announce(summary.variant(self.resolved, detector), size)
            self.tracking.started(detector, session)
            for epoch in self._epochs(detector, session):
                self._finish_epoch(detector, session, epoch)
        except loop.CannotResumeError as error:
            self._say(f"{error} Starting again.")
            self.tracking.broke_off(error)
            _discard(self.resolved)
            return self.results()
        if self.final_at != detector.epoch:  # trained to the end before a break, or fit ended before its total
            self._evaluate(detector, session, last=True)
        return self._store(detector, session)

    def _begin(self) -> tuple[Detector, Session]:
        """Build the detector, and load the state of a stopped run."""
        if self.job.keep != "oracle":  # those of an earlier start may not be the best of this run
            self.resolved.folder.discard_oracles()
        devices.seed_everything(self.job.seed)
        started = time.monotonic()
        detector = self.method.make(self.options, self.context)
        self.building = time.monotonic() - started
        detector.micro_batches.say, detector.micro_batches.relieve = self._say, self._free_cached_features
        try:
            saved = self.resolved.folder.load_checkpoint("state")  # on the CPU: each part moves when it is loaded
            session = Session() if saved is None else Session.from_state(saved, detector, self.device)
        except Exception as error:  # a state of another shape makes a detector raise any error
            if is_out_of_memory(error):
                raise
            raise loop.CannotResumeError("the saved state cannot be used.") from error
        self.tuner.adopt(per_epoch=detector.threads_per_epoch, use=session.threads)
        if saved is None:
            return detector, session
        self._say(f"going on after epoch {detector.epoch}")
        return detector, session

    def _epochs(self, detector: Detector, session: Session) -> Iterator[Epoch]:
        """Train to the end; only the work of ``fit`` itself is timed."""
        if session.complete:
            return
        for epoch in loop.epochs(
            detector,
            self.train,
            name=self.job.method,
            resumed=session.resumed,
            working=lambda: self._working(session),
            step=lambda done, _: self.tuner.step(done),
            progress=self.watch.step,
            announce=self.watch.announce,
        ):
            session.resumed = False
            session.validation = max(session.validation, self.train.validation)
            yield epoch

    @contextmanager
    def _working(self, session: Session) -> Iterator[None]:
        """Surround the method's own work: timing, and the choice of the number of threads."""
        self.tuner.begin()
        with session.timing("fit", self.cache):
            yield
        self.tuner.end()
        session.threads = self.tuner.use

    def _finish_epoch(self, detector: Detector, session: Session, epoch: Epoch) -> None:
        """Between two yields: evaluate if it is due, record, save."""
        seconds = session.take_epoch_seconds()
        last = epoch.number >= epoch.total
        metrics = self._evaluate(detector, session, last=last) if last or self._due(epoch) else None
        record = EpochRecord(epoch.number, epoch.total, epoch.loss, epoch.learning_rate, seconds, metrics)
        session.records.append(record)
        session.complete = last
        self.watch.epoch(record)
        self.tracking.epoch(record, session)
        session.tracking_seconds = self.tracking.seconds
        self.saver.save_state(session.to_state(detector, self.device), epoch.number, epoch.total)

    def _due(self, epoch: Epoch) -> bool:
        every = self.job.eval_every
        return epoch.milestone if every is None else every > 0 and epoch.number % every == 0

    def _evaluate(self, detector: Detector, session: Session, *, last: bool) -> Metrics:
        """Evaluate class by class and return the means; after the last epoch suggest thresholds, too."""
        before, look = session.best_epochs(), self.tracking.look if last else None
        session.evaluated[detector.epoch] = {
            each.name: each.evaluate(detector, session, scoring=self.scoring, last=last, look=look)
            for each in self.classes
        }
        if last:
            for each in self.classes:
                each.suggest(detector, session, scoring=self.scoring)
            self.final_at = detector.epoch
        self._keep_oracles(detector, session, before)
        return session.mean(detector.epoch)

    def _keep_oracles(self, detector: Detector, session: Session, before: Mapping[str, int]) -> None:
        """Keep the best epoch on the test set, an oracle, which never ranks."""
        best = session.best_epochs()
        better = [name for name in MAIN_METRICS if best.get(name) == detector.epoch != before.get(name)]
        if better and self.job.keep == "oracle":
            names = [f"{store.ORACLE}{name}" for name in better]
            self.saver.save(names, self._checkpoint(detector, session))
            self.oracle = _Oracle(names[0], detector.epoch, self.final_at)

    # -- the end

    def _checkpoint(self, detector: Detector, session: Session) -> dict[str, Any]:
        """Content of a checkpoint for ``adbench test --checkpoint``."""
        final = self.final_at == detector.epoch
        judged = {each.name: each.threshold if final else None for each in self.classes}
        return checkpoint.payload(
            detector, self.resolved, judged, validation=session.validation,
            provenance=summary.provenance(self.resolved, detector), map_scale=self._map_scale() if final else None,
        )  # fmt: skip

    def _map_scale(self) -> tuple[float, float] | None:
        """The map values to draw darkest and brightest, over all classes."""
        scales = [each.map_scale for each in self.classes if each.map_scale is not None]
        return (min(each.low for each in scales), max(each.high for each in scales)) if scales else None

    def _store(self, detector: Detector, session: Session) -> tuple[Result, ...]:
        if self.oracle and (self.oracle.epoch, self.oracle.final_at) == (detector.epoch, self.final_at):
            self.saver.link(self.oracle.name, "last")  # the same model with the same thresholds
        elif self.job.keep != "none":
            self.saver.save(["last"], self._checkpoint(detector, session))
        self.saver.wait()  # before speed is measured
        used = session.threads.most_used if session.threads else None
        with threads.using(used):  # the number in the result is that of all its timings
            speed = images_per_second(
                detector, self.classes[0].test, self.scoring.rows(self.classes[0].test.batch_size)
            )
        results = [self._describe(each, detector, session, speed) for each in self.classes]
        stored: list[Result] = []
        for each, result in reversed(list(zip(self.classes, results, strict=True))):  # the first has the state
            folder = each.own.folder
            if folder is not self.resolved.folder and self.job.keep != "none":
                folder.take_checkpoints(self.resolved.folder)
            curve = session.records_of(each.name)
            stored.insert(0, folder.write_result(result, each.image_scores(), curve, each.histograms, each.used_scores))
        if self.job.keep != "none":
            self._verify(detector)
        self.tracking.finished(stored, session)
        return tuple(stored)

    def _verify(self, detector: Detector) -> None:
        """Say if the checkpoint doesn't bring the detector back. The results are right, and stored, all the same."""
        path, test = self.resolved.folder.checkpoint("last"), self.classes[0].test
        if not verify.is_worth_it(path, began=self.began, building=self.building):
            return
        context = replace(self.context, auxiliary={})  # as it is reopened
        problem = verify.problem(
            path,
            detector,
            lambda saved: checkpoint.build(saved, self.method, self.options, context),
            test.part(0, min(test.batch_size, len(test))),
        )
        if problem:
            self._say(
                f"the checkpoint last.pt can't be used: {problem} The metrics are those of the trained detector. "
                f"adbench check-method {self.job.method} says more."
            )

    def _describe(self, run: ClassRun, detector: Detector, session: Session, speed: float | None) -> Result:
        total = session.earlier_seconds + time.monotonic() - self.began - self.tracking.seconds
        share = 1 / len(self.classes)
        return summary.summarize(
            self.resolved,
            run,
            self.package,
            detector,
            session,
            micro_batches=(detector.micro_batches, self.scoring),
            timing=Timing(
                session.fit_seconds * share,
                session.score_seconds * share,
                session.evaluate_seconds * share,
                total * share,
                speed,
                features=session.feature_seconds * share,
            ),
        )
