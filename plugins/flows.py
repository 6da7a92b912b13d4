"""Helpers of the normalizing-flow methods: position code, maps, and checks of losses and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import nn

from adbench.api import CheckpointError, OptionError, TaskError, devices, maps


def at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """Convert reduced precision to float32; float32 and float64 stay."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def in_double(x: torch.Tensor) -> torch.Tensor:
    """Convert to float64, where scores differ that float32 would round to one. MPS has no float64: the type stays."""
    return x if x.device.type == "mps" else x.double()


@lru_cache(maxsize=64)
def position_code(channels: int, height: int, width: int, device: torch.device) -> torch.Tensor:
    """The 2-D sinusoidal position code (D, H, W), which tells a flow the position in the image.

    The first half of the channels encodes the column, the second half the row. In each half even channels are the
    sine, odd channels the cosine, of position * exp(-2k ln(10000) / (D / 2)), k = 0 .. D/4 - 1.
    From "Attention is all you need" (arXiv 1706.03762), in the form of CFLOW-AD (arXiv 2107.12571).

    Raises:
        OptionError: the number of channels is not a positive multiple of 4.
    """
    if channels < 4 or channels % 4:
        raise OptionError("-o cond_channels", found=str(channels), wanted="a positive multiple of 4")
    half = channels // 2
    # Training uses the code as well, even if scoring makes it; a tensor of the inference mode can't be trained with.
    with torch.inference_mode(False):
        rates = torch.exp(torch.arange(0, half, 2) * (-math.log(10000.0) / half))  # (D/4,)
        columns = _waves(rates, width)[:, None, :].expand(half, height, width)
        rows = _waves(rates, height)[:, :, None].expand(half, height, width)
        return torch.cat((columns, rows)).to(device)  # (D, H, W)


def _waves(rates: torch.Tensor, length: int) -> torch.Tensor:
    angles = rates[:, None] * torch.arange(length)  # (D/4, N)
    return torch.stack((angles.sin(), angles.cos()), dim=1).flatten(0, 1)  # (D/2, N): sine and cosine in turn


def upsample(levels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize maps (B, h, w) to ``size`` (H, W), bilinear with the corners aligned, as both papers do."""
    return maps.upsample(levels, size, align_corners=True)  # (B, H, W)


def upsample_logarithms(logs: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """``upsample(logs.exp(), size).log()`` for maps (B, h, w) of any logarithms: nothing underflows."""
    for dim, length in zip((1, 2), size, strict=True):
        last = logs.shape[dim] - 1
        places = torch.linspace(
            0, last, length, dtype=logs.dtype, device=logs.device
        )  # (length,) in pixels of ``logs``
        low = places.long().clamp_max(max(last - 1, 0))
        share = (places - low).clamp(0, 1).view(-1, *[1] * (2 - dim))  # of the next pixel
        here, there = logs.index_select(dim, low), logs.index_select(dim, (low + 1).clamp_max(last))
        logs = logaddexp(here + torch.log1p(-share), there + share.log())
    return logs  # (B, H, W)


def logaddexp(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """``torch.logaddexp`` of tensors of which not both are minus infinity.

    ONNX has no such operation, and torch's exporter would take the logarithm of a sum that may underflow.
    """
    if not devices.is_exporting():
        return torch.logaddexp(one, other)
    high = torch.maximum(one, other)
    return high + torch.log1p(torch.exp(torch.minimum(one, other) - high))


def linear_warmup(progress: float, length: float, start: float, end: float = 1.0) -> float:
    """The factor at ``progress`` of a linear warm-up from ``start`` to ``end`` over ``length``."""
    return start + (end - start) * min(progress / length, 1.0) if length > 0 else end


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters: schedules are functions of the epoch, and have no state to save.

    A tensor keeps its memory, which a captured step reads.
    """
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def require_finite(method: str, epoch: int, loss: float, lr: float) -> None:
    """Raise ``TaskError`` if the mean loss of ``epoch`` (from 1) is not a number or infinite."""
    if not math.isfinite(loss):
        raise TaskError(
            f"{method}, epoch {epoch}",
            found=f"a loss of {loss}",
            wanted="a finite one",
            hint=f"Use a lower learning rate, such as -o lr={lr / 3:.0e}, or --amp off",
        )


def require_fit(name: str, module: nn.Module, state: object) -> None:
    """Raise ``CheckpointError`` with the first parameter of ``state`` that doesn't fit ``module``."""
    hint = "Use the backbone, layers and other options that the checkpoint was made with"
    if not isinstance(state, Mapping):
        raise CheckpointError(f"checkpoint, '{name}'", found=type(state).__name__, wanted="a state dict")
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    found = {key: tuple(getattr(value, "shape", ())) for key, value in state.items()}
    for key in sorted(wanted.keys() | found.keys(), key=_natural):
        if found.get(key) != wanted.get(key):
            raise CheckpointError(
                f"checkpoint, '{name}.{key}'",
                found=_shape(found.get(key)),
                wanted=_shape(wanted.get(key)),
                hint=hint,
            )


def require_parts(name: str, modules: Sequence[nn.Module], states: object) -> None:
    """Raise ``CheckpointError`` unless ``states`` holds one fitting state dict for each of ``modules``."""
    if not isinstance(states, (list, tuple)) or len(states) != len(modules):
        raise CheckpointError(
            f"checkpoint, '{name}'",
            found=f"{len(states)} scales" if isinstance(states, (list, tuple)) else f"a {type(states).__name__}",
            wanted=f"a list of {len(modules)} state dicts, one for each layer",
            hint="Use the layers that the checkpoint was made with, as in -o layers=1,2,3",
        )
    for index, (module, state) in enumerate(zip(modules, states, strict=True)):
        require_fit(f"{name}[{index}]", module, state)


def _natural(key: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in key.split(".")]


def _shape(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else f"shape {'x'.join(map(str, shape)) or 'of a single number'}"
