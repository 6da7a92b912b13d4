"""Batches of images for a plugin's own tests: ``Batch.of(images)``."""

from .api.images import Batch
from .data.images import Images

__all__ = ["Batch", "Images"]
