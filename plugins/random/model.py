"""Random scores that depend only on the seed and the image's own pixels.

Correct metrics give them an image and a pixel AUROC around 0.5, and an AUPRO around 0.15: the overlap equals the
false-positive rate, and the mean of that up to 0.3 is 0.15.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from adbench import Detector, Epoch, Options, Scores

if TYPE_CHECKING:
    from adbench import BuildContext
    from adbench.api import Batch, Images


class Random(Detector):
    """The detector; ``key`` (16,) uint8 is drawn from torch's seed and mixed into every image's hash."""

    not_exportable = "scores from a hash of the image, which no format has"

    def __init__(self, options: Options, context: BuildContext | torch.device) -> None:
        super().__init__(options, context)
        self.key = torch.randint(256, (16,), dtype=torch.uint8)

    def fit(self, images: Images) -> Iterator[Epoch]:
        """Learn nothing."""
        if self.epoch == 0:
            yield Epoch(1, 1)

    def score(self, batch: Batch) -> Scores:
        """Uniform noise in [0, 1), drawn separately for an image and for its pixels."""
        pixels = (batch.images * 255).round().byte().cpu()  # (B, 3, H, W)
        generators = [self._generator(pixels) for pixels in pixels]
        image = torch.stack([torch.rand((), generator=generator) for generator in generators])
        maps = torch.stack([torch.rand(batch.size, generator=generator) for generator in generators])
        return Scores(image=image.to(self.device), map=maps.to(self.device))

    def _generator(self, pixels: torch.Tensor) -> torch.Generator:
        """A generator seeded by the image (3, H, W); noise is drawn on the CPU, and so the same on every device."""
        key = self.key.cpu().numpy().tobytes()
        digest = hashlib.blake2b(pixels.contiguous().numpy().tobytes(), digest_size=8, key=key)
        return torch.Generator().manual_seed(int.from_bytes(digest.digest(), "little") >> 1)
