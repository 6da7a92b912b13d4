"""CFLOW-AD's decoder: an invertible network over single feature vectors ("fibres") and their positions.

Denis Gudovskiy et al., "CFLOW-AD: Real-Time Unsupervised Anomaly Detection with Localization via
Conditional Normalizing Flows", arXiv 2107.12571, WACV 2022. Parameter names are those of the
published checkpoints.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch

from ..coupling import Precision
from ..freia import SequenceINN
from .block import Subnet, VectorBlock

NARROW = 128
"""Up to so many channels a decoder computes in float32: casts would cost more time than faster products save."""


def decoder(
    channels: int, blocks: int, cond_channels: int, clamp: float, precision: Precision, device: torch.device
) -> SequenceINN:
    """Build the flow of one scale: affine couplings conditioned on the position, with random rotations between them.

    ``precision`` is that of its products where it is wider than ``NARROW``.
    """
    # permute_soft=True would draw the same kind of rotations one column at a time: minutes for 2048 channels
    if channels <= NARROW:
        precision = None
    # LAPACK leaves threads idle. The threads compute on the CPU: only the main thread uses a GPU, since CUDA's lazily
    # loaded linear algebra fails when several threads need it first.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        # draw in order, from one generator
        rotations = [pool.submit(random_rotation, torch.randn(channels, channels)) for _ in range(blocks)]
        flow = SequenceINN(channels)
        for rotation in rotations:
            flow.append(
                VectorBlock,
                cond=0,
                cond_shape=(cond_channels,),
                rotation=rotation.result().to(device),
                subnet_constructor=partial(Subnet, precision=precision),
                affine_clamping=clamp,
            )
    return flow.to(device)


def random_rotation(normal: torch.Tensor) -> torch.Tensor:
    """Make a uniformly distributed rotation from normal numbers (size, size), which are overwritten.

    It is a product of reflections that take Gaussian vectors of length size, size - 1, ... 1 to the first axis. So it
    has the Haar measure of SO(size) (G. W. Stewart, "The efficient generation of random orthogonal matrices", SIAM J.
    Numer. Anal. 17, 1980). Each reflection and each sign changes the sign of the determinant, which is thus known.
    Where it is -1, one column changes its sign.
    """
    size = len(normal)
    vectors = normal.triu_()  # row k: the vector of length size - k, from the diagonal on
    lengths = torch.linalg.vector_norm(vectors, dim=1)
    first = vectors.diagonal()
    signs = torch.where(first < 0, -1.0, 1.0)
    heads = first + signs * lengths
    vectors.div_(heads[:, None]).diagonal().fill_(1)
    rotation: torch.Tensor = torch.linalg.householder_product(vectors.T, heads.abs() / lengths).mul_(-signs)
    rotation[:, 0] *= (-1) ** size * (-signs).prod()
    return rotation


def log_likelihood(flow: SequenceINN, fibres: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Log p / C, (k * N,), of the fibres (k * N, C) at positions with the codes (N, D), k fibres in a row at each."""
    channels = fibres.shape[1]
    *blocks, last = flow
    x, log_jac = fibres, fibres.new_zeros(fibres.shape[0])
    for block in blocks:
        (x,), more = block((x,), (codes,))
        log_jac = log_jac + more
    z, more = last.couple(x, codes)  # without its rotation, which keeps lengths
    log_jac = log_jac + more
    log_p: torch.Tensor = -0.5 * channels * math.log(2 * math.pi) - 0.5 * z.square().sum(dim=1) + log_jac
    return log_p / channels
