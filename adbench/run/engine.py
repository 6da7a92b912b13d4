"""One task from data to Result: open, build, fit, score, evaluate, store.

The engine draws the progress, evaluates, saves and stops *between* two yields of ``Detector.fit``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import torch

from ..api import options as options_module
from ..api import registry as plugins
from ..api.data import Task, relative_path
from ..api.detector import Detector, Epoch
from ..api.options import Options
from ..api.scores import MAIN_METRICS, METRIC_NAMES, Metrics, Threshold
from ..backbones.feature_cache import FeatureCache
from ..data import image_store
from ..data.ground_truth import open_ground_truth
from ..data.images import Images
from ..results import store
from ..results.records import Best, EpochRecord, Result, Timing
from ..stats import thresholds
from ..util import devices, threads
from ..util.digests import Digests
from ..util.errors import DataError
from ..util.memory import MicroBatches, is_out_of_memory
from . import loop, summary, thread_tuner
from .evaluate import TestScores, images_per_second, score_all, score_good
from .identity import data_digest
from .job import ResolvedJob
from .saving import Saver
from .session import Session
from .watch import Watch

Part = Literal["train", "test"]


def run(
    resolved: ResolvedJob, registry: plugins.Registry, *, cache: FeatureCache | None = None, watch: Watch | None = None
) -> Result:
    """Run one task, or go on with it where an earlier run of it was broken off.

    Raises:
        UsageError: something in the data or the options that the user can put right.
        TaskError: training or scoring went wrong.
    """
    watch = watch or Watch()
    with resolved.folder.lock():
        resolved.folder.sweep()
        if resolved.job.force:
            resolved.folder.discard()
        elif resolved.folder.is_finished():
            return resolved.folder.read_result()
        with threads.using(None if resolved.job.threads == "auto" else resolved.job.threads):
            running = _Run(resolved, registry, cache or FeatureCache(say=watch.note), watch)
            try:
                return running.result()
            finally:
                running.saver.close()


def open_images(
    task: Task,
    part: Part,
    options: Options,
    device: torch.device,
    *,
    skip_bad: bool,
    cache: FeatureCache,
    watch: Watch,
) -> Images:
    """Open one part of a task: training images shuffled, test images in order."""
    opened = open_store(task, part, options, skip_bad=skip_bad, watch=watch)
    return Images(opened, device, options.batch_size, shuffle=part == "train", cache=cache, watch=watch.stage)


def open_store(task: Task, part: Part, options: Options, *, skip_bad: bool, watch: Watch) -> image_store.Store:
    """Open the decoded images of one part of a task at the size that the options ask for."""
    training = part == "train"
    return image_store.open_store(
        task.train if training else task.test,
        root=task.root,
        size=options.size,
        resize=options.resize,
        skip_bad=skip_bad,
        problems=task.problems if training else (),
        watch=watch.stage,
        say=watch.note,
    )


def check_images(resolved: ResolvedJob, watch: Watch) -> None:
    """Decode the images of a task, so that broken ones are known before anything is trained.

    Raises:
        DataError: the first problem, naming the file.
    """
    skip_bad = resolved.job.skip_bad
    open_store(resolved.task, "train", resolved.options, skip_bad=skip_bad, watch=watch)
    open_store(resolved.task, "test", resolved.options, skip_bad=skip_bad, watch=watch)
    if resolved.held_out:
        open_store(_held_out(resolved), "train", resolved.options, skip_bad=skip_bad, watch=watch)


def _held_out(resolved: ResolvedJob) -> Task:
    """The task whose training images are the held-out ones."""
    return replace(resolved.task, train=resolved.held_out)


class _Run:
    """The life of one task in this process."""

    def __init__(self, resolved: ResolvedJob, registry: plugins.Registry, cache: FeatureCache, watch: Watch) -> None:
        self.resolved, self.watch = resolved, watch
        self.job, self.options, self.device = resolved.job, resolved.options, resolved.device
        self.method = registry.method(resolved.job.method)
        self.package = registry.package_of(resolved.job.method)
        self.began = time.monotonic()
        devices.reset_peak_memory(self.device)
        self.cache = cache
        self.tuner = thread_tuner.tuner(
            self.job.threads,
            on_cpu=self.device.type == "cpu",
            clock=lambda: time.perf_counter() - cache.seconds,  # features are no part of a step
            say=watch.note,
        )
        self.saver = Saver(resolved.folder, self.device)
        self.oracle: tuple[str, int, int | None] | None = None
        """The oracle checkpoint saved last: its name, its epoch, and the epoch of the threshold in it."""
        self.scores: TestScores | None = None
        self.scoring = MicroBatches("scoring", self._say, self._let_go_of_features)
        self.threshold: Threshold | None = None
        self.suggested_at: int | None = None
        """The epoch whose threshold this is; None where that was not asked yet."""

    def _say(self, message: str) -> None:
        self.watch.note(f"{self.job.method} {self.job.class_name}: {message}")

    def _let_go_of_features(self) -> bool:
        """Make room on the device; whether there was any to make."""
        freed = self.cache.leave(self.device)
        if freed:
            self._say(f"Out of memory: {freed / 1e9:.1f} GB of cached features are moved off {self.device}.")
        return freed > 0

    def _open_images(self) -> None:
        self.train = self._open("train")
        self.test = self._open("test")
        self.held_out = self._open("train", _held_out(self.resolved)) if self.resolved.held_out else None
        self.train.prefetch_with(self.test, *([] if self.held_out is None else [self.held_out]))
        size, resize = self.options.size, self.options.resize
        self.ground_truth = open_ground_truth(self.test.store, size=size, resize=resize, eval_size=self.job.eval_size)
        if data_digest(self.resolved.whole, Digests()) != self.resolved.identity.data:
            raise DataError(
                f"images of {self.job.dataset}/{self.job.class_name}", found="files that changed since the run began",
                hint="Run the same command again",
            )  # fmt: skip

    def _open(self, part: Part, task: Task | None = None) -> Images:
        task, skip_bad = task or self.resolved.task, self.job.skip_bad
        return open_images(task, part, self.options, self.device, skip_bad=skip_bad, cache=self.cache, watch=self.watch)

    def _step(self, done: int, total: int) -> None:
        self.tuner.step(done)
        self.watch.step(done, total)

    # -- training

    def result(self) -> Result:
        """Fit, evaluate and store."""
        try:
            detector, session = self._begin()  # a wrong backbone shows here, before images are decoded
            self._open_images()
            for epoch in self._epochs(detector, session):
                self._finish_epoch(detector, session, epoch)
        except loop.CannotResumeError as error:
            self.watch.note(f"{self.job.method} {self.job.class_name}: {error} Starting again.")
            self.resolved.folder.discard()
            return self.result()
        if self.scores is None:  # trained to the end before a break, or fit ended before the total it had told
            metrics = self._evaluate(detector, session)
            self._suggest(detector, session)
            self._keep_oracles(detector, session, detector.epoch, metrics)
        return self._store(detector, session)

    def _begin(self) -> tuple[Detector, Session]:
        """Build the detector, and put it where a broken-off run left it."""
        if self.job.keep != "oracle":  # those of an earlier start would not be the best of this run
            self.resolved.folder.discard_oracles()
        devices.seed_everything(self.job.seed)
        detector = self.method.build(self.options, self.device)
        detector.micro_batches.say, detector.micro_batches.relieve = self._say, self._let_go_of_features
        try:
            saved = self.resolved.folder.load_checkpoint("state")  # on the CPU: each part moves when it is loaded
            session = Session() if saved is None else Session.from_state(saved, detector, self.device)
        except Exception as error:  # a detector raises whatever a state of another shape leads it to
            if is_out_of_memory(error):
                raise
            raise loop.CannotResumeError("the saved state cannot be used.") from error
        self.tuner.adopt(per_epoch=detector.threads_per_epoch, use=session.threads)
        if saved is None:
            return detector, session
        self.watch.note(f"{self.job.method} {self.job.class_name}: going on after epoch {detector.epoch}")
        return detector, session

    def _epochs(self, detector: Detector, session: Session) -> Iterator[Epoch]:
        """Train to the end, timing only what ``fit`` does itself."""
        if session.complete:
            return
        for epoch in loop.epochs(
            detector,
            self.train,
            name=self.job.method,
            resumed=session.resumed,
            working=lambda: self._working(session),
            step=self._step,
            announce=self.watch.announce,
        ):
            session.resumed = False
            yield epoch

    @contextmanager
    def _working(self, session: Session) -> Iterator[None]:
        """What surrounds the method's own work: timing, and the choice of the number of threads."""
        self.tuner.begin()
        with session.timing("fit", self.cache):
            yield
        self.tuner.end()
        session.threads = self.tuner.use

    def _finish_epoch(self, detector: Detector, session: Session, epoch: Epoch) -> None:
        """Between two yields: evaluate where it is due, record, save."""
        seconds = session.take_epoch_seconds()
        last = epoch.number >= epoch.total
        self.scores = None  # those of an earlier epoch; and never two sets of maps at once
        metrics = self._evaluate(detector, session) if last or self._due(epoch) else None
        record = EpochRecord(epoch.number, epoch.total, epoch.loss, epoch.learning_rate, seconds, metrics)
        session.records.append(record)
        session.complete = last
        self.watch.epoch(record)
        if last:
            self._suggest(detector, session)
        if metrics is not None:
            self._keep_oracles(detector, session, epoch.number, metrics)
        self.saver.save_state(session.to_state(detector, self.device), epoch.number, epoch.total)

    def _due(self, epoch: Epoch) -> bool:
        every = self.job.eval_every
        return epoch.milestone if every is None else every > 0 and epoch.number % every == 0

    def _evaluate(self, detector: Detector, session: Session) -> Metrics:
        watch = self.watch.stage
        with session.timing("score", self.cache):
            self.scores = score_all(detector, self.test, name=self.job.method, watch=watch, micro_batches=self.scoring)
        with session.timing("evaluate", self.cache):
            metrics = self.scores.evaluate(self.ground_truth)
        session.metrics = metrics
        return metrics

    def _suggest(self, detector: Detector, session: Session) -> None:
        """Ask the good images for a threshold, once, when training is over, and judge it on the test set."""
        assert self.scores is not None
        good, watch = self.train if self.held_out is None else self.held_out, self.watch.stage
        with session.timing("score", self.cache):
            scores = score_good(detector, good, name=self.job.method, watch=watch, micro_batches=self.scoring)
        suggested = thresholds.suggest(scores, held_out=self.held_out is not None)
        known = self.ground_truth.labels, self.scores.image.numpy()
        self.threshold = None if suggested is None else thresholds.judge(*suggested, *known)
        self.suggested_at = detector.epoch

    def _keep_oracles(self, detector: Detector, session: Session, number: int, metrics: Metrics) -> None:
        """Remember the best epoch on the test set, which ranks nothing and is marked as oracle."""
        better = [
            Best(name, value, number)
            for name in METRIC_NAMES
            if (value := getattr(metrics, name)) is not None
            and (name not in session.best or session.best[name].value < value)
        ]
        session.best |= {best.metric: best for best in better}
        names = [f"{store.ORACLE}{best.metric}" for best in better if best.metric in MAIN_METRICS]
        if names and self.job.keep == "oracle":
            self.saver.save(names, self._checkpoint(detector))
            self.oracle = (names[0], detector.epoch, self.suggested_at)

    # -- the end

    def _checkpoint(self, detector: Detector) -> dict[str, Any]:
        """What ``adbench test --checkpoint`` needs: the model without its optimiser."""
        return {
            "adbench_checkpoint": 1,
            "method": self.job.method,
            "options": options_module.to_json(self.options),
            "dataset": self.job.dataset,
            "class": self.job.class_name,
            "seed": self.job.seed,
            "epoch": detector.epoch,
            **thresholds.to_checkpoint(
                self.threshold if self.suggested_at == detector.epoch else None, detector.score_scale
            ),
            "eval_size": self.job.eval_size,
            "holdout": self.job.holdout,
            "state": model_state(detector),
        }

    def _store(self, detector: Detector, session: Session) -> Result:
        assert self.scores is not None
        assert session.metrics is not None
        if self.suggested_at != detector.epoch:  # fit ended before the total it had told
            self._suggest(detector, session)
        name, *whose = self.oracle or ("",)
        if whose == [detector.epoch, self.suggested_at]:  # it is the same model with the same threshold
            self.saver.link(name, "last")
        else:
            self.saver.save(["last"], self._checkpoint(detector))
        samples, root = self.test.store.samples, self.resolved.task.root
        paths = [relative_path(sample.path, root) for sample in samples]
        with session.timing("evaluate", self.cache):
            histograms = self.scores.histograms(self.ground_truth, paths)
        self.saver.wait()  # before speed is measured
        used = session.threads.most_used if session.threads else None
        with threads.using(used):  # the one number in the result is that of all timings in it
            speed = images_per_second(detector, self.test, self.scoring.rows(self.test.batch_size))
        result = self._describe(detector, session, speed)
        scores = [
            store.ImageScore(path, sample.label, sample.defect, value)
            for path, sample, value in zip(paths, samples, self.scores.image.tolist(), strict=True)
        ]
        return self.resolved.folder.write_result(result, scores, session.records, histograms)

    def _describe(self, detector: Detector, session: Session, speed: float | None) -> Result:
        assert self.scores is not None
        total = session.earlier_seconds + time.monotonic() - self.began
        return summary.summarize(
            self.resolved,
            self.package,
            detector,
            session,
            train=self.train.store,
            held_out=None if self.held_out is None else self.held_out.store,
            test=self.test.store,
            scores=self.scores,
            threshold=self.threshold,
            micro_batches=(detector.micro_batches, self.scoring),
            timing=Timing(
                session.fit_seconds,
                session.score_seconds,
                session.evaluate_seconds,
                total,
                speed,
                features=session.feature_seconds,
            ),
        )


def model_state(detector: Detector) -> dict[str, Any]:
    """The detector's state without what only training needs, as a checkpoint holds it."""
    return {
        name: value for name, value in detector.state_dict().items() if not _only_trains(getattr(detector, name, None))
    }


def _only_trains(part: object) -> bool:
    if isinstance(part, list):
        return bool(part) and all(map(_only_trains, part))
    return isinstance(part, (torch.optim.Optimizer, torch.amp.GradScaler))
