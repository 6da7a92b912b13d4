"""One Gaussian over the feature vectors of all positions: a whole method in one file."""

from dataclasses import dataclass, replace

from adbench import BackboneOptions, Detector, Epoch, Method, Scores, hookimpl
from adbench.types import Preset


@dataclass(frozen=True)
class SampleOptions(BackboneOptions):
    """Each field is an option, as in -o epsilon=0.1; size, backbone and others are inherited."""

    layers: tuple[int, ...] = (2, 3)
    epsilon: float = 0.01  # keeps the covariance invertible


class Sample(Detector):
    """How far each position's feature vector is from those of good pictures."""

    def __init__(self, options, device):
        from adbench import backbones  # torch comes in where it is used, so that adbench starts at once

        super().__init__(options, device)
        self.backbone = backbones.from_options(options, device)  # frozen, and normalises for itself

    def stack(self, features, size=None):
        """Bring all layers to one size, the first's if none is given, and concatenate: (B, C, h, w)."""
        import torch

        size = size or features[0].shape[2:]
        return torch.cat([torch.nn.functional.interpolate(f.float(), size, mode="bilinear") for f in features], dim=1)

    def fit(self, images):
        """Add up the vectors of good pictures and their products, in a single epoch."""
        count, total, products = 0, 0, 0
        for features in images.features(self.backbone):  # a batch: one (B, C, h, w) tensor per layer
            vectors = self.stack(features).movedim(1, 3).flatten(0, 2).double()  # (B * h * w, C)
            count, total, products = count + len(vectors), total + vectors.sum(0), products + vectors.T @ vectors
        mean = total / count
        covariance = products / count - mean * mean[:, None]
        covariance.diagonal().add_(self.options.epsilon)
        self.mean, self.inverse = mean.float(), covariance.inverse().float()  # tensors are saved with the model
        yield Epoch(1, 1)

    def score(self, batch):
        """The squared Mahalanobis distance of each position; the largest is the picture's."""
        away = self.stack(batch.features(self.backbone)).movedim(1, 3) - self.mean  # (B, h, w, C)
        distance = (away @ self.inverse * away).sum(3)  # (B, h, w)
        maps = self.stack([distance[:, None]], batch.size)[:, 0]  # (B, H, W)
        return Scores(image=maps.amax(dim=(1, 2)), map=maps)


@hookimpl
def adbench_methods():
    """Offer the method. The defaults of its options are the preset `paper`."""
    cpu = Preset(replace(SampleOptions(), backbone="efficientnet_lite0"), "A small backbone, no download")
    return [Method("sample", "One Gaussian over all positions", Sample, SampleOptions, {"cpu": cpu})]
