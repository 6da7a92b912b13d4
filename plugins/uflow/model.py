"""U-Flow: the likelihood of an image's features by a flow that climbs from the coarsest level to the finest.

Matías Tailanian, Álvaro Pardo and Pablo Musé, "U-Flow: A U-shaped Normalizing Flow for Anomaly Detection with
Unsupervised Threshold", arXiv 2211.12353, JMIV 2024.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adbench import Scores
from adbench.api import OptionError, SizeError, devices, maps

from ..coupling import Precision
from ..flow_blocks import plain_flow
from ..flow_maps import log_likelihoods, negative_log_mean
from ..flow_training import FlowDetector, Training
from ..flows import at_least_float32, in_double
from . import UFlowOptions

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch

_FLOW, _NORMS = "flow.module_list.", "feature_extractor.feature_normalizations."


class UFlow(FlowDetector):
    """The detector: a frozen backbone and one flow over all of its levels, the finest first."""

    def __init__(self, options: UFlowOptions, context: BuildContext | torch.device, backbone: Backbone) -> None:
        self.options: UFlowOptions
        network = UShapedFlow(
            backbone.channels,
            grids(options.size, backbone),
            options.steps,
            normed=options.norm == "trained",
            clamp=options.clamp,
            precision=devices.compute_dtype(options.amp),
        )
        training = Training(options.epochs, options.evaluate_every, options.lr, options.weight_decay)
        super().__init__(options, context, name="uflow", backbone=backbone, network=network, training=training)

    def learning_rate(self, progress: float) -> float:
        """It falls in a straight line with each step, over all epochs."""
        return self.options.lr * (1 + (self.options.final - 1) * progress / self.options.epochs)

    def score(self, batch: Batch) -> Scores:
        """Score pixels by the negative logarithm of their mean likelihood over levels, images by the highest pixel.

        The program's map is 1 minus that mean, and ranks alike.
        """
        z, _ = self.network(batch.features(self.backbone))
        anomalies = negative_log_mean(log_likelihoods(z), batch.size)
        return Scores(image=in_double(maps.highest(anomalies)), map=anomalies)

    def authors_state(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """The network's part of the state dict of the program's model, in our names."""
        found = {}
        for key, value in state.items():
            if str(key).startswith(_NORMS):
                found[f"norms.{key.removeprefix(_NORMS)}"] = value
            elif str(key).startswith(_FLOW) and not key.endswith(".downsample_kernel"):  # of a mere pixel shuffle
                node, _, rest = key.removeprefix(_FLOW).partition(".")
                stage, step = divmod(int(node), self.options.steps + 3)  # a split, a shuffle and a join end each stage
                found[f"stages.{stage}.module_list.{step}.{rest}"] = value
        return found or super().authors_state(state)


class UShapedFlow(nn.Module):
    """Maps all levels to noise, from the coarsest to the finest.

    Half of what leaves the flow of a level is noise. The other half is enlarged by a pixel shuffle, which only moves
    numbers, and joins the features of the next finer level. Neither changes the log-Jacobian.

    Args:
        channels: of each level, the finest first.
        grids: height and width of each level; each is twice that of the next.
        steps: coupling blocks in the flow of a level; their convolutions are 3 x 3 and 1 x 1 in turn.
        normed: whether each level passes a trained layer norm first, which doesn't count in the log-Jacobian.
        clamp: bound of the exponents.
        precision: of the convolutions.
    """

    def __init__(
        self,
        channels: Sequence[int],
        grids: Sequence[tuple[int, int]],
        steps: int,
        *,
        normed: bool,
        clamp: float,
        precision: Precision,
    ) -> None:
        super().__init__()
        self.grids = tuple(grids)
        norms = [nn.LayerNorm((c, *grid)) for c, grid in zip(channels, grids, strict=True)] if normed else []
        self.norms = nn.ModuleList(norms)
        self.rising = rising_channels(channels)
        kernels = [1 if step % 2 else 3 for step in range(steps)]
        self.stages = nn.ModuleList(
            plain_flow(c + below // 4, kernels, ratio=1.0, clamp=clamp, precision=precision)
            for c, below in zip(reversed(channels), (0, *self.rising), strict=False)
        )

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Map L features (B, C_i, H_i, W_i) to L tensors z, the finest first, and the log-Jacobian (B,).

        Raises:
            OptionError: the features have another size than those of training.
        """
        z, jacobians, below = [], [], None
        levels = reversed(self.normed(features))
        for stage, level, rising in zip(self.stages, levels, self.rising, strict=True):
            x = level if below is None else torch.cat((level, F.pixel_shuffle(below, 2)), dim=1)
            y, log_jac = stage(x.contiguous(memory_format=torch.channels_last))
            below, rest = y[:, :rising], y[:, rising:]
            z.append(rest)
            jacobians.append(log_jac)
        return z[::-1], torch.stack(jacobians).sum(0)

    def normed(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Each level through its layer norm, if there are any: float32."""
        levels = [at_least_float32(level) for level in features]
        for level, grid in zip(levels, self.grids, strict=True):
            if level.shape[2:] != grid:
                found, wanted = (f"{height}x{width} positions" for height, width in (level.shape[2:], grid))
                raise OptionError(
                    "a level of the backbone", found=found, wanted=wanted, hint="Use the size of training"
                )
        return [norm(level) for norm, level in zip(self.norms, levels, strict=True)] if self.norms else levels


def rising_channels(channels: Sequence[int]) -> list[int]:
    """Channels that leave each level's flow for the finer one, the coarsest first; none leave the finest one.

    They are half of the level's, rounded down to a multiple of 4: C // 8 * 4.
    """
    rising: list[int] = []
    for own in reversed(channels[1:]):
        width = own + (rising[-1] // 4 if rising else 0)
        rising.append(width // 8 * 4)
    return [*rising, 0]


def grids(size: tuple[int, int], backbone: Backbone) -> list[tuple[int, int]]:
    """Height and width of the backbone's levels, the finest first.

    Raises:
        OptionError: a level isn't half as fine as the one before.
        SizeError: the image's sides are no multiples of the coarsest stride.
    """
    strides = backbone.strides
    if any(coarse != 2 * fine for fine, coarse in pairwise(strides)):
        found = f"layers of strides {', '.join(map(str, strides))}"
        raise OptionError("-o layers", found=found, wanted="strides that double from layer to layer")
    if size[0] % strides[-1] or size[1] % strides[-1]:
        raise SizeError(getattr(backbone, "name", type(backbone).__name__), size, strides[-1])
    return [(size[0] // stride, size[1] // stride) for stride in strides]
