"""Computes ``Metrics`` from labels, masks and anomaly maps: exactly, and in the same way for every method."""

from ..api.scores import Metrics, Region
from .metrics import evaluate

__all__ = ["Metrics", "Region", "evaluate"]
