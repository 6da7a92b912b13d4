"""Products are those of torch, whichever library makes them."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench import devices, products

sizes = st.integers(1, 40)


@pytest.fixture(autouse=True)
def _ask_the_processor_anew(monkeypatch):
    monkeypatch.setattr(products, "LARGE", 0)  # the small products of tests are worth a call
    finder = products._one_dnn
    finder.cache_clear()
    yield
    finder.cache_clear()


@pytest.fixture(params=["AuthenticAMD", "GenuineIntel"])
def maker(request, monkeypatch):
    monkeypatch.setattr(devices, "cpu_maker", lambda: request.param)
    return request.param


def laid_out(rows: int, columns: int, layout: str) -> torch.Tensor:
    """Random numbers, row by row, column by column, or as a part of either."""
    if layout == "rows":
        return torch.randn(rows, columns)
    if layout == "columns":
        return torch.randn(columns, rows).T
    if layout == "some of rows":
        return torch.randn(rows, columns + 3)[:, :columns]
    return torch.randn(columns, rows + 3)[:, :rows].T


biases = st.sampled_from(["none", "dense", "gaps", "one for all"])
layouts = st.sampled_from(["rows", "columns", "some of rows", "some of columns"])
shapes = st.tuples(sizes, sizes, sizes)


@pytest.mark.parametrize("of", ["AuthenticAMD", "GenuineIntel"])
@settings(deadline=None)  # libraries prepare each shape once
@given(
    seed=st.integers(0, 1000),
    shape=shapes,
    bias=biases,
    lie=st.tuples(layouts, layouts),
)
def test_linear_is_torchs(of, seed, shape, bias, lie):
    """Rows times a weight plus a bias, on each maker's processors, however both lie in memory."""
    torch.manual_seed(seed)
    x, weight = laid_out(shape[0], shape[1], lie[0]), laid_out(shape[2], shape[1], lie[1])
    added = {"none": None, "dense": torch.randn(shape[2]), "gaps": torch.randn(shape[2], 2)[:, 0],
             "one for all": torch.randn(1).expand(shape[2])}[bias]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(devices, "cpu_maker", lambda: of)
        torch.testing.assert_close(products.linear(x, weight, added), F.linear(x, weight, added), rtol=1e-4, atol=1e-4)


def test_batched_is_torchs(maker):
    """Several products at once are those of ``torch.bmm``."""
    x, weights = torch.randn(5, 7, 11), torch.randn(5, 11, 3)
    with torch.no_grad():
        torch.testing.assert_close(products.batched(x, weights), torch.bmm(x, weights), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_are_left_to_torch(dtype, maker):
    """bf16 and float64 have the result that torch gives, and its type."""
    x, weight = torch.randn(4, 6).to(dtype), torch.randn(5, 6).to(dtype)
    with torch.no_grad():
        assert torch.equal(products.linear(x, weight), F.linear(x, weight))


def test_gradients_are_torchs(maker):
    """Where gradients are wanted, they come."""
    x, weight = torch.randn(4, 6, requires_grad=True), torch.randn(5, 6, requires_grad=True)
    products.linear(x, weight).sum().backward()
    torch.testing.assert_close(x.grad, weight.detach().sum(0).expand(4, 6))
    torch.testing.assert_close(weight.grad, x.detach().sum(0).expand(5, 6))


@pytest.mark.parametrize("gone", ["the name", "what it takes"])
def test_without_the_private_product(gone, maker, monkeypatch):
    """A torch that has no such product, or another one of that name, computes with its own."""

    def other(*arguments: object) -> None:
        raise RuntimeError("expected other arguments")

    there = SimpleNamespace() if gone == "the name" else SimpleNamespace(_linear_pointwise=other)
    monkeypatch.setattr(torch.ops, "mkldnn", there)
    x, weight = torch.randn(4, 6), torch.randn(5, 6)
    with torch.no_grad():
        assert torch.equal(products.linear(x, weight), F.linear(x, weight))


@pytest.mark.parametrize(
    ("info", "processor", "wanted"),
    [
        ("AuthenticAMD", "", "AuthenticAMD"),
        (None, "AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD", "AuthenticAMD"),
        (None, "", ""),
    ],
)
def test_maker_of_the_processor(info, processor, wanted, monkeypatch):
    """Linux has a field for it, and Windows names it last."""
    monkeypatch.setattr(devices, "_cpu_info", lambda key: info if key == "vendor_id" else None)
    monkeypatch.setattr(devices.platform, "processor", lambda: processor)
    assert devices.cpu_maker() == wanted


def test_only_where_it_is_faster(monkeypatch):
    """OneDNN is asked on AMD's processors with AVX-512, and on no others."""
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(_linear_pointwise=lambda *_: torch.zeros(1)))

    def asked(maker: str, capability: str) -> bool:
        products._one_dnn.cache_clear()
        monkeypatch.setattr(devices, "cpu_maker", lambda: maker)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        return products._one_dnn() is not None

    assert asked("AuthenticAMD", "AVX512")
    assert not asked("AuthenticAMD", "AVX2")
    assert not asked("GenuineIntel", "AVX512")
    assert not asked("", "DEFAULT")


def test_small_products_stay_where_they_are(monkeypatch):
    """A product of fewer multiplications than ``LARGE`` doesn't ask oneDNN."""
    monkeypatch.setattr(products, "_one_dnn", lambda: pytest.fail("asked"))
    monkeypatch.setattr(products, "LARGE", 4 * 6 * 5 + 1)
    with torch.no_grad():
        products.linear(torch.randn(4, 6), torch.randn(5, 6))
        products.batched(torch.randn(2, 4, 6), torch.randn(2, 6, 5))
