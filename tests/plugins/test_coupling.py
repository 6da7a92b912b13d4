"""The fast blocks against FrEIA's own, which stay the definition, and against the benchmarks' plain loops."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch
from adbench_plugins.cflow import CFlowOptions
from adbench_plugins.cflow.block import Linear, Subnet, VectorBlock
from adbench_plugins.cflow.decoder import random_rotation
from adbench_plugins.cflow.model import CFlow
from adbench_plugins.coupling import ChannelNorm, FastPermute, MapBlock, permute_channels
from adbench_plugins.flow_training import negative_log_likelihood
from adbench_plugins.msflow import MSFlowOptions
from adbench_plugins.msflow.model import MSFlow
from adbench_plugins.msflow.network import ConvSubnet
from flow_doubles import TinyBackbone
from FrEIA.modules import AllInOneBlock, PermuteRandom
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmarks.plain import PlainCFlow, PlainMSFlow

CPU = torch.device("cpu")
STEPS = 20


def blocks(kind: type[AllInOneBlock], channels: int, code: int) -> tuple[AllInOneBlock, AllInOneBlock]:
    """FrEIA's block and the fast one, in float64 and with the same random parameters."""
    vectors = kind is VectorBlock
    rank = () if vectors else (1, 1)

    def make(block: type[AllInOneBlock], **more: torch.Tensor) -> AllInOneBlock:
        return block(
            [(channels, *rank)], [(code, *rank)], affine_clamping=1.9,
            subnet_constructor=partial(Subnet if vectors else ConvSubnet, precision=None), **more,
        ).double()  # fmt: skip

    plain = make(AllInOneBlock)
    fast = make(kind, rotation=random_rotation(torch.randn(channels, channels).double())) if vectors else make(kind)
    with torch.no_grad():
        for parameter in fast.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    plain.load_state_dict(fast.state_dict())
    return plain, fast


def results(block: AllInOneBlock, x: torch.Tensor, code: torch.Tensor) -> list[torch.Tensor]:
    """Output, log-Jacobian, and the gradients of a function of both."""
    x = x.clone().requires_grad_()
    block.zero_grad()
    (y,), log_jac = block((x,), [code])
    ((y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)).sum() + (log_jac * log_jac).sum()).backward()
    return [y.detach(), log_jac.detach(), x.grad, *(p.grad for p in block.parameters() if p.requires_grad)]


