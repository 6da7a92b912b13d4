"""If memory runs out, batches are split into micro-batches, and the numbers stay."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from adbench_plugins.cflow import CFlowOptions
from adbench_plugins.cflow.model import CFlow
from adbench_plugins.msflow import MSFlowOptions
from adbench_plugins.msflow.model import MSFlow
from flow_doubles import TinyBackbone, TinyImages, train
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import TINY, Notes, job_for, made_method, run_one
from torch.utils._python_dispatch import TorchDispatchMode

from adbench import Detector, Epoch, Method, Scores
from adbench.api import registry as plugins
from adbench.backbones.feature_cache import FeatureCache
from adbench.util.devices import seed_everything
from adbench.util.errors import TaskError
from adbench.util.memory import MicroBatches, is_out_of_memory

CPU = torch.device("cpu")


class SmallAllocator(TorchDispatchMode):
    """Refuses every tensor of more than ``limit`` bytes, as a small GPU would, and counts the refusals."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit, self.refused = limit, 0

    def __torch_dispatch__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for made in result if isinstance(result, (list, tuple)) else [result]:
            if isinstance(made, torch.Tensor) and made.nbytes > self.limit:
                self.refused += 1
                raise torch.OutOfMemoryError(f"tried to allocate {made.nbytes} bytes")
        return result


def detectors() -> list[Any]:
    """The two trained methods, small, each with its optimiser step."""
    small: dict[str, Any] = {"size": (32, 32), "batch_size": 8, "cond_channels": 8, "amp": "off"}
    msflow = MSFlow(replace(MSFlowOptions(), blocks=(1, 1, 1), **small), CPU, TinyBackbone((8, 12, 16)))
    cflow = CFlow(replace(CFlowOptions(), layers=(1,), blocks=2, fibres=64, **small), CPU, TinyBackbone((8,)))
    features = [torch.randn(8, c, s, s) for c, s in ((8, 8), (12, 4), (16, 2))]
    fibres, codes = torch.randn(64, 8), torch.randn(64, 8)
    return [(msflow, lambda: msflow.step(features)), (cflow, lambda: cflow.step(0, fibres, codes))]


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("parts", [2, 4, 8])
def test_micro_batches_give_the_optimiser_the_same_gradients(index, parts):
    """2, 4 or 8 micro-batches give the loss and all gradients of the whole batch."""
    torch.manual_seed(0)
    detector, step = detectors()[index]
    optimizer = detector.optimizer if index == 0 else detector.optimizers[0]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = {key: value.clone() for key, value in enumerate(parameters)}
    results = []
    for count in (1, parts):
        detector.micro_batches.count = count
        for key, parameter in enumerate(parameters):
            parameter.data.copy_(state[key])
        loss = step()
        results.append([loss, *(p.grad.clone() for p in parameters if p.grad is not None)])
    for wanted, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


def test_training_goes_on_in_micro_batches_and_says_so_once():
    """An allocator that refuses the whole batch's tensors gets halves for the rest of the run, with one message."""
    seed_everything(0)
    detector, step = detectors()[0]
    said: list[str] = []
    detector.micro_batches.say = said.append
    with SmallAllocator(limit=8 * 8 * 8 * 8 * 4 - 1) as allocator:  # a batch of the first level is one byte too much
        losses = [step() for _ in range(3)]
    assert allocator.refused == 1
    assert detector.micro_batches.count == 2
    assert said == ["Out of memory: training goes on in 2 micro-batches per batch, with the same results."]
    seed_everything(0)
    _, step = detectors()[0]
    torch.testing.assert_close(torch.stack(losses), torch.stack([step() for _ in range(3)]), rtol=1e-4, atol=1e-4)


def test_memory_that_can_be_done_without_goes_first():
    """A batch, even of one image, is tried again while there is memory to free; then it is halved."""
    rest, events = [True, True], []

    def relieve() -> bool:
        events.append("relieve")
        return rest.pop() if rest else False

    def refuse_wholes(x: torch.Tensor) -> int:
        events.append(f"try {len(x)}")
        if rest or len(x) > 2:
            raise torch.OutOfMemoryError("too large")
        return len(x)

    micro_batches = MicroBatches(relieve=relieve)
    assert micro_batches.map(refuse_wholes, [torch.ones(4)]) == [2, 2]
    assert events == ["try 4", "relieve", "try 4", "relieve", "try 4", "relieve", "try 2", "try 2"]
    rest, events = [True], []
    assert MicroBatches(relieve=relieve).map(refuse_wholes, [torch.ones(1)]) == [1]
    assert events == ["try 1", "relieve", "try 1"]


