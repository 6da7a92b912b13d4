"""One class of a run in this process: its images and its scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..api.data import EvalSize, Sample, Task, relative_path
from ..api.detector import Detector
from ..api.marking import USUAL
from ..api.options import Options
from ..api.scores import Metrics, Threshold
from ..backbones.feature_cache import FeatureCache
from ..data import image_store
from ..data.framing import Framing
from ..data.ground_truth import GroundTruth, open_ground_truth, sizes_of_maps
from ..data.ignored import Ignored, of_file
from ..data.images import Images
from ..data.joint_images import JointImages
from ..metrics.histograms import ScoreHistograms
from ..metrics.undefined import reasons
from ..results.image_scores import TEST, ImageScore, ThresholdScore
from ..stats import thresholds
from ..util.digests import Digests
from ..util.errors import DataError
from ..util.memory import MicroBatches
from .evaluate import TestScores
from .identity import IGNORED, data_digest, ignored_digest
from .map_file import require_space
from .notices import ignored_pixels, lost_defects, mostly_marked
from .overlay import Scale
from .resolved import ResolvedClass, ResolvedJob
from .scoring import GoodImageScores, score_all, score_good
from .session import Session
from .watch import Watch

Part = Literal["train", "test"]
Floats = NDArray[np.float64]


def open_images(
    task: Task,
    part: Part,
    options: Options,
    device: torch.device,
    *,
    skip_bad: bool,
    cache: FeatureCache,
    watch: Watch,
    code: str = "",
) -> Images:
    """Open one part of a task: training images shuffled, test images in order; ``code`` as in ``Images``."""
    opened = open_store(task, part, options, skip_bad=skip_bad, watch=watch)
    return Images(
        opened, device, options.batch_size, shuffle=part == "train", cache=cache, watch=watch.stage, code=code
    )


def open_store(task: Task, part: Part, options: Options, *, skip_bad: bool, watch: Watch) -> image_store.Store:
    """Open the decoded images of one part of a task, at the size in the options."""
    training = part == "train"
    if training and not task.train:  # as in the setting "zero-shot"
        return image_store.empty_store(Framing.of(options), problems=task.problems)
    return image_store.open_store(
        task.train if training else task.test,
        root=task.root,
        framing=Framing.of(options),
        skip_bad=skip_bad,
        problems=task.problems if training else (),
        watch=watch.stage,
        say=watch.note,
    )


def check_images(resolved: ResolvedJob, watch: Watch, say: Callable[[str], None] | None = None) -> None:
    """Decode the images of all classes, so that broken ones show before anything is trained.

    ``say`` is called with what is to be known of them.

    Raises:
        DataError: the first problem, naming the file; or an ignore mask that doesn't fit.
    """
    framing, eval_size = Framing.of(resolved.options), resolved.job.eval_size
    for each in resolved.classes:
        for number, (task, part) in enumerate(_opened(each)):
            store = open_store(task, part, resolved.options, skip_bad=resolved.job.skip_bad, watch=watch)
            lines = [*lost_defects(task, store), *mostly_marked(task, store)] if part == "test" else []
            if part == "test" and task.marking != USUAL:
                lines += ignored_pixels(task, truth_of(task, store, framing, eval_size))
            elif number and task.ignored is not None:  # good images that a threshold of pixels comes from
                of_file(task.ignored, store, framing, [framing.size] * len(store.samples), whole=False)
            if say is not None:
                for line in lines:
                    say(line)


def truth_of(task: Task, store: image_store.Store, framing: Framing, eval_size: EvalSize | None) -> GroundTruth:
    """The ground truth of a task's test images. Raises the errors of ``open_ground_truth``."""
    return open_ground_truth(
        store, framing, eval_size=eval_size, rules=task.region_rules, least_area=task.marking.min_defect_area,
        ignored=task.ignored,
    )  # fmt: skip


def _opened(resolved: ResolvedClass) -> Iterator[tuple[Task, Part]]:
    """The parts of a class that a run opens: training images, test images, and separate images for the threshold."""
    yield resolved.task, "train"
    yield resolved.task, "test"
    source, good = resolved.good
    if source != "training":
        yield replace(resolved.task, train=good), "train"
    if resolved.good_for_pixels != resolved.good:
        yield replace(resolved.task, train=resolved.good_for_pixels[1]), "train"


Opened = tuple[tuple[Sample, ...], Framing]
"""Images that are decoded in one way: they are one store on the disk."""


def still_to_decode(resolved: ResolvedJob, known: dict[Opened, tuple[str, int]]) -> dict[str, int]:
    """The stores of decoded images that a job opens, and the bytes of each that are not on the disk yet.

    Args:
        resolved: the job.
        known: stores that were looked up for other jobs; those of this one are added.
    """
    opened = [part for each in resolved.classes for part in _opened(each)]
    parts = [task.train if part == "train" else task.test for task, part in opened]
    framing = Framing.of(resolved.options)
    wanted = [(samples, framing) for samples in parts if samples]
    for each in wanted:
        if each not in known:
            known[each] = image_store.still_to_decode(*each)
    return dict(known[each] for each in wanted)


