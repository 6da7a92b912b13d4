"""One Gaussian over the feature vectors of all positions: a whole method in one file."""

from dataclasses import dataclass, replace

from adbench import BackboneOptions, Detector, Epoch, Method, Preset, Scores, hookimpl
from adbench.api import Positive


@dataclass(frozen=True)
class SampleOptions(BackboneOptions):
    """Each field is an option, as in -o epsilon=0.1; size, backbone and others are inherited."""

    layers: tuple[int, ...] = (2, 3)
    epsilon: Positive = 0.01
    """Added to the diagonal of the covariance, so that it can be inverted."""


class Sample(Detector):
    """The distance of each position's feature vector from those of good images."""

    def __init__(self, options, context):
        from adbench import backbones  # here, so that adbench starts without torch

        super().__init__(options, context)
        self.backbone = backbones.from_options(options, context)  # frozen, and normalises its input

    def vectors(self, features):
        """Bring all layers to the size of the first and concatenate: (B, h, w, C)."""
        import torch

        parts = [torch.nn.functional.interpolate(f.float(), features[0].shape[2:], mode="bilinear") for f in features]
        return torch.cat(parts, dim=1).movedim(1, 3)

    def fit(self, images):
        """Sum up the vectors of good images and their products, in a single epoch."""
        count = total = products = 0
        for features in images.features(self.backbone):  # a batch: one tensor (B, C, h, w) per layer
            vectors = self.vectors(features).flatten(0, 2).double()  # (B * h * w, C)
            count, total, products = count + len(vectors), total + vectors.sum(0), products + vectors.T @ vectors
        mean = total / count
        covariance = products / count - mean * mean[:, None]
        covariance.diagonal().add_(self.options.epsilon)
        self.mean, self.inverse = mean.float(), covariance.inverse().float()  # tensors are saved with the model
        yield Epoch(1, 1)

    def score(self, batch):
        """The squared Mahalanobis distance of each position; the largest is the image's."""
        from adbench.api import maps

        away = self.vectors(batch.features(self.backbone)) - self.mean  # (B, h, w, C)
        distances = maps.upsample((away @ self.inverse * away).sum(3), batch.size)  # (B, H, W)
        return Scores(image=maps.highest(distances), map=distances)


@hookimpl
def adbench_methods():
    """Offer the method. The defaults of its options are the preset `paper`."""
    cpu = Preset(replace(SampleOptions(), backbone="efficientnet_lite0"), "A small backbone, no download")
    return [Method("sample", "One Gaussian", Sample, SampleOptions, {"cpu": cpu}, settings=("one-class", "few-shot"))]