@pytest.mark.parametrize("where", ["fit", "score"])
def test_cached_features_go_before_batches_are_split(tiny_data, tmp_path, monkeypatch, where):
    """In training and in scoring the run reports it, makes no micro-batches, and ends in the same numbers."""
    limits = []

    def check() -> None:
        if limits:
            raise torch.OutOfMemoryError("too little memory beside the features")

    class Looks(Detector):
        def __init__(self, options, device):
            super().__init__(options, device)
            self.backbone, self.weight = TinyBackbone((4,)), torch.nn.Parameter(torch.ones(1))
            self.backbone.key = "tiny"
            self.optimizer = torch.optim.SGD([self.weight], lr=0.1)

        def losses(self, features):
            if where == "fit":
                check()
            return (features * self.weight).square().mean(dim=(1, 2, 3))

        def fit(self, images):
            for (features,) in images.features(self.backbone):
                self.micro_batches.backward(self.losses, [features], self.optimizer)
                self.optimizer.step()
            yield Epoch(1, 1)

        def score(self, batch):
            if where == "score":
                check()
            (features,) = batch.features(self.backbone)
            return Scores((features * self.weight).square().mean(dim=(1, 2, 3)))

    def leave(cache: FeatureCache, device: torch.device) -> int:
        freed = plain(cache, device)
        limits.clear()
        return freed

    plain = FeatureCache.leave
    monkeypatch.setattr(FeatureCache, "leave", leave)
    method = Method("looks", "through a backbone", Looks)
    results = []
    for name in ("enough", "short"):
        limits[:] = ["short"] * (name == "short")
        notes, cache = Notes(), FeatureCache(folder=tmp_path / name / "features")
        result, _ = run_one(method, job_for(method, tiny_data, tmp_path / name), notes, cache)
        results.append(result)
        said = [note for note in notes.notes if "of cached features are moved off cpu" in note]
        assert len(said) == (name == "short")
    assert results[1].passes == {}
    assert results[0].metrics == results[1].metrics


def test_too_little_for_a_single_image_is_an_error_with_a_hint():
    """Halving ends at one image; then the message suggests smaller sizes."""
    _, step = detectors()[0]
    with SmallAllocator(limit=100), pytest.raises(TaskError, match="Use a smaller --size"):
        step()


def test_a_batch_that_must_not_be_split_is_an_error_with_a_hint(tiny_data, tmp_path):
    """The message for a detector that does not allow it, such as one with batch norm, suggests smaller batches."""

    def fit(detector, images):
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2))
        optimizer = torch.optim.SGD(net.parameters(), 0.1)

        def losses(pixels):
            if len(pixels) > 2:
                raise torch.OutOfMemoryError("too many images")
            return net(pixels).square().mean(dim=(1, 2, 3))

        for batch in images:
            detector.micro_batches.backward(losses, [batch.images], optimizer)
        yield Epoch(1, 1)

    method = made_method(fit)
    with pytest.raises(TaskError, match=r"too little for a batch of 4.*can't split.*smaller -o batch_size"):
        run_one(method, job_for(method, tiny_data, tmp_path))
    assert not method.build.micro_batching
    assert [detector.micro_batching for detector, _ in detectors()] == [True, True]


class Centred(torch.nn.Module):
    """Batch norm, and a running centre that each step in training replaces by another tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
        self.register_buffer("centre", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.norm(x)
        if self.training:
            self.centre = 0.5 * self.centre + out.detach().abs().mean(dim=(0, 2, 3))
        return out - self.centre[:, None, None]


class Normed(Detector):
    """Trains modules with batch norm in a list; ``failures`` says where memory runs out, one try after another."""

    def __init__(self, failures: Sequence[str]) -> None:
        super().__init__(None, CPU)
        torch.manual_seed(5)
        self.backbone = Centred()
        self.parts = {"heads": [Centred(), Centred().eval()]}
        self.failures = list(failures)
        self.micro_batches.relieve = lambda: True

    def losses(self, x: torch.Tensor) -> torch.Tensor:
        trained, evaluated = self.parts["heads"]
        out = trained(x)
        self.refuse("forward")
        out.register_hook(lambda _: self.refuse("backward"))
        self.backbone(x)  # frozen: nobody keeps or sets back its buffers
        return (out + evaluated(x)).square().mean(dim=(1, 2, 3))

    def refuse(self, where: str) -> None:
        if self.failures[:1] == [where]:
            raise torch.OutOfMemoryError(self.failures.pop(0))


@pytest.mark.parametrize("failures", [["forward"], ["backward"], ["forward", "backward", "forward"]])
def test_a_batch_that_is_tried_again_counts_once_in_running_statistics(failures):
    """Wherever memory ran out, and however often, all values are those of a training with enough memory."""
    states = []
    for detector in (Normed([]), Normed(failures)):
        trained, _ = detector.parts["heads"]
        optimizer = torch.optim.SGD(trained.parameters(), 0.1)
        for batch in torch.randn(4, 6, 3, 5, 5, generator=torch.Generator().manual_seed(1)):
            detector.micro_batches.backward(detector.losses, [batch], optimizer)
            optimizer.step()
        assert not detector.failures
        states.append(trained.state_dict())
    enough, short = states
    assert int(short["norm.1.num_batches_tracked"]) == 4
    assert all(torch.equal(enough[name], short[name]) for name in enough)


def test_another_error_is_not_taken_for_a_lack_of_memory():
    """Only errors of allocators are tried again."""
    micro_batches = MicroBatches()
    with pytest.raises(RuntimeError, match="wrong"):
        micro_batches.map(lambda x: (_ for _ in ()).throw(RuntimeError("wrong")), [torch.ones(4)])
    assert micro_batches.count == 1


def test_two_threads_that_fail_together_double_the_micro_batches_once():
    """Two decoders that run out of memory side by side double the micro-batches once, not twice."""
    said: list[str] = []
    micro_batches, both_failed = MicroBatches(say=said.append), threading.Barrier(2)

    def sum_of_halves(x: torch.Tensor) -> int:
        if len(x) > 4:
            both_failed.wait()
            raise MemoryError
        return int(x.sum())

    with ThreadPoolExecutor(2) as pool:
        sums = list(pool.map(lambda _: sum(micro_batches.map(sum_of_halves, [torch.arange(8)])), range(2)))
    assert sums == [28, 28]
    assert micro_batches.count == 2
    assert len(said) == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, expected):
    """Refusals of torch's allocators, of NumPy's and of CUDA's libraries count."""
    assert is_out_of_memory(error) is expected


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 6))
def test_parts_are_the_whole_in_order(batch, doublings):
    """For any batch and number of micro-batches, every row is processed once, in order, in at most that many parts."""
    micro_batches = MicroBatches()
    micro_batches.count = 2**doublings
    parts = micro_batches.map(lambda x: x, [torch.arange(batch)])
    assert torch.cat(parts).tolist() == list(range(batch))
    assert len(parts) <= micro_batches.count


