"""Chooses device and precision, seeds random numbers, and measures memory."""

from __future__ import annotations

import random
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast

import numpy as np
import psutil
import torch

from .errors import OptionError

Amp = Literal["off", "bf16", "fp16"]

DTYPES: dict[str, torch.dtype] = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(text: str) -> torch.device:
    """Turn "auto", "cpu", "cuda", "cuda:N" or "mps" into a device; "auto" is the first CUDA device, or the CPU.

    A CUDA device becomes torch's current one, so that calls without a device use it. Float32 convolutions are
    float32 there; torch's default is TF32, with 10 bits of mantissa.

    Raises:
        OptionError: no such device, or it is not on this machine.
    """
    device = _find_device(text)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer torch has another name for it, older torch only this one
            torch.backends.cudnn.allow_tf32 = False
    return device


def _find_device(text: str) -> torch.device:
    if text == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    kind, _, number = text.partition(":")
    is_number = number.isascii() and number.isdigit()
    if kind not in ("cpu", "cuda", "mps") or (number and not (kind == "cuda" and is_number)):
        raise OptionError("--device", found=f"'{text}'", wanted="auto, cpu, cuda, cuda:N or mps")
    if kind == "cpu":
        return torch.device("cpu")
    if kind == "mps" and torch.backends.mps.is_available():
        return torch.device("mps")
    count = torch.cuda.device_count() if kind == "cuda" and torch.cuda.is_available() else 0
    index = int(number or 0)
    if index >= count:
        found = f"{count} CUDA devices" if count else f"no {kind.upper()} device on this machine"
        raise OptionError(f"--device {text}", found=found, hint="Use --device auto or --device cpu")
    return torch.device("cuda", index)


def resolve_amp(text: str, device: torch.device) -> Amp:
    """Turn "auto" into the fastest precision that the device has in hardware.

    Raises:
        OptionError: fp16 on a CPU, where it is slow and overflows; bf16 or fp16 on Apple's MPS, which supports only
            fp32.
    """
    if text == "auto":
        if device.type == "mps":
            return "off"
        if device.type == "cuda":
            return "bf16" if _gpu_has_bf16(device) else "fp16"
        return "bf16" if _cpu_has_bf16() else "off"
    if text not in DTYPES:
        raise OptionError("--amp", found=f"'{text}'", wanted="auto, off, bf16 or fp16")
    if device.type == "mps" and text != "off":
        raise OptionError(f"--amp {text}", found="an MPS device", wanted="fp32 there", hint="Use --amp off")
    if device.type == "cpu" and text == "fp16":
        raise OptionError("--amp fp16", found="a CPU", wanted="a CUDA device", hint="Use --amp bf16 or off")
    return cast("Amp", text)


def _gpu_has_bf16(device: torch.device) -> bool:
    """Whether this GPU multiplies bf16 matrices in hardware. torch asks the current GPU, which may be another one."""
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


@lru_cache(maxsize=1)
def _cpu_has_bf16() -> bool:
    """Whether this processor multiplies bf16 matrices in hardware (AVX512-BF16 or AMX)."""
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in names)


def compute_dtype(amp: str) -> torch.dtype | None:
    """The dtype of heavy products; None for "off", which keeps the dtype of their input."""
    return None if amp == "off" else DTYPES[amp]


def autocast(amp: str, device: torch.device) -> AbstractContextManager[object]:
    """A context in which torch runs matrix products and convolutions in the precision ``amp``.

    Args:
        amp: "auto", "off", "bf16" or "fp16"; with "off" nothing changes.
        device: where the tensors lie.

    Raises:
        OptionError: the device does not support ``amp``.
    """
    dtype = compute_dtype(resolve_amp(amp, device))
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def is_exporting() -> bool:
    """Whether torch traces the running code for a file: steps that depend on values need a form without them then."""
    found = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # torch 2.6 has only the second
    return bool(found())


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished its queued work; a CPU never has any."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def reset_peak_memory(device: torch.device) -> None:
    """Start ``peak_memory`` anew. On a CPU only Linux can; elsewhere the peak of the whole process counts."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):  # no such file, or not ours to write
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory(device: torch.device) -> int:
    """Bytes at the peak since ``reset_peak_memory``: of the GPU's allocator, or of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    memory = psutil.Process().memory_info()
    if sys.platform == "win32":
        return int(memory.peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
