"""Checks of torch, of the GPU and its driver, and of the memory of both."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...util.errors import described, first_line
from ...util.sizes import bytes_text
from .finding import Asked, Finding

if TYPE_CHECKING:
    import torch

SMI_SECONDS = 5.0
"""Seconds that the driver's own program may take."""

BUSY = 0.5
"""Share of a GPU's memory that other programs may hold before it is said."""

GET_TORCH = "See https://pytorch.org/get-started/locally for the line of this machine"


@dataclass(frozen=True)
class Device:
    """The memory that presets must fit in.

    ``free`` are the bytes that no other program holds now. ``is_gpu`` is False for the machine's own memory.
    """

    name: str
    total: int
    free: int
    is_gpu: bool


@dataclass(frozen=True)
class Driver:
    """An NVIDIA driver and the names of its GPUs, as ``nvidia-smi`` lists them."""

    version: str
    gpus: tuple[str, ...]


def torch_itself(asked: Asked) -> Iterator[Finding]:
    """Whether torch can be imported, and what it was built for."""
    try:
        import torch
    except Exception as error:  # a broken build raises OSError, ImportError and others
        yield Finding("torch", "red", f"can't be imported: {described(error)}", f"pip install torch. {GET_TORCH}")
        return
    build = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    yield Finding("torch", "green", f"{torch.__version__}, built {build}; {torch.get_num_threads()} CPU threads")


def gpu(asked: Asked) -> Iterator[Finding]:
    """The GPU: whether torch, its CUDA and the driver fit together, and what other programs hold."""
    import torch

    driver = find_driver()
    if torch.cuda.is_available():
        yield _working(torch.device("cuda", _index(asked.device)), driver)
    elif driver is not None:
        found = f"{', '.join(driver.gpus)} with driver {driver.version}, but torch {torch.__version__} can't use it"
        why = "a torch with CUDA" if torch.version.cuda is None else f"a driver for CUDA {torch.version.cuda}"
        yield Finding("GPU", "yellow", f"{found}: runs take the CPU", f"Install {why}. {GET_TORCH}")
    elif torch.backends.mps.is_available():
        yield Finding("GPU", "green", "Apple's MPS: --device mps")
    else:
        yield Finding("GPU", "green", "none: runs take the CPU, where the presets cpu take minutes")


def _index(device: str) -> int:
    number = device.partition(":")[2]
    return int(number) if number.isdigit() else 0


def _working(device: torch.device, driver: Driver | None) -> Finding:
    """Compute something on a GPU: a build without code for it, or a broken driver, shows only then."""
    import torch

    said = f", driver {driver.version}" if driver else ""
    try:
        name = torch.cuda.get_device_name(device)
        torch.ones(2, device=device).sum().item()
        free, total = torch.cuda.mem_get_info(device)
    except Exception as error:
        remedy = f"Update the driver, or install another torch. {GET_TORCH}"
        return Finding("GPU", "red", f"{device}{said} can't compute: {first_line(error)}", remedy)
    found = f"{name}, {bytes_text(total)}{said}, CUDA {torch.version.cuda}"
    if free < (1 - BUSY) * total:
        held = bytes_text(total - free)
        return Finding("GPU", "yellow", f"{found}; {held} are held now", "nvidia-smi shows by which programs")
    return Finding("GPU", "green", found)


def find_driver() -> Driver | None:
    """The NVIDIA driver; None where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "--query-gpu=driver_version,name", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=SMI_SECONDS, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    lines = [line.split(", ", 1) for line in done.stdout.splitlines() if ", " in line]
    return Driver(lines[0][0], tuple(name for _, name in lines)) if lines else None


def find_device(asked: Asked) -> Device | None:
    """The device whose memory counts; None if its size is unknown. Raises ``OptionError`` for one that is not here."""
    import torch

    from ...util import capacity, devices

    device = devices.resolve_device(asked.device)
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return Device(torch.cuda.get_device_name(device), total, free, is_gpu=True)
    import psutil

    total_bytes = capacity.machine_bytes()
    if total_bytes is None:
        return None
    return Device("the CPU", total_bytes, min(total_bytes, psutil.virtual_memory().available), is_gpu=False)
