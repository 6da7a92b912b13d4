"""Batches of images, as a plugin's own tests make them: ``Batch.of(images)``."""

from .api.images import Batch
from .data.images import Images

__all__ = ["Batch", "Images"]
