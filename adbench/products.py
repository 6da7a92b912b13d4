"""Matrix products in float32 by the library that is fastest on this processor.

torch leaves them to MKL, which keeps to AVX2 on processors of other makers than Intel. oneDNN, which torch has for its
convolutions and its bf16, takes AVX-512 wherever it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import devices

LARGE = 1 << 22
"""Multiplications that make a product worth oneDNN's longer call."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply rows (N, C) with a weight (K, C) and add a bias (K,): (N, K), as ``F.linear`` does."""
    product = _product(x, len(weight))
    if product is None:
        return F.linear(x, weight, bias)
    # it takes no notice of a bias's gaps
    result: Tensor = product(x, _dense(weight), None if bias is None else bias.contiguous(), "none", [], "")
    return result


def batched(x: Tensor, weights: Tensor) -> Tensor:
    """Multiply (B, N, C) with (B, C, K): (B, N, K), as ``torch.bmm`` does."""
    product = _product(x[0], weights.shape[2])
    if product is None:
        return torch.bmm(x, weights)
    result = x.new_empty(*x.shape[:2], weights.shape[2])
    for rows, weight, target in zip(x, weights, result, strict=True):
        target.copy_(product(rows, _dense(weight.T), None, "none", [], ""))
    return result


def _product(x: Tensor, channels_out: int) -> Callable[..., Any] | None:
    """OneDNN's product, where it may multiply x and is faster."""
    if not x.is_cpu or x.dtype != torch.float32 or x.numel() * channels_out < LARGE:
        return None
    return None if torch.is_grad_enabled() else _one_dnn()  # it has no gradient


def _dense(weight: Tensor) -> Tensor:
    """A matrix without gaps, row by row or column by column: with gaps, oneDNN takes a thousand times as long."""
    if weight.is_contiguous() or weight.T.is_contiguous():
        return weight
    return weight.T.contiguous().T if weight.stride(0) == 1 else weight.contiguous()


@lru_cache(maxsize=1)
def _one_dnn() -> Callable[..., Any] | None:
    """Its name in torch is private, so it may be gone one day."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or devices.cpu_maker() != "AuthenticAMD":
        return None
    try:
        product: Callable[..., Any] = torch.ops.mkldnn._linear_pointwise
        product(torch.ones(1, 1), torch.ones(1, 1), None, "none", [], "")
    except (AttributeError, RuntimeError):
        return None
    return product
