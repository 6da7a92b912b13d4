"""A plugin with a tiny backbone: two convolutions with fixed weights, or those of a file."""

import torch
from torch import nn

from adbench import BackboneEntry, Network, hookimpl
from adbench.util.errors import OptionError

SCALE = 1.0


class Stripes(nn.Module):
    """Differences across and along, at strides 4 and 8."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers
        self.first = nn.Conv2d(3, 4, 4, 4)
        self.second = nn.Conv2d(4, 6, 2, 2)

    def forward(self, x):
        first = self.first(x).relu()
        return [(first, self.second(first).relu())[layer - 1] for layer in self.layers]


def build(layers, weights, pretrained):
    if not set(layers) <= {1, 2}:
        raise OptionError("layers of stripes", found=",".join(map(str, layers)), wanted="some of 1, 2")
    net = Stripes(layers)
    if pretrained and weights is None:
        with torch.no_grad():
            for value in net.parameters():
                value.copy_(SCALE * torch.arange(value.numel()).sin().view(value.shape))
    elif pretrained:
        net.load_state_dict(torch.load(weights, weights_only=True))
    return Network(net, channels=tuple((4, 6)[layer - 1] for layer in layers),
                   strides=tuple((4, 8)[layer - 1] for layer in layers), multiple=8)  # fmt: skip


@hookimpl
def adbench_backbones():
    return [BackboneEntry("stripes", "Two convolutions", build, weights="a formula")]
