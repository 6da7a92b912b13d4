"""Arrays as callers have them: NumPy's, tensors on any device or nested lists; their shapes and values are checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ..util.errors import TaskError

if TYPE_CHECKING:
    import torch

Values: TypeAlias = "NDArray[Any] | torch.Tensor | Sequence[Any]"
"""Types that callers may pass: an array, a tensor on any device, or nested lists."""

Scores: TypeAlias = "NDArray[Any] | torch.Tensor"
"""An array, or a tensor that is processed on its own device."""

Integers: TypeAlias = NDArray[np.int64]


def _is_tensor(values: object) -> bool:
    return hasattr(values, "detach")  # asked in this way, torch is not imported for NumPy arrays


def on_cuda(values: object) -> bool:
    """Whether values are a tensor on a CUDA device."""
    return bool(getattr(values, "is_cuda", False))


def to_numpy(name: str, values: Values) -> NDArray[Any]:
    """Return any input as an array, without a copy where possible.

    Raises:
        TaskError: not numbers, or rows of different length.
    """
    if _is_tensor(values):
        array = tensor_to_numpy(cast("torch.Tensor", values))
    else:
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise TaskError(name, found="rows of different length", wanted="an array or a tensor") from error
    if array.dtype.kind not in "biuf":
        raise TaskError(name, found=f"values of type {array.dtype}", wanted="real numbers")
    return array


def tensor_to_numpy(tensor: torch.Tensor) -> NDArray[Any]:
    """Convert a tensor to an array of a type that NumPy has."""
    import torch

    known = tensor.float() if tensor.dtype == torch.bfloat16 else tensor  # NumPy has no bfloat16
    return known.detach().cpu().numpy()


def check_maps(name: str, maps: Scores, images: int, shape: tuple[int, ...] | None) -> None:
    """Refuse maps that are not (images, H, W), or not of the masks' ``shape``. Raises ``TaskError``."""
    found = tuple(maps.shape)
    if len(found) != 3 or found[0] != images or 0 in found:
        raise TaskError(name, found=f"shape {found}", wanted=f"({images}, H, W), one for each label")
    if shape is not None and found != shape:
        raise TaskError(name, found=f"shape {found}", wanted=f"{shape} as the masks", hint="Resize one of them")


def check_finite(name: str, scores: Scores) -> None:
    """Refuse scores with NaN or infinity; the message names the first image. Raises ``TaskError``."""
    if is_finite(scores):
        return
    first = next(index for index, score in enumerate(scores) if not is_finite(score))
    found = "NaN" if math.isnan(float(scores[first].max())) else "infinity"
    hint = "Look for a loss that diverged or a division by zero"
    raise TaskError(f"{name} of image {first}", found=found, wanted="finite numbers", hint=hint)


def is_finite(scores: Scores) -> bool:
    """Whether all scores are finite numbers."""
    return math.isfinite(float(scores.min())) and math.isfinite(float(scores.max()))  # both are NaN if any value is
