"""adbench's training images as anomalib's data module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from anomalib.data import ImageBatch
from lightning.pytorch import LightningDataModule

if TYPE_CHECKING:
    from adbench.api import Images


class Batches:
    """A data loader: good images in anomalib's batches, in a new order each time if adbench shuffles them."""

    def __init__(self, images: Images) -> None:
        self.images = images
        self.batch_size = images.batch_size

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __iter__(self) -> Iterator[ImageBatch]:
        for batch in self.images:
            pixels = batch.images.contiguous()  # (B, 3, H, W) in [0, 1]; some models refuse channels last
            yield ImageBatch(image=pixels, gt_label=torch.zeros(len(pixels), dtype=torch.bool, device=pixels.device))


class TrainingImages(LightningDataModule):
    """All that anomalib sees: ``training`` images, and ``held_out`` ones of them for its validation, or None.

    anomalib's own data modules take test images for validation. There are none here. ``category`` is the name of the
    class, which WinClip puts into its texts.
    """

    name = "adbench"
    """Of a folder that anomalib makes."""

    def __init__(self, training: Images, held_out: Images | None, category: str) -> None:
        super().__init__()
        self.category = category
        self.training, self.held_out = training, held_out
        self.train_batch_size = self.eval_batch_size = training.batch_size

    def train_dataloader(self) -> Batches:
        """Iterate over the training images."""
        return Batches(self.training)

    def val_dataloader(self) -> Batches | list[Batches]:
        """Iterate over the held-out training images."""
        return [] if self.held_out is None else Batches(self.held_out)
