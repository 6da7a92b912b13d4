"""Labels, masks and anomaly maps in, ``Metrics`` out: exact, and the same for every method."""

from ..api.scores import Metrics
from .metrics import evaluate

__all__ = ["Metrics", "evaluate"]
