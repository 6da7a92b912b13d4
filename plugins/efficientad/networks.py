"""The networks of EfficientAD (arXiv 2303.14535): patch description networks and the autoencoder.

Neither has a normalisation layer. All take raw images and normalise them by ImageNet's mean and standard deviation.
Names in state dicts are the numbers of the layers, as in published teachers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adbench import backbones
from adbench.api import OptionError, Size, WeightsError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's images in [0, 1], channel by channel."""

SMALLEST = 33
"""Pixels on a side of the smallest image with a position in the output: the receptive field of a position."""

BORDER = 4
"""Positions of the output that are missing along each side, since nothing is padded."""

DROPOUT = 0.2


class Normalized(nn.Sequential):
    """Layers behind a normalisation of raw images, which has no part in the state dict."""

    mean: Tensor
    std: Tensor

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in [0, 1] to features (B, C, h, w)."""
        features: Tensor = super().forward(self.normalized(images))
        return features

    def normalized(self, images: Tensor) -> Tensor:
        """Subtract the mean of images (B, 3, H, W), and divide by the standard deviation."""
        return (images - self.mean) / self.std


class PDN(Normalized):
    """A patch description network: each position of its output describes 33 x 33 pixels, with stride 4.

    Args:
        kind: "small" or "medium".
        channels: of the output.
        divisor: the paper's widths are divided by it.
        padded: pad the layers, for an output of 64 x 64 in place of 56 x 56 for 256 x 256, as in distillation.
    """

    def __init__(self, kind: str, channels: int, divisor: int = 1, *, padded: bool = False) -> None:
        wide, one = (3, 1) if padded else (0, 0)
        width = (128 if kind == "small" else 256) // divisor
        layers = [
            nn.Conv2d(3, width, 4, padding=wide), nn.ReLU(), nn.AvgPool2d(2, 2, padding=one),
            nn.Conv2d(width, 2 * width, 4, padding=wide), nn.ReLU(), nn.AvgPool2d(2, 2, padding=one),
        ]  # fmt: skip
        if kind == "medium":
            layers += [nn.Conv2d(2 * width, 2 * width, 1), nn.ReLU()]
        layers += [nn.Conv2d(2 * width, 2 * width, 3, padding=one), nn.ReLU(), nn.Conv2d(2 * width, channels, 4)]
        if kind == "medium":
            layers += [nn.ReLU(), nn.Conv2d(channels, channels, 1)]
        super().__init__(*layers)

    def hidden(self, images: Tensor) -> Tensor:
        """The input of the last layer for images (B, 3, H, W)."""
        values = self.normalized(images)
        for layer in list(self)[:-1]:
            values = layer(values)
        return values

    def head(self, hidden: Tensor, start: int, stop: int) -> Tensor:
        """Channels ``start`` to ``stop`` of the output: (B, D, h', w') -> (B, stop - start, h, w).

        The two tasks of a student are trained on different images, so that half of its last layer is enough for each.
        """
        last = self[-1]
        return F.conv2d(hidden, last.weight[start:stop], last.bias[start:stop])


class Autoencoder(Normalized):
    """Encodes an image as one vector, and decodes that as the teacher's features.

    Args:
        channels: of the output.
        size: height and width of the images. The paper's network is for 256 x 256; for other sizes the last layer of
            the encoder covers all of its input as it does there, and the decoder's sizes are in proportion.
        divisor: the paper's widths are divided by it.
    """

    def __init__(self, channels: int, size: Size, divisor: int = 1) -> None:
        narrow, wide = 32 // divisor, 64 // divisor
        layers: list[nn.Module] = []
        for before, after in ((3, narrow), (narrow, narrow), (narrow, wide), (wide, wide), (wide, wide)):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
        layers.append(nn.Conv2d(wide, wide, (size[0] // 32, size[1] // 32)))  # (B, D, 1, 1)
        for scale, missing in ((64, 1), (32, 0), (16, 1), (8, 0), (4, 1), (2, 1)):
            grid = tuple(max(1, side // scale - missing) for side in size)
            layers += [nn.Upsample(grid, mode="bilinear"), nn.Conv2d(wide, wide, 4, padding=2)]
            layers += [nn.ReLU(), nn.Dropout(DROPOUT)]
        layers += [nn.Upsample(output_size(size), mode="bilinear"), nn.Conv2d(wide, wide, 3, padding=1), nn.ReLU()]
        super().__init__(*layers, nn.Conv2d(wide, channels, 3, padding=1))


def output_size(size: Size) -> Size:
    """Height and width of a PDN's output without padding: 56 x 56 for images of 256 x 256.

    Raises:
        OptionError: the images are too small for a single position.
    """
    if min(size) < SMALLEST:
        wanted = f"at least {SMALLEST} on each side"
        raise OptionError("size of efficientad", found="x".join(map(str, size)), wanted=wanted)
    height, width = (((side - 3) // 2 - 3) // 2 - 5 for side in size)
    return height, width


def read_teacher(path: Path, teacher: PDN, *, words: str) -> None:
    """Load a teacher's weights from a file; layers may have numbers, or be called "conv1", "conv2", and so on.

    Args:
        path: a state dict as ``torch.save`` writes it.
        teacher: gets the weights.
        words: the options that describe ``teacher``, for messages.

    Raises:
        WeightsError: the file can't be read, or is that of another network.
    """
    state = _with_numbers(backbones.weights.from_file(path), teacher)
    wanted = {key: tuple(value.shape) for key, value in teacher.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    for key in sorted(wanted.keys() | found.keys(), key=lambda key: (len(key), key)):
        if wanted.get(key) != found.get(key):
            raise WeightsError(
                f"--aux teacher={path}, {key}", found=_shape(found.get(key)), wanted=_shape(wanted.get(key)),
                hint=f"The options say {words}: give those that the teacher was made with",
            )  # fmt: skip
    teacher.load_state_dict(state)


def _with_numbers(state: Mapping[str, Tensor], teacher: PDN) -> dict[str, Tensor]:
    """Rename "conv1.weight", as anomalib calls it, to the number of the layer: "0.weight"."""
    numbers = [name for name, layer in teacher.named_children() if isinstance(layer, nn.Conv2d)]
    names = {f"conv{place}": number for place, number in enumerate(numbers, start=1)}
    split = {key: key.partition(".") for key in state}
    return {names.get(name, name) + dot + rest: state[key] for key, (name, dot, rest) in split.items()}


def _shape(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else f"shape {'x'.join(map(str, shape))}"


def channel_statistics(batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel over all images and positions.

    Args:
        batches: features (B, C, h, w), at least one batch.

    Returns:
        Two float32 tensors (1, C, 1, 1), on the CPU. A channel that never changes has a standard deviation of 1, since
        the features are divided by it.
    """
    count, total, squares = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    near: Tensor | None = None  # squares of large means would hide small deviations
    for features in batches:
        values = features.float()
        near = values.mean((0, 2, 3), keepdim=True) if near is None else near
        values = values - near
        count += len(values)
        total = total + len(values) * values.mean((0, 2, 3)).double().cpu()
        squares = squares + len(values) * values.square().mean((0, 2, 3)).double().cpu()
    assert near is not None
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt()
    std = torch.where(std > 0, std, 1.0)
    return near.cpu() + mean.float().view(1, -1, 1, 1), std.float().view(1, -1, 1, 1)
