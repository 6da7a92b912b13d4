"""The doctor's checks of torch and the GPU, with doubles of the driver and of torch's calls."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from adbench.run.doctor import machine
from adbench.run.doctor.finding import Asked
from adbench.run.doctor.machine import Driver


def only(found):
    (line,) = found
    return line


def test_torch_is_green_with_its_build():
    """The line says the version and for which CUDA it was built."""
    line = only(machine.torch_itself(Asked()))
    assert line.status == "green"
    assert line.found.startswith(torch.__version__)


def test_a_torch_that_cannot_be_imported_is_red(monkeypatch):
    """The line has the reason and where the line of the installation stands."""
    monkeypatch.setitem(sys.modules, "torch", None)
    line = only(machine.torch_itself(Asked()))
    assert line.status == "red"
    assert "can't be imported" in line.found
    assert "pip install torch" in line.remedy


def test_a_gpu_that_torch_cannot_use_is_yellow(monkeypatch):
    """The driver lists a GPU, torch sees none: runs would take the CPU without a word."""
    monkeypatch.setattr(machine, "find_driver", lambda: Driver("550.54", ("NVIDIA RTX 2060",)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for build, why in ((None, "a torch with CUDA"), ("13.0", "a driver for CUDA 13.0")):
        monkeypatch.setattr(torch.version, "cuda", build)
        line = only(machine.gpu(Asked()))
        assert line.status == "yellow"
        assert "NVIDIA RTX 2060 with driver 550.54" in line.found
        assert why in line.remedy


def test_without_a_gpu_and_without_a_driver_the_cpu_is_no_fault(monkeypatch):
    """The line is green and says so."""
    monkeypatch.setattr(machine, "find_driver", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    line = only(machine.gpu(Asked()))
    assert line.status == "green"
    assert "the CPU" in line.found


@pytest.mark.parametrize(
    ("free", "ones", "status", "said"),
    [
        (5 * 10**9, None, "green", "6.0 GB"),
        (10**9, None, "yellow", "5.0 GB are held"),
        (5 * 10**9, RuntimeError("CUDA error: no kernel image is available"), "red", "no kernel image"),
    ],
)
def test_a_gpu_is_judged_by_a_small_computation_and_its_free_memory(monkeypatch, free, ones, status, said):
    """A GPU for which torch has no code is red, one that other programs fill is yellow."""

    def compute(*_, **__):
        if ones is not None:
            raise ones
        return torch.zeros(2)

    monkeypatch.setattr(machine, "find_driver", lambda: Driver("550.54", ("A",)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 6 * 10**9))
    monkeypatch.setattr(torch, "ones", compute)
    line = only(machine.gpu(Asked()))
    assert line.status == status
    assert said in line.found
    assert "550.54" in line.found


def test_the_driver_is_read_from_its_own_program(monkeypatch):
    """Version and names come from its lines; a program that fails or hangs is no driver."""
    monkeypatch.setattr(machine.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    done = subprocess.CompletedProcess([], 0, stdout="550.54, NVIDIA A\n550.54, NVIDIA B, 2\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert machine.find_driver() == Driver("550.54", ("NVIDIA A", "NVIDIA B, 2"))

    def hang(*_, **__):
        raise subprocess.TimeoutExpired("nvidia-smi", 5)

    monkeypatch.setattr(subprocess, "run", hang)
    assert machine.find_driver() is None


def test_without_a_gpu_the_memory_is_the_machines():
    """The device is the CPU, with what a control group allows at most."""
    found = machine.find_device(Asked(device="cpu"))
    assert found is not None
    assert not found.is_gpu
    assert 0 < found.free <= found.total