def test_a_run_records_that_memory_was_short(tiny_data, tmp_path, monkeypatch):
    """Scoring that runs out of memory ends with the same scores, and the result has the number of micro-batches."""
    tiny = plugins.load([TINY]).method("tiny")
    free, _ = run_one(tiny, job_for(tiny, tiny_data, tmp_path / "free", epochs=1))
    kind = type(tiny.build(tiny.options(), CPU))
    score = kind.score

    def small(self, batch):
        if len(batch) > 2:
            raise torch.OutOfMemoryError("too many images")
        return score(self, batch)

    monkeypatch.setattr(kind, "score", small)
    short, _ = run_one(tiny, job_for(tiny, tiny_data, tmp_path / "short", epochs=1))
    assert (free.passes, short.passes["scoring"] > 1) == ({}, True)
    assert short.metrics.image_auroc == pytest.approx(free.metrics.image_auroc)
    assert short.metrics.pixel_auroc == pytest.approx(free.metrics.pixel_auroc)


def test_calibration_goes_in_micro_batches_too():
    """CFLOW-AD's maxima over the training images are the same if memory is short."""
    torch.manual_seed(0)
    options = replace(CFlowOptions(), size=(32, 48), layers=(1,), blocks=1, cond_channels=8, fibres=16, batch_size=4,
                      amp="off", meta_epochs=1, sub_epochs=1, rotation=0.0, warmup=0)  # fmt: skip
    detector, images = CFlow(options, CPU, TinyBackbone((8,))), TinyImages(batch_size=4)
    train(detector, images)
    detector.calibrate(images)
    wanted = detector.maxima.clone()
    kept = list(images.features(detector.backbone))
    images.features = lambda backbone: iter(kept)
    with SmallAllocator(limit=20_000) as allocator:  # a whole batch's hidden units are 36,864 bytes
        detector.calibrate(images)
    assert allocator.refused
    torch.testing.assert_close(detector.maxima, wanted)


def test_a_recorded_step_is_not_tried_again(monkeypatch):
    """While a GPU records a step, a second try would be recorded after the remains of the first."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    micro_batches = MicroBatches(say=pytest.fail)

    def refuse(*_: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        micro_batches.map(refuse, [torch.ones(8)])
    assert micro_batches.count == 1


@pytest.mark.gpu
def test_the_paper_preset_trains_on_a_gpu_of_six_gigabytes():
    """MSFlow at 512 x 512 with wide_resnet50_2's channels and batches of 8, the process limited to 6 GB."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    device = torch.device("cuda", 0)
    torch.cuda.set_per_process_memory_fraction(6e9 / torch.cuda.get_device_properties(device).total_memory)
    try:
        detector = MSFlow(replace(MSFlowOptions(), amp="off"), device, TinyBackbone((256, 512, 1024)))
        features = [torch.randn(8, c, s, s, device=device) for c, s in ((256, 64), (512, 32), (1024, 16))]
        losses = torch.stack([detector.step(features) for _ in range(3)])
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert torch.isfinite(losses).all()
