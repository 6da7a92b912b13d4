"""The detector of SubspaceAD: one linear subspace for the tokens of all positions.

From what is known of the paper, arXiv 2602.23013, and of the authors' program: docs/methods/subspacead.md lists the
differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adbench import Detector, Epoch, Scores
from adbench.api import CheckpointError, OptionError, TaskError, maps

from ..patches import averaged
from . import SubspaceADOptions
from .components import Components, Moments

if TYPE_CHECKING:
    from adbench import Backbone, BuildContext
    from adbench.api import Batch, Images

TOP = 0.01
"""Share of a map's pixels whose mean is the image score."""

SIGMA, RADIUS = 4.0, 1
"""The program's kernel: a Gaussian of 4 pixels that ends after one, almost a mean of 3 x 3."""


class MeanOfLayers:
    """The mean of a backbone's layers as its only one, so that the cache keeps no more than that.

    Attributes:
        key: names all that changes the features, as a backbone's does.
        channels: of the one layer.
        strides: pixels per position.
        weights_hash: of the backbone.
    """

    def __init__(self, backbone: Backbone) -> None:
        """Wrap a backbone. Raises ``OptionError`` unless its layers have the same channels and strides."""
        if len(set(backbone.channels)) > 1 or len(set(backbone.strides)) > 1:
            raise OptionError(
                "join",
                found=f"mean, of layers with {', '.join(map(str, backbone.channels))} channels",
                wanted="layers of the same size, such as blocks of a transformer",
                hint="Use -o join=concat",
            )
        self.backbone = backbone
        self.key = f"{backbone.key}/mean"
        self.channels, self.strides = backbone.channels[:1], backbone.strides[:1]
        self.weights_hash = backbone.weights_hash

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Map images (B, 3, H, W) to a list of one tensor (B, C, h, w)."""
        layers = self.backbone(images)
        total = sum((layer.float() for layer in layers[1:]), layers[0].float())
        return [(total / len(layers)).to(layers[0].dtype)]

    def release_weights(self) -> None:
        """Free the backbone's memory until the next images."""
        self.backbone.release_weights()


class SubspaceAD(Detector):
    """The detector. After ``fit``, ``components`` holds all that scoring needs."""

    def __init__(self, options: SubspaceADOptions, context: BuildContext | torch.device, backbone: Backbone) -> None:
        super().__init__(options, context)
        self.options: SubspaceADOptions = options
        self.backbone: Any = MeanOfLayers(backbone) if options.join == "mean" else backbone
        self.components: Components | None = None

    @torch.no_grad()
    def fit(self, images: Images) -> Iterator[Epoch]:
        """Sum up the tokens and their products in one epoch, then find the components."""
        if self.epoch:
            return
        yield Epoch(0, 1)
        moments = Moments()
        for view in self._views(images):
            for features in view.features(self.backbone):
                moments.add(self.tokens(features).flatten(0, 2))
        if not moments.count:
            raise TaskError("subspacead", found="no training image")
        found = moments.components(self.options.variance, self.options.components)
        if self.options.drop >= max(len(found.variance), 1):
            raise OptionError(
                "subspacead: drop", found=f"{self.options.drop} of {len(found.variance)} components",
                wanted="fewer than there are", hint="Lower drop, or raise variance or components",
            )  # fmt: skip
        self.components = Components(*(part.to(self.device) for part in vars(found).values()))
        yield Epoch(1, 1)

    def score(self, batch: Batch) -> Scores:
        """Score tokens by what the components leave out, and images by the highest hundredth of the map."""
        smooth = maps.gaussian(
            maps.upsample(self.token_scores(self.tokens(batch.features(self.backbone))), batch.size),
            SIGMA, radius=RADIUS, border="mirror",
        )  # fmt: skip
        return Scores(image=maps.top_mean(smooth, TOP), map=smooth)

    def tokens(self, features: Sequence[Tensor]) -> Tensor:
        """The tokens of all positions: L x (B, C_i, h_i, w_i) -> float32 (B, h, w, C)."""
        return averaged(features, patch=1)

    def token_scores(self, tokens: Tensor) -> Tensor:
        """The score of each token: (B, h, w, C) -> (B, h, w)."""
        components = self._fitted(tokens)
        kinds = {"residual": components.residual, "mahalanobis": components.mahalanobis, "cosine": components.cosine}
        return kinds[self.options.score](tokens.flatten(0, 2), self.options.drop).view(tokens.shape[:3])

    def _views(self, images: Images) -> Iterator[Images]:
        """The images as they are, and with few of them also turned copies."""
        yield images
        if self.context.setting == "few-shot" and (copies := self.options.rotations):
            turned = images.augmented(rotation=180, copies=copies, start=0)
            yield from (turned for _ in range(copies))  # each time the next version

    def _fitted(self, tokens: Tensor) -> Components:
        if self.components is None:
            raise CheckpointError(
                "subspacead", found="no components", wanted="a fitted detector", hint="Call fit first"
            )
        found, wanted = tokens.shape[3], len(self.components.mean)
        if found != wanted:
            hint = "Use the backbone, layers and join that subspacead was fitted with"
            raise CheckpointError("subspacead's tokens", found=f"{found} numbers", wanted=f"{wanted}", hint=hint)
        return self.components

    # -- state

    def state_dict(self) -> dict[str, Any]:
        """The ``mean``, the ``basis`` and the ``variance``."""
        return dict(vars(self.components)) if self.components else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what ``state_dict`` returned."""
        names = ("mean", "basis", "variance")
        parts = [state.get(name) for name in names]
        if not all(isinstance(part, Tensor) for part in parts):
            found = ", ".join(map(str, state)) or "nothing"
            raise CheckpointError("checkpoint", found=found, wanted=f"{', '.join(names)} of a fitted subspacead")
        mean, basis, variance = (part.to(self.device, torch.float32) for part in parts if part is not None)
        shapes = (tuple(mean.shape), tuple(basis.shape), tuple(variance.shape))
        if basis.ndim != 2 or shapes != ((len(basis),), tuple(basis.shape), (basis.shape[1],)):
            raise CheckpointError("checkpoint", found=f"shapes {shapes}", wanted="(C,), (C, K), (K,)")
        self.components = Components(mean, basis, variance)
