"""FastFlow: the likelihood of each position's features at several levels of a backbone.

Jiawei Yu et al., "FastFlow: Unsupervised Anomaly Detection and Localization via 2D Normalizing Flows", arXiv
2111.07677. Each level has a flow of its own; nothing joins the levels before their maps are averaged. The paper leaves
details open. They are those of the program from which most published numbers come; see docs/methods/fastflow.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from adbench import Scores
from adbench.api import OptionError, devices, maps

from ..coupling import Precision
from ..flow_blocks import plain_flow
from ..flow_maps import log_likelihoods, negative_log_mean
from ..flow_training import FlowDetector, Training
from ..flows import at_least_float32, in_double
from . import FastFlowOptions

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch


class FastFlow(FlowDetector):
    """The detector: a frozen backbone, and a layer norm and a flow for each of its levels."""

    def __init__(self, options: FastFlowOptions, context: BuildContext | torch.device, backbone: Backbone) -> None:
        self.options: FastFlowOptions
        network = Flows(
            backbone.channels,
            grids(options.size, backbone.strides) if options.norm == "trained" else (),
            kernels(options),
            ratio=options.hidden_ratio,
            clamp=options.clamp,
            precision=devices.compute_dtype(options.amp),
        )
        training = Training(options.epochs, options.evaluate_every, options.lr, options.weight_decay)
        super().__init__(options, context, name="fastflow", backbone=backbone, network=network, training=training)

    def score(self, batch: Batch) -> Scores:
        """Score pixels by the negative logarithm of their mean likelihood over levels, images by the highest pixel.

        The program's map is minus that mean, and ranks alike.
        """
        z, _ = self.network(batch.features(self.backbone))
        anomalies = negative_log_mean(log_likelihoods(z), batch.size)
        return Scores(image=in_double(maps.highest(anomalies)), map=anomalies)

    def authors_state(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """The part ``model_state_dict`` of the program's checkpoint, without its frozen backbone."""
        found = state.get("model_state_dict")
        if not isinstance(found, Mapping):
            return super().authors_state(state)
        return {key: value for key, value in found.items() if not key.startswith("feature_extractor.")}


class Flows(nn.Module):
    """Maps the features of each level to noise; parameter names are those of the program.

    The layer norm over a whole level, with a weight and a bias for each of its numbers, is not in the paper. It
    doesn't count in the log-Jacobian.

    Args:
        channels: of each level.
        grids: height and width of each level, for the layer norms; none for no layer norms.
        kernels: sides of the subnets' convolutions, one for each block of a flow.
        ratio: hidden channels of a subnet per input channel.
        clamp: bound of the exponents.
        precision: of the convolutions.
    """

    def __init__(
        self,
        channels: Sequence[int],
        grids: Sequence[tuple[int, int]],
        kernels: Sequence[int],
        *,
        ratio: float,
        clamp: float,
        precision: Precision,
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm((c, *grid)) for c, grid in zip(channels, grids, strict=bool(grids)))
        self.nf_flows = nn.ModuleList(
            plain_flow(c, kernels, ratio=ratio, clamp=clamp, precision=precision) for c in channels
        )

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Map L features (B, C_i, H_i, W_i) to L tensors z of the same shapes, and the log-Jacobian (B,).

        Raises:
            OptionError: the features have another size than the layer norms.
        """
        z, jacobians = [], []
        for flow, x in zip(self.nf_flows, self.normed(features), strict=True):
            level, log_jac = flow(x.contiguous(memory_format=torch.channels_last))
            z.append(level)
            jacobians.append(log_jac)
        return z, torch.stack(jacobians).sum(0)

    def normed(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Each level through its layer norm, if there are any: float32. Raises ``OptionError`` as ``forward`` does."""
        levels = [at_least_float32(level) for level in features]
        if not self.norms:
            return levels
        for norm, level in zip(self.norms, levels, strict=True):
            if level.shape[1:] != norm.normalized_shape:
                found, wanted = (f"{shape[-2]}x{shape[-1]} positions" for shape in (level.shape, norm.normalized_shape))
                hint = "Use the size of training, in multiples of 32"
                raise OptionError("a level of the backbone", found=found, wanted=wanted, hint=hint)
        return [norm(level) for norm, level in zip(self.norms, levels, strict=True)]


def grids(size: tuple[int, int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """Height and width of the backbone's levels for images of ``size``: each stride rounds up."""
    return [(-(-size[0] // stride), -(-size[1] // stride)) for stride in strides]


def kernels(options: FastFlowOptions) -> list[int]:
    """Sides of the subnets' convolutions: 3 and 1 in turn, or 3 alone."""
    return [1 if step % 2 and not options.conv3x3_only else 3 for step in range(options.steps)]