class ClassRun:
    """One class of a run: its images and its scores.

    Args:
        own: the class.
        resolved: the job that it is a part of.
        cache: keeps features.
        watch: called with the progress.

    Raises:
        DataError: an image that can't be used, or images that changed since the run was named.
    """

    def __init__(self, own: ResolvedClass, resolved: ResolvedJob, *, cache: FeatureCache, watch: Watch) -> None:
        self.own, self.cache, self.watch = own, cache, watch
        self._job, self._method, self._framing = resolved.job, resolved.job.method, Framing.of(resolved.options)

        def opened(task: Task, part: Part) -> Images:
            return open_images(
                task, part, resolved.options, resolved.device, skip_bad=self._job.skip_bad, cache=cache, watch=watch,
                code=own.identity.code,
            )  # fmt: skip

        training, *others = _opened(own)
        parts = [opened(replace(own.task, train=samples), "train") for samples in own.parts]
        self.train = JointImages(parts) if parts else opened(*training)
        self.test, *rest = (opened(task, part) for task, part in others)
        self.good = rest[0] if rest else self.train
        self.good_for_pixels = rest[-1] if rest else self.train
        self.ground_truth = truth_of(own.task, self.test.store, self._framing, self._job.eval_size)
        if (grids := self.test.store.grids) is not None:
            require_space(self.ground_truth.map_sizes or [grid.size for grid in grids])
        self._ignored_in_good = self._read_ignored()
        named, digests = own.identity, Digests()
        marks = ignored_digest(own.task.marking, digests)
        if data_digest(own.whole, digests) != named.data or marks != named.files.get(IGNORED):
            raise DataError(
                f"images of {own.task.dataset}/{own.name}", found="files that changed since the run began",
                hint="Run the same command again",
            )  # fmt: skip
        self._good: GoodImageScores | None = None
        """The scores of held-out or validation images after the last epoch."""
        self.segf1_threshold: float | None = None
        """The pixel threshold of SegF1, found without the test set; None without held-out or validation images."""
        self.segf1_rule: str | None = None
        """Where that threshold is from."""
        self.undefined: Mapping[str, str] = {}
        """Why metrics of the last epoch are None, by the field of ``Metrics``."""
        self.scores: TestScores | None = None
        """The scores of the last epoch, without maps."""
        self.histograms: ScoreHistograms | None = None
        self.highest_pixels: Floats | None = None
        """(N,), the highest value of each test image's map after the last epoch."""
        self.used_scores: Sequence[ThresholdScore] = ()
        """The scores that the threshold comes from and is measured on."""
        self.threshold: Threshold | None = None
        self.map_scale: Scale | None = None
        """The colour scale of its test images' maps after the last epoch."""

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.own.name

    @property
    def framing(self) -> Framing:
        """How images get to the size of the input."""
        return self._framing

    @property
    def companions(self) -> list[Images]:
        """The images that are scored besides those for training."""
        others = [] if self.good is self.train else [self.good]
        return [self.test, *others, *([] if self.good_for_pixels is self.good else [self.good_for_pixels])]

    @property
    def paths(self) -> list[str]:
        """Paths of the test images below the data set's root."""
        return [relative_path(sample.path, self.own.task.root) for sample in self.test.store.samples]

    def evaluate(
        self, detector: Detector, session: Session, *, scoring: MicroBatches, last: bool,
        look: Callable[[ClassRun, TestScores], None] | None = None,
    ) -> Metrics:  # fmt: skip
        """Score the test images and compare with the ground truth; after the ``last`` epoch keep what is stored.

        ``look`` is called while the maps are there, and is not timed.
        """
        if last:
            self._find_pixel_threshold(detector, session, scoring)
        self.scores = self.histograms = None  # of an earlier epoch; two sets of maps never exist at once
        watch = self.watch.stage
        with session.timing("score", self.cache):
            scores = score_all(
                detector,
                self.test,
                name=self._method,
                watch=watch,
                micro_batches=scoring,
                sizes=self.ground_truth.map_sizes,
            )
        with session.timing("evaluate", self.cache):
            metrics = scores.evaluate(self.ground_truth, self.segf1_threshold if last else None)
            if last:
                self.undefined = reasons(metrics, self.ground_truth, has_maps=scores.maps is not None)
                self.histograms = scores.histograms(self.ground_truth, self.paths, self.segf1_threshold)
                self.highest_pixels = scores.highest_pixels()
                self.map_scale = None if scores.maps is None else Scale.of_many(scores.maps)
                self.scores = scores.without_maps()
        if look:
            look(self, scores)
        return metrics

    def _read_ignored(self) -> Ignored | None:
        """The ignored pixels of the images of AD 2's threshold, read at once: the file may change while it trains."""
        path, store = self.own.task.ignored, self.good_for_pixels.store
        if path is None or self.own.good_for_pixels[0] == "training":
            return None
        sizes = sizes_of_maps(store, self._framing, self._job.eval_size)
        native = self._framing.compared(self._job.eval_size) == "native"
        return of_file(path, store, self._framing, sizes or (self._framing.size,) * len(store.samples), whole=native)

    def _find_pixel_threshold(self, detector: Detector, session: Session, scoring: MicroBatches) -> None:
        """Score good images that the model was not trained on, and find the pixel threshold of SegF1 from them.

        By AD 2's rule it doesn't depend on the share of false alarms that a user asked for, which moves no metric.
        """
        self._good = self.segf1_threshold = self.segf1_rule = None
        source, target = self.own.good_for_pixels[0], self._job.segf1_target
        if source == "training":  # on which scores are too low
            return
        by_rule = target is None
        images = self.good_for_pixels if by_rule else self.good
        sizes = sizes_of_maps(images.store, self._framing, self._job.eval_size) if by_rule else None
        with session.timing("score", self.cache):
            found = score_good(
                detector, images, name=self._method, watch=self.watch.stage, micro_batches=scoring, with_pixels=by_rule,
                sizes=sizes, ignored=self._ignored_in_good if by_rule else None,
            )  # fmt: skip
        self._good = found if images is self.good else None
        if target is None:
            self.segf1_threshold = found.pixel_threshold
            self.segf1_rule = f"mean + 3 sd of the pixels of {source} images"
        elif found.highest is not None:
            own = thresholds.with_promise(found.image, target, source=self.own.good[0], highest=found.highest)
            assert own.pixel is not None  # there are maps
            self.segf1_threshold, self.segf1_rule = own.pixel.value, own.pixel.rule
        if self.segf1_threshold is None:
            self.segf1_rule = None

    def suggest(self, detector: Detector, session: Session, *, scoring: MicroBatches) -> None:
        """Suggest a threshold from the good images after training, and judge it on the test set.

        It promises the share of false alarms that the job asks for, unless it comes from training images: these
        promise nothing.

        Args:
            detector: the trained detector.
            session: counts the seconds.
            scoring: how many images fit into memory at once.
        """
        assert self.scores is not None
        watch, source, target = self.watch.stage, self.own.good[0], self._job.target_of_own_images
        with session.timing("score", self.cache):
            found = self._good or score_good(detector, self.good, name=self._method, watch=watch, micro_batches=scoring)
        self.used_scores = [*self._good_scores(found), *self._test_scores()]
        known = self.ground_truth.labels, self.scores.image.numpy()
        if target is not None and source != "training" and len(found.image):
            promising = thresholds.with_promise(found.image, target, source=source, highest=found.highest)
            self.threshold = thresholds.judge_all(promising, *known, self.highest_pixels)
            return
        suggested = thresholds.suggest(found.image, source=source)
        self.threshold = None if suggested is None else thresholds.judge(*suggested, *known)

    def _good_scores(self, found: GoodImageScores) -> Iterator[ThresholdScore]:
        root, source = self.own.task.root, self.own.good[0]
        highest: Sequence[float | None] = [None] * len(found.image)
        if found.highest is not None:
            highest = found.highest.tolist()
        for sample, score, pixel in zip(self.good.store.samples, found.image.tolist(), highest, strict=True):
            yield ThresholdScore(relative_path(sample.path, root), source, None, None, score, pixel)

    def _test_scores(self) -> Iterator[ThresholdScore]:
        """Those of the test images in their order, which only maps need: ``scores.csv`` has the others."""
        if self.highest_pixels is not None:
            for each, pixel in zip(self.image_scores(), self.highest_pixels.tolist(), strict=True):
                yield ThresholdScore(each.path, TEST, None, None, each.score, pixel)

    def image_scores(self) -> list[ImageScore]:
        """The score of each test image."""
        assert self.scores is not None
        values: Sequence[float] = np.asarray(self.scores.image.numpy(), np.float64).tolist()
        return [
            ImageScore(path, sample.label, sample.defect, value)
            for path, sample, value in zip(self.paths, self.test.store.samples, values, strict=True)
        ]


def training_images(classes: Sequence[ClassRun]) -> Images:
    """The training images of all classes as one, for ``fit``; the features of other images are computed together."""
    parts = [each.train for each in classes]
    train = parts[0] if len(parts) == 1 else JointImages(parts)
    train.prefetch_with(*(images for each in classes for images in each.companions))
    return train
