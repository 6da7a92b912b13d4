"""PatchCore's options, presets and rules, and whole runs of it: on the small backbone, and on a GPU."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from adbench_plugins.patchcore import PRESETS, PatchCoreOptions, adbench_methods, build
from adbench_plugins.patchcore.model import PatchCore
from method_laws import assert_listing_needs_no_torch

from adbench import checks
from adbench.api.options import check, parse
from adbench.data.images import Batch
from adbench.util.errors import OptionError

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "value"),
    [("share", 0.0), ("share", 1.5), ("neighbours", 0), ("reweighting", 0), ("projection", -1),
     ("sigma", -1.0), ("target", 0)],
)  # fmt: skip
def test_values_that_cannot_work_are_refused(name, value):
    """The message names the option."""
    with pytest.raises(OptionError, match=f"option {name} of patchcore"):
        check(replace(PatchCoreOptions(), **{name: value}), owner="patchcore")


def test_patches_have_a_middle():
    """Their sides are odd numbers."""
    assert parse(PatchCoreOptions, "patch", "5", owner="patchcore") == 5
    with pytest.raises(OptionError, match="option patch of patchcore"):
        parse(PatchCoreOptions, "patch", "2", owner="patchcore")


def test_the_paper_preset_is_the_authors_set_up():
    """IM224_WR50_L2-3_P01_D1024-1024_PS-3_AN-1: resize 256, crop 224, share 0.1, no weights."""
    paper, quick, cpu = (PRESETS[name].options for name in ("paper", "quick", "cpu"))
    assert paper == PatchCoreOptions()
    assert (paper.backbone, paper.layers, paper.dimensions, paper.target) == ("wide_resnet50_2", (2, 3), 1024, 1024)
    assert (paper.size, paper.resize, paper.resize_to, paper.interpolation) == (
        (224, 224), "crop", (256, 256), "bilinear",
    )  # fmt: skip
    assert (paper.share, paper.patch, paper.neighbours, paper.reweighting, paper.squared) == (0.1, 3, 1, 1, True)
    assert (paper.embedding, quick.embedding, cpu.embedding) == ("program", "averaged", "averaged")


def test_the_cpu_preset_finds_a_defect():
    """With the real small backbone, a bright square stands out in the map, at its position."""
    options = replace(PRESETS["cpu"].options, size=(96, 128), amp="off", share=0.1)
    detector = build(options, CPU)
    draw = torch.Generator().manual_seed(0)
    good = 0.4 + 0.1 * torch.rand(10, 3, 96, 128, generator=draw)

    class Good:
        def __len__(self) -> int:
            return 8

        def features(self, backbone):
            return (backbone(part) for part in good[:8].split(4))

    list(detector.fit(Good()))
    bad = good[9:].clone()
    bad[:, :, 30:50, 60:90] = 0.9
    with torch.no_grad():
        scores = detector.score(Batch.of(torch.cat((good[8:9], bad))))

    row, column = divmod(int(scores.map[1].argmax()), 128)
    assert scores.image[1] > 1.5 * scores.image[0]
    assert 25 <= row <= 55
    assert 55 <= column <= 95


def test_the_plugin_offers_patchcore_without_torch():
    """Listing the methods imports no torch; published numbers come with their settings."""
    (method,) = adbench_methods()
    assert (method.name, sorted(method.presets)) == ("patchcore", ["cpu", "paper", "quick"])
    assert {(each.setting, each.policy) for each in method.published} >= {("one-class", "last")}
    assert_listing_needs_no_torch("patchcore")


@pytest.mark.slow
def test_it_keeps_the_rules():
    """Those of ``adbench check-method``."""
    checks.check_method("patchcore")


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_class_of_209_large_images_fits_on_a_gpu_of_8_gb():
    """At 512 x 512 with the channels of wide_resnet50_2: rows are projected and searched block by block."""
    device = torch.device("cuda", torch.cuda.current_device())
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 8e9 / total), device)

    class Large:
        def __len__(self) -> int:
            return 209

        def features(self, backbone):
            for number in torch.randperm(209).tolist():
                draw = torch.Generator(device).manual_seed(number)
                shapes = ((1, 512, 64, 64), (1, 1024, 32, 32))
                yield [torch.randn(shape, generator=draw, device=device) for shape in shapes]

    try:
        options = PatchCoreOptions(size=(512, 512), share=0.01, amp="off")
        detector = PatchCore(options, device, SimpleNamespace(channels=(512, 1024), strides=(8, 16)))
        list(detector.fit(Large()))
        assert detector.state_dict()["bank"].shape == (8560, 1024)
        features = next(Large().features(None))
        scores = detector.score(SimpleNamespace(features=lambda _: features, size=(512, 512)))
        assert torch.isfinite(scores.map).all()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