@settings(deadline=None, max_examples=15)
@given(st.integers(2, 9), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
def test_a_fast_map_block_is_freias(channels, images, height, width, seed):
    """Output, log-Jacobian and every gradient equal FrEIA's for maps of any shape, odd channels too."""
    torch.manual_seed(seed)
    plain, fast = blocks(MapBlock, channels, 4)
    x = torch.randn(images, channels, height, width, dtype=torch.float64)
    code = torch.randn(1, 4, height, width, dtype=torch.float64)
    expected = results(plain, x, code.expand(images, -1, -1, -1))
    for wanted, actual in zip(expected, results(fast, x, code), strict=True):
        torch.testing.assert_close(actual, wanted)


@settings(deadline=None, max_examples=15)
@given(st.integers(2, 9), st.integers(1, 6), st.integers(0, 99))
def test_a_fast_vector_block_is_freias(channels, count, seed):
    """Single vectors with a rotation between the couplings have FrEIA's numbers, too."""
    torch.manual_seed(seed)
    plain, fast = blocks(VectorBlock, channels, 4)
    x, code = torch.randn(count, channels, dtype=torch.float64), torch.randn(count, 4, dtype=torch.float64)
    for wanted, actual in zip(results(plain, x, code), results(fast, x, code), strict=True):
        torch.testing.assert_close(actual, wanted)
        assert actual.is_contiguous()  # as the optimiser's moments are


def in_two_precisions() -> tuple[VectorBlock, VectorBlock]:
    """A block in float32, and one with the same parameters and bf16 products."""
    _, exact = blocks(VectorBlock, 64, 8)
    exact.float()
    rounded = VectorBlock(
        [(64,)], [(8,)], affine_clamping=1.9, rotation=exact.w_perm.detach().clone(),
        subnet_constructor=partial(Subnet, precision=torch.bfloat16),
    )  # fmt: skip
    rounded.load_state_dict(exact.state_dict())
    return exact, rounded


def off_by(actual: torch.Tensor, wanted: torch.Tensor) -> float:
    """Norm of the difference, relative to the wanted tensor."""
    return (torch.linalg.vector_norm(actual - wanted) / torch.linalg.vector_norm(wanted)).item()


@pytest.mark.parametrize("rotated", [True, False])
@pytest.mark.parametrize("shared", [1, 4])
@pytest.mark.parametrize("x_dtype", [torch.float32, torch.bfloat16])
def test_a_vector_block_in_bf16_is_close_to_float32(rotated, shared, x_dtype):
    """bf16 products are a few percent off and other parts exact; only the rotated output is bf16."""
    torch.manual_seed(0)
    exact, rounded = in_two_precisions()
    x, code = torch.randn(32, 64).to(x_dtype), torch.randn(32 // shared, 8)

    def numbers(block: VectorBlock, x: torch.Tensor) -> tuple[torch.dtype, list[torch.Tensor]]:
        own = x.clone().requires_grad_()
        y, log_jac = block((own,), (code,)) if rotated else block.couple(own, code)
        y = y[0] if rotated else y
        (y.float().square().sum() + log_jac.sum()).backward()
        assert own.grad.dtype == own.dtype
        parameters = [parameter.grad for parameter in block.parameters() if parameter.requires_grad]
        assert {each.dtype for each in (log_jac, *parameters)} == {torch.float32}
        return y.dtype, [y.float(), log_jac, own.grad.float(), *parameters]

    (_, expected), (dtype, found) = numbers(exact, x.float()), numbers(rounded, x)
    assert dtype == (torch.bfloat16 if rotated else torch.float32)
    assert max(map(off_by, found, expected)) < 0.05
    passive = exact.splits[0]
    if not rotated:  # no product comes near the first half
        assert off_by(found[0][:, :passive], expected[0][:, :passive]) < 1e-6


def test_a_vector_block_in_bf16_goes_back_to_where_it_came_from():
    """The inverse accepts the block's output."""
    torch.manual_seed(0)
    _, rounded = in_two_precisions()
    x, code = torch.randn(32, 64), torch.randn(32, 8)
    with torch.no_grad():
        y, log_jac = rounded((x,), [code])
        (back,), inverse = rounded(y, [code], rev=True)
    assert off_by(back, x) < 0.02
    torch.testing.assert_close(inverse, -log_jac, atol=0.2, rtol=0.02)


@pytest.mark.parametrize("kind", [MapBlock, VectorBlock])
def test_a_fast_block_goes_back_to_where_it_came_from(kind):
    """The inverse, which is FrEIA's, undoes the fast forward direction, and its log-Jacobian cancels."""
    _, block = blocks(kind, 6, 4)
    shape = (2,) if kind is VectorBlock else (2, 3, 4)
    x = torch.randn(shape[0], 6, *shape[1:], dtype=torch.float64)
    code = torch.randn(shape[0], 4, *shape[1:], dtype=torch.float64)
    once = code if kind is VectorBlock else code[:1]
    y, log_jac = block((x,), [once])
    back, inverse = block(y, [once], rev=True)
    torch.testing.assert_close(back[0], x)
    torch.testing.assert_close(inverse, -log_jac)


def test_what_is_made_while_scoring_can_be_trained_with():
    """Tensors made in inference mode, which no gradient may pass, are not kept."""
    for kind, x, code in ((MapBlock, torch.randn(1, 6, 2, 2), torch.randn(1, 4, 2, 2)),
                          (VectorBlock, torch.randn(3, 6), torch.randn(3, 4))):  # fmt: skip
        _, block = blocks(kind, 6, 4)
        x, code = x.double(), code.double()
        with torch.inference_mode():
            block((x,), [code])
        (y,), _ = block((x.requires_grad_(),), [code])
        y.sum().backward()
        assert x.grad is not None


def test_another_permutation_that_is_loaded_counts():
    """Cached values of a permutation are made again after load_state_dict."""
    _, block = blocks(MapBlock, 6, 4)
    x, code = torch.randn(1, 6, 2, 2, dtype=torch.float64), torch.randn(1, 4, 2, 2, dtype=torch.float64)
    (before,), _ = block((x,), [code])
    state = block.state_dict()
    order = torch.arange(5, -1, -1)
    block.load_state_dict({**state, "w_perm": state["w_perm"][order]})
    (after,), _ = block((x,), [code])
    torch.testing.assert_close(after, before[:, order])


def test_the_first_permutation_is_freias():
    """FastPermute reorders as FrEIA's PermuteRandom, both ways, with the same gradient."""
    plain, fast = PermuteRandom([(7, 1, 1)]), FastPermute([(7, 1, 1)])
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(2, 7, 3, 2, dtype=torch.float64, requires_grad=True)
    for rev in (False, True):
        torch.testing.assert_close(fast([x], rev=rev)[0][0], plain([x], rev=rev)[0][0])
    assert torch.autograd.gradcheck(lambda x: permute_channels(x, fast.perm, fast.perm_inv), (x,))


def test_the_channel_norm_is_a_layer_norm_over_channels():
    """Both agree for any memory layout, and in bf16 within its precision."""
    norm = ChannelNorm(5)
    nn.init.normal_(norm.weight)
    x = torch.randn(2, 5, 3, 4)
    expected = nn.functional.layer_norm(x.permute(0, 2, 3, 1), (5,), norm.weight, norm.bias).permute(0, 3, 1, 2)
    torch.testing.assert_close(norm(x), expected)
    torch.testing.assert_close(norm(x.contiguous(memory_format=torch.channels_last)), expected)
    torch.testing.assert_close(norm(x.bfloat16()).float(), expected, atol=0.05, rtol=0.05)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_vectors_that_share_a_code_are_as_good_as_each_with_its_own(count, each, seed):
    """A block whose code counts for several vectors in a row has the numbers and gradients of the repeated code."""
    torch.manual_seed(seed)
    _, block = blocks(VectorBlock, 5, 3)
    x, code = torch.randn(count * each, 5, dtype=torch.float64), torch.randn(count, 3, dtype=torch.float64)
    expected = results(block, x, code.repeat_interleave(each, dim=0))
    for actual, wanted in zip(results(block, x, code), expected, strict=True):
        torch.testing.assert_close(actual, wanted)
    with torch.no_grad():  # where the code's part is computed once for all
        (y,), log_jac = block((x,), [code])
    torch.testing.assert_close(y, expected[0])
    torch.testing.assert_close(log_jac, expected[1])


def test_a_linear_layer_computes_in_its_precision():
    """Products are bf16 on request, within its precision, and gradients have the types of their tensors."""
    layer, x = Linear(64, 16, torch.bfloat16), torch.randn(8, 64, requires_grad=True)
    found = layer(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), nn.functional.linear(x, layer.weight, layer.bias), atol=0.02, rtol=0.02)
    found.float().sum().backward()
    assert {x.grad.dtype, layer.weight.grad.dtype, layer.bias.grad.dtype} == {torch.float32}
    torch.testing.assert_close(x.grad, layer.weight.sum(0).expand_as(x), atol=0.02, rtol=0.02)


# ---------------------------------------------------------------- the same training

MSFLOW = replace(MSFlowOptions(), size=(64, 64), batch_size=4, blocks=(1, 2, 2), cond_channels=8, amp="off", lr=1e-3)
CFLOW = replace(
    CFlowOptions(), size=(32, 32), batch_size=4, layers=(1, 2), blocks=2, cond_channels=8, fibres=16, amp="off", lr=1e-3
)


def _ratio(expected: list[float], actual: list[float]) -> float:
    return max(abs(b - a) / abs(a) for a, b in zip(expected, actual, strict=True))


def test_msflow_trains_as_the_plain_loop_does():
    """Losses of twenty optimiser steps from the same start agree to 1e-4 relative, in float32."""
    torch.manual_seed(0)
    detector = MSFlow(MSFLOW, CPU, TinyBackbone((8, 12, 16)))
    plain = PlainMSFlow(MSFLOW, TinyBackbone((8, 12, 16)), "off", CPU)
    plain.take_over(detector)
    features = [torch.randn(4, c, s, s) for c, s in ((8, 8), (12, 4), (16, 2))]
    expected = [plain.train(features, nullcontext)[0] for _ in range(STEPS)]
    assert _ratio(expected, [detector.step(features).item() for _ in range(STEPS)]) < 1e-4
    assert expected[-1] < expected[0] - abs(expected[0]) / 10  # something was learnt
    z, log_jac = detector.flow(features)
    wanted = plain.forward(features)
    assert _ratio(negative_log_likelihood(*wanted).tolist(), negative_log_likelihood(z, log_jac).tolist()) < 1e-4


def test_cflow_trains_as_the_plain_loop_does():
    """CFLOW-AD's steps agree, too, on mini-batches of fibres drawn with the same random numbers."""
    torch.manual_seed(0)
    detector = CFlow(CFLOW, CPU, TinyBackbone((8, 12)))
    plain = PlainCFlow(CFLOW, TinyBackbone((8, 12)), "off", CPU)
    plain.take_over(detector)
    features = [torch.randn(4, c, s, s) for c, s in ((8, 8), (12, 4))]
    expected, actual = [], []
    while len(expected) < STEPS:
        torch.manual_seed(len(expected))
        expected += plain.train(features, nullcontext)
        torch.manual_seed(len(actual))
        for level, feature in enumerate(features):
            actual += [detector.step(level, *parts).item() for parts in detector.mini_batches(feature)]
    assert _ratio(expected, actual) < 1e-4
    halves = sum(expected[: STEPS // 2]), sum(expected[STEPS // 2 : STEPS])
    assert halves[1] < halves[0]  # something was learnt
