"""Fixtures for all tests: a separate cache folder, and a tiny data set in MVTec layout."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image
from runs import TINY, run_tiny
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from adbench import Method
from adbench.api import registry
from adbench.backbones import efficientnet_lite
from adbench.util import threads

settings.register_profile("adbench", deadline=None)  # a busy machine is no failure
settings.load_profile("adbench")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A bare ``pytest`` runs its files in two processes; with arguments, such as a file, it runs in this one."""
    if config.invocation_params.args:
        return 0
    config.option.dist = "loadfile"  # fixtures of a file are made once
    return 2


@pytest.fixture(scope="session", autouse=True)
def _share_of_threads() -> Iterator[None]:
    """Processes that test side by side share the cores: threads that wait for each other take most of the time."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // workers))
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def _light_process() -> Iterator[None]:
    """Spare some thousand runs the search for garbage in all that was imported, and waiting for the disk."""
    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory, _share_of_threads):
    """Keep the user's cache and the tests' cache apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("ADBENCH_DATA", raising=False)
        if threads.default() == "auto":  # commands must not choose by how busy the machine is
            patch.setenv(threads.NUMBER_VARIABLES[0], str(torch.get_num_threads()))
        yield


class CpuOnly(TorchDispatchMode):
    """Refuses every operation on a tensor outside the CPU."""

    def __torch_dispatch__(
        self, func: Callable[..., object], types: object, args: Sequence[object] = (), kwargs: object = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves((args, kwargs, result)):
            if isinstance(each, torch.Tensor) and each.device.type != "cpu":
                raise AssertionError(f"{func} in a thread of a pool, on {each.device}: only the main thread may")
        return result


@pytest.fixture(scope="session", autouse=True)
def _pools_stay_on_the_cpu() -> Iterator[None]:
    """No pool thread may touch a GPU, or the meta device, which stands for a GPU where there is none."""
    submit = ThreadPoolExecutor.submit

    def guarded(pool: ThreadPoolExecutor, function: Callable[..., object], /, *args: object, **named: object) -> object:
        def work() -> object:
            with CpuOnly():
                return function(*args, **named)

        return submit(pool, work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ThreadPoolExecutor, "submit", guarded)
        yield


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Use one thread: tensors this small are slower on several, especially on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def weight_files(tmp_path_factory) -> Callable[[str], Path]:
    """State dicts of networks with random weights: ``weight_files("resnet18")`` is a path."""
    folder = tmp_path_factory.mktemp("weights")

    def write(name: str) -> Path:
        path = folder / f"{name}.pt"
        if not path.exists():
            with torch.random.fork_rng():
                torch.manual_seed(3)
                torch.save(random_network(name).state_dict(), path)
        return path

    return write


def random_network(name: str) -> torch.nn.Module:
    """A network of torchvision or of ours with its initial random weights."""
    import torchvision

    if name in efficientnet_lite.SCALES:
        return efficientnet_lite.EfficientNetLite(name)
    return torchvision.models.get_model(name, weights=None)


def make_class(root: Path, name: str, *, train: int = 6, good: int = 3, bad: int = 4, side: int = 80) -> Path:
    """Write one class in MVTec layout: grey noise, and bright squares as defects with exact masks."""
    draw = np.random.default_rng(len(name))
    for part, count, defective in (("train/good", train, False), ("test/good", good, False), ("test/spot", bad, True)):
        folder = root / name / part
        folder.mkdir(parents=True)
        for number in range(count):
            image = draw.integers(90, 130, (side, side, 3), dtype=np.uint8)
            if defective:
                top, left = draw.integers(0, side - 20, 2)
                mask = np.zeros((side, side), np.uint8)
                mask[top : top + 16, left : left + 16] = 255
                image[mask > 0] += 60
                ground_truth = root / name / "ground_truth" / "spot"
                ground_truth.mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(ground_truth / f"{number:03d}_mask.png")
            Image.fromarray(image).save(folder / f"{number:03d}.png")
    return root / name


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    """A data root with the classes ``bolts`` and ``nuts``; tests must not change it."""
    root = tmp_path_factory.mktemp("data")
    make_class(root, "bolts")
    make_class(root, "nuts")
    return root


@pytest.fixture(scope="session")
def ran(tiny_data, tmp_path_factory) -> Path:
    """Real results of tiny and random on both classes, with two seeds; tests must not change them."""
    results = tmp_path_factory.mktemp("ran")
    done = run_tiny(tiny_data, results, "-m", "tiny,random", "-p", "cpu", "--seeds", "0,1", "-o", "tiny.epochs=1")
    assert done.exit_code == 0, done.stderr
    return results


@pytest.fixture(scope="session")
def tiny() -> Method:
    """A method that needs no backbone."""
    return registry.load([TINY]).method("tiny")


@pytest.fixture
def tiny_method() -> Path:
    """The file of a method that needs no backbone, for ``--plugin``."""
    return TINY


@pytest.fixture
def machine(monkeypatch) -> threads.Machine:
    """Two cores; other programs always use 1.1 of them."""
    now = iter(range(10, 10_000_000, 10))

    def look(_: threads.Machine) -> tuple[float, float, float]:
        seconds = next(now)
        return -1000.0 + seconds, 1.1 * seconds + 0.5 * seconds, 0.5 * seconds

    monkeypatch.setattr(threads.Machine, "_look", look)
    made = threads.Machine()
    made._allowed, made.cores, made.limit = (0, 1), 2, 2.0
    monkeypatch.setattr(threads, "this_machine", lambda: made)
    return made


@pytest.fixture
def torch_threads(monkeypatch) -> list[int]:
    """Records torch's number of threads without setting it: a test must not depend on the machine's load."""
    numbers = [torch.get_num_threads()]
    monkeypatch.setattr(torch, "set_num_threads", numbers.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: numbers[-1])
    return numbers
