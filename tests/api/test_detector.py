"""A detector's parts besides fit and score: checked steps, and a torch module."""

from __future__ import annotations

import pytest
import torch

from adbench import BuildContext, Detector, Epoch, Options, Scores, Step
from adbench.util.errors import TaskError

CPU = torch.device("cpu")
CONTEXT = BuildContext(CPU)


@pytest.mark.parametrize(("done", "total"), [(-1, 3), (4, 3), (0, -1)])
def test_a_step_beyond_its_total_is_refused(done, total):
    """The error is raised where the step is made, so that the traceback leads to the method."""
    with pytest.raises(TaskError, match=f"a Step: found {done} of {total}"):
        Step(done, total)
    assert Step(0, 0).done == 0


class Trained(Detector):
    """Has a mean and a layer, and scores with both."""

    def __init__(self, options, context):
        super().__init__(options, context)
        self.layer = torch.nn.Conv2d(3, 1, 1)
        self.mean = torch.full((3, 1, 1), 0.5)

    def fit(self, images):
        yield Epoch(1, 1)

    def score(self, batch):
        found = self.layer(batch.images.to(self.mean.dtype) - self.mean)[:, 0]
        return Scores(found.amax(dim=(1, 2)), found)


def test_a_detector_is_a_module():
    """It maps images to image scores and maps, without gradients; parameters are found."""
    detector = Trained(Options(), CONTEXT)
    module = detector.module()
    images = torch.rand(4, 3, 8, 6)
    image, found = module(images)
    assert image.shape == (4,)
    assert found.shape == (4, 8, 6)
    assert not found.requires_grad
    torch.testing.assert_close(found, detector.layer(images - 0.5)[:, 0])
    assert sum(each.numel() for each in module.parameters()) == 4


def test_a_module_moves_the_tensors_of_its_detector():
    """to(...) moves parameters and plain tensors; on the meta device both leave the memory."""
    detector = Trained(Options(), CONTEXT)
    module = detector.module().double()
    assert detector.mean.dtype == detector.layer.weight.dtype == torch.float64
    assert module(torch.rand(1, 3, 4, 4))[1].dtype == torch.float64
    module.to("meta")
    assert {detector.mean.device.type, detector.layer.weight.device.type, detector.device.type} == {"meta"}


def test_a_module_of_a_method_without_maps():
    """Maps are None."""

    class NoMaps(Detector):
        def score(self, batch):
            return Scores(batch.images.mean(dim=(1, 2, 3)))

    image, found = NoMaps(Options(), CPU).module()(torch.ones(2, 3, 4, 4))
    assert image.tolist() == [1, 1]
    assert found is None


@pytest.mark.parametrize(("amp", "dtype"), [("off", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_takes_the_precision_of_the_options(amp, dtype):
    """The method's own modules run in it; their parameters and gradients stay float32."""
    detector = Trained(Options(amp=amp), CONTEXT)
    with detector.autocast():
        found = detector.layer(torch.rand(2, 3, 4, 4))
    assert found.dtype == dtype
    found.float().sum().backward()
    assert detector.layer.weight.grad.dtype == torch.float32
