"""Devices by name, and the precision of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from adbench.run.session import random_state, set_random_state
from adbench.util import devices
from adbench.util.errors import OptionError

MPS = torch.device("mps")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """CUDA with an old GPU and a new one, of which only the new one has bf16; the list has the current one."""
    current = [0]

    @contextmanager
    def chosen(device: torch.device) -> Iterator[None]:
        before, current[0] = current[0], device.index
        yield
        current[0] = before

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device", chosen)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: current.__setitem__(0, device.index))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: current[0] == 1)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    return current


def test_bf16_is_asked_of_the_chosen_gpu(two_gpus: list[int]) -> None:
    """The current GPU is not asked, and stays the current one."""
    found = [devices.resolve_amp("auto", torch.device("cuda", index)) for index in (0, 1)]

    assert found == ["fp16", "bf16"]
    assert two_gpus == [0]


def test_the_chosen_gpu_becomes_the_current_one(two_gpus: list[int]) -> None:
    """Calls of torch without a device, such as pinning memory, use it."""
    assert devices.resolve_device("cuda:1") == torch.device("cuda", 1)
    assert two_gpus == [1]
    with pytest.raises(OptionError, match="found 2 CUDA devices"):
        devices.resolve_device("cuda:2")


def test_mps_is_a_device_where_torch_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its precision is fp32; if there is no MPS, or for other precisions, the message has a hint."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.resolve_device("mps") == MPS
    assert devices.resolve_amp("auto", MPS) == devices.resolve_amp("off", MPS) == "off"
    for amp in ("bf16", "fp16"):
        with pytest.raises(OptionError, match=rf"--amp {amp}: found an MPS device.*Use --amp off"):
            devices.resolve_amp(amp, MPS)
    with pytest.raises(OptionError, match="found 'mps:1', wanted auto, cpu, cuda, cuda:N or mps"):
        devices.resolve_device("mps:1")

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(OptionError, match=r"--device mps: found no MPS device on this machine.*Use --device auto"):
        devices.resolve_device("mps")


def test_a_state_holds_the_random_numbers_of_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of MPS return to MPS, and a state from another device loads there, too."""
    loaded: list[list[int]] = []
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: torch.tensor([7]))
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state: loaded.append(state.tolist()))
    state = random_state(MPS)

    set_random_state(state, MPS)
    set_random_state(state, torch.device("cpu"))
    set_random_state({key: value for key, value in random_state(torch.device("cpu")).items() if key != "mps"}, MPS)

    assert loaded == [[7]]


@pytest.mark.parametrize(("amp", "dtype"), [("off", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_chooses_the_type_of_products(amp: str, dtype: torch.dtype) -> None:
    """A product inside has the precision asked for, and one behind it that of its input."""
    one = torch.ones(2, 2)
    with devices.autocast(amp, torch.device("cpu")):
        assert (one @ one).dtype == dtype
    assert (one @ one).dtype == torch.float32


def test_autocast_refuses_what_the_device_lacks() -> None:
    """As the option does: fp16 on a CPU."""
    with pytest.raises(OptionError, match="fp16"):
        devices.autocast("fp16", torch.device("cpu"))


@pytest.mark.parametrize("text", ["cuda:²", "cuda:٣", "cuda:-1", "cuda:1.0", "cpu:0"])
def test_a_number_of_a_device_is_a_plain_one(text: str) -> None:
    """Other digits than 0 to 9 are a mistake in the option, in one line."""
    with pytest.raises(OptionError, match=f"--device: found '{text}', wanted auto, cpu, cuda, cuda:N or mps"):
        devices.resolve_device(text)
