"""The benchmarks run and print their tables; their numbers are not tested, since machines are noisy."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shutil
import weakref

import psutil
import pytest
from click import Command
from click.testing import CliRunner
from conftest import make_class
from torch import device as torch_device
from torch import empty, float32, nn

import adbench.stats.thresholds
from benchmarks import __main__ as commands
from benchmarks import busy, train
from benchmarks.__main__ import app
from benchmarks.thresholds import RULES
from benchmarks.thresholds import main as thresholds
from benchmarks.timing import Stages, in_turn, matrix_rate, peak_memory

CPU = torch_device("cpu")


def printed(*words: object, command: Command = app) -> str:
    """The output of a benchmark."""
    done = CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_evaluation_is_set_beside_scikit_learn():
    """There is a row for each side, and the effect of rounded maps on the metrics."""
    text = printed("evaluate", "--maps", 6, "--size", 64, "--rounds", 1)
    assert "scikit-learn, pixel AUROC alone" in text
    assert "adbench, all metrics" in text
    assert "Kept as float16" in text


def test_the_default_threads_are_set_beside_the_best(monkeypatch):
    """Idle and busy, the settings take turns in processes of their own; the best is one of the fixed numbers."""
    taken: list[tuple[str, ...]] = []

    def run(words: tuple[str, ...], folder, *, plain: bool = False) -> tuple[float, int]:
        taken.append(words)
        number = words[-1] if "--threads" in words else "default"
        return {"default": 12.0, "1": 20.0, "2": 10.0}[number], 2

    monkeypatch.setattr(busy, "_adbench", run)
    monkeypatch.setattr(busy, "fixed_numbers", lambda cores: [1, 2])
    text = printed("busy", "--rounds", 3)
    for load in ("idle", "busy"):
        (line,) = [line for line in text.splitlines() if line.startswith(f"│ {load}")]
        assert re.findall(r"[\d.]+", line) == ["12.0", "2", "20.0", "10.0", "10.0", "1.20"]
    assert len(taken) == 1 + 3 * 2 * 3  # the first one fills the caches
    assert all("meta_epochs=3" in words for words in taken)


def test_fixed_numbers_are_few_and_end_with_all():
    """Every number on a small machine, powers of two on a large one."""
    assert [busy.fixed_numbers(cores) for cores in (1, 2, 4, 6)] == [[1], [1, 2], [1, 2, 3, 4], [1, 2, 4, 6]]


def test_a_busy_loop_ends_with_its_measurement():
    """No loop is left behind, even where the measurement fails."""
    before = {child.pid for child in psutil.Process().children()}
    with contextlib.suppress(KeyError), busy.busy_loops(2):
        assert len({child.pid for child in psutil.Process().children()} - before) == 2
        raise KeyError
    assert {child.pid for child in psutil.Process().children()} <= before


def test_thresholds_are_set_side_by_side(tmp_path, monkeypatch):
    """Each rule has its rates for both sources of good images, as means over classes; all patches are removed."""
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path / "cache"))
    for name in ("bolts", "nuts"):
        make_class(tmp_path / "data", name, train=8)
    before = adbench.stats.thresholds.suggest
    text = printed("--method", "random", "--dataset", "folder", "--data-root", tmp_path / "data", command=thresholds)
    assert adbench.stats.thresholds.suggest is before
    assert "mean over bolts, nuts" in text
    assert [len(re.findall(rf"{re.escape(rule)} +│ +\d+ / \d+", text)) for rule in RULES] == [2] * len(RULES)


def test_works_take_turns():
    """Each round runs every work once, so that noise affects all alike."""
    order: list[str] = []
    seconds = in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3, CPU)
    assert order == ["a", "b"] * 3
    assert {name: len(each) for name, each in seconds.items()} == {"a": 3, "b": 3}


def test_stages_add_up_and_functions_are_put_back():
    """A stage sums the time of all its calls, and a timed function is restored afterwards."""

    class Owner:
        @staticmethod
        def work() -> int:
            return 7

    clock, before = Stages(CPU), Owner.work
    with clock.around(Owner, "work", "working"):
        assert Owner.work() == 7
        once = clock.seconds["working"]
        Owner.work()
    assert clock.seconds["working"] > once > 0
    assert Owner.work is before


def test_peak_memory_sees_what_is_gone_again():
    """A tensor that is freed inside still counts with all its bytes."""
    with peak_memory(CPU) as peak:
        big = empty(50_000_000).fill_(1)
        del big
    assert peak[0] > 150e6


def test_the_matrix_rate_is_a_rate():
    """Any machine does a billion multiplications a second."""
    assert matrix_rate(float32, CPU) > 1e9


def test_a_benchmark_leaves_no_model_behind(monkeypatch, tmp_path):
    """Models that hold themselves are gone with their command, so that two benchmarks never take memory together."""
    alive: list[weakref.ref[object]] = []

    def run(*_: object) -> None:
        model = nn.Linear(2, 2)
        model.step = model.forward  # as a detector's graphs hold its step
        alive.append(weakref.ref(model))

    monkeypatch.setattr(train, "run", run)
    gc.disable()
    try:
        printed("train", "--device", "cpu", "--weights", tmp_path, "--data", tmp_path, "--class", "bolts")
        assert [model() for model in alive] == [None]
    finally:
        gc.enable()


@pytest.mark.slow
@pytest.mark.parametrize(("method", "images"), [("msflow", 8), ("cflow", 16)])
def test_training_is_set_beside_the_plain_loop(tmp_path, monkeypatch, method, images):
    """The tables show ratios to the plain loops, the limit and both sides' stages, for a few small images.

    CFLOW needs 16 images of this size for a step; memory and a second precision, which take most of the time, are for
    MSFlow alone.
    """
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path / "cache"))
    if method == "cflow":
        monkeypatch.setattr(commands, "_precisions", lambda device: ["off"])
        monkeypatch.setattr(train, "_memory", lambda setting, side, amp: 10**6)
    make_class(tmp_path / "data", "bolts", train=images)
    small = ("--method", method, "--device", "cpu", "--data", tmp_path / "data", "--class", "bolts", "--images", images,
             "--size", 128, "--batch", images, "--rounds", 1, "--workers", 0)  # fmt: skip
    text = printed("train", *small)
    for expected in ("plain fp32", "adbench fp32", "of limit", "flow forward", "backward", "optimiser", "backbone"):
        assert expected in text
    assert "again" in printed("score", *small)


@pytest.mark.slow
def test_compiled_steps_are_set_beside_those_as_they_are(tmp_path, monkeypatch):
    """The table has both kinds of steps, and the number of steps after which compiling pays, if ever."""
    if not any(map(shutil.which, (os.environ.get("CXX", ""), "c++", "g++", "clang++", "cl"))):
        pytest.skip("torch.compile needs a C++ compiler")
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path / "cache"))
    make_class(tmp_path / "data", "bolts", train=16)
    text = printed("compiled", "--method", "cflow", "--device", "cpu", "--data", tmp_path / "data", "--class", "bolts",
                   "--images", 16, "--size", 128, "--batch", 16, "--rounds", 1)  # fmt: skip
    for expected in ("first step, s", "as it is", "compiled", "Compiling "):
        assert expected in text
