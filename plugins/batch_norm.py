"""Refuses, before training, images so small that batch norm would have a single value of each channel."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from adbench.api import OptionError, Size, size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adbench.api import Images

LARGEST = 128
"""Side of images from which no network here has a map of one position."""


def require_positions(
    method: str, images: Images, networks: Sequence[nn.Module], run: Callable[..., object], multiple: int = 1
) -> None:
    """Refuse training images that make a batch of one image with a map of one position.

    Nothing is computed unless a batch has one image and images are small. Then copies of the networks see one image of
    zeros; the random state and the networks stay as they are.

    Args:
        method: its name, for the message.
        images: the training images.
        networks: those that train with batch norm.
        run: called with copies of the networks in training mode, and an image (1, 3, H, W).
        multiple: what sides must be divisible by.

    Raises:
        OptionError: names the size, and the smallest one of the same shape that can be trained on.
    """
    size, count = images.size, len(images)
    single = images.batch_size == 1 or count % images.batch_size == 1
    if not single or min(size) >= LARGEST or _can_train(networks, run, size):
        return
    larger = [(size[0] + more, size[1] + more) for more in range(multiple, LARGEST + 1, multiple)]
    fitting = next((each for each in larger if _can_train(networks, run, each)), None)
    raise OptionError(
        f"option size of {method}", found=f"{size_text(size)}, of which a batch of one image has one position",
        wanted=f"at least {size_text(fitting)} pixels" if fitting else "larger images",
        hint=f"Or choose a batch_size that leaves no single one of {count} training images",
    )  # fmt: skip


def _can_train(networks: Sequence[nn.Module], run: Callable[..., object], size: Size) -> bool:
    """Whether copies of the networks take one image of a size in training mode."""
    copies = [copy.deepcopy(network).train() for network in networks]
    device = next(networks[0].parameters()).device
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            run(*copies, torch.zeros(1, 3, *size, device=device))
        except ValueError as error:
            if "more than 1 value per channel" in str(error):
                return False
            raise
    return True
