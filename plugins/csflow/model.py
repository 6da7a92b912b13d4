"""CS-Flow: the likelihood of an image's features at three scales, joined by cross-scale couplings.

Facts from the paper, arXiv 2110.02855, and its published program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adbench import Scores
from adbench.api import devices, maps

from ..flow_training import FlowDetector, Training, negative_log_likelihood
from ..flows import in_double
from . import CSFlowOptions
from .extractor import Pyramid
from .network import CrossScaleFlow

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch

EPS = 1e-4
"""Adam's, as in the program."""


class CSFlow(FlowDetector):
    """The detector: a frozen backbone over three scales of the image, and one flow over all of them."""

    def __init__(self, options: CSFlowOptions, context: BuildContext | torch.device, backbone: Backbone) -> None:
        self.options: CSFlowOptions
        pyramid = Pyramid(backbone)
        pyramid.require_size(options.size)
        network = CrossScaleFlow(
            backbone.channels[0], options.hidden, options.clamp, devices.compute_dtype(options.amp)
        )
        training = Training(
            options.epochs,
            options.evaluate_every,
            options.lr,
            options.weight_decay,
            eps=EPS,
            clip_norm=options.clip_norm,
            fp16_scale=2.0**16,
        )
        super().__init__(options, context, name="csflow", backbone=pyramid, network=network, training=training)

    def losses(self, *features: Tensor) -> Tensor:
        """The negative log-likelihood of each image per number of z, (B,), of features of all scales."""
        z, log_jac = self.network(features)
        return negative_log_likelihood(z, log_jac) / sum(level[0].numel() for level in z)

    def score(self, batch: Batch) -> Scores:
        """Score images by the mean of z^2 / 2 over all scales, and pixels by the finest scale alone."""
        z, _ = self.network(batch.features(self.backbone))
        return Scores(image=image_scores(z), map=maps.upsample(z[0].square().mean(dim=1), batch.size))

    def authors_state(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """A state dict of the program's network, which has no other parts."""
        if not any(str(key).startswith("module_list.") for key in state):
            return super().authors_state(state)
        return state


def image_scores(z: Sequence[Tensor]) -> Tensor:
    """Mean of z^2 / 2 over all numbers of all scales, so that larger maps weigh more: L x (B, C, h, w) -> (B,)."""
    sums = [in_double(level.square().sum(dim=(1, 2, 3))) for level in z]
    return 0.5 * torch.stack(sums).sum(0) / sum(level[0].numel() for level in z)
