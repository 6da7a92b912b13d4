"""Batches of images, as a plugin's own tests make them: ``Batch.of(images)``."""

from .data.images import Batch, Images

__all__ = ["Batch", "Images"]
