"""DRAEM against the authors' numbers, and with their checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from adbench_plugins import painting, perlin
from adbench_plugins.draem import PRESETS, DRAEMOptions, build
from adbench_plugins.draem.model import DRAEM, NETWORKS, focal, similarity, square_logits
from adbench_plugins.draem.synthesis import masks_of
from flow_doubles import TinyBatch, assert_near, golden_file, tensors
from runs import adbench

from adbench import BuildContext
from adbench.api import maps
from adbench.util.errors import CheckpointError

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")

PARTS = {"rec": "reconstructive", "seg": "discriminative"}
"""Our names of the golden file's parts."""


@pytest.fixture(scope="module")
def golden() -> np.lib.npyio.NpzFile:
    return golden_file("draem_small.npz")


def authors_checkpoint(golden: np.lib.npyio.NpzFile) -> dict[str, torch.Tensor]:
    """Both of the authors' state dicts in one; the golden file has each as its names and one vector."""
    shapes = {key: value for name in NETWORKS for key, value in getattr(published_setup(), name).state_dict().items()}
    found: dict[str, torch.Tensor] = {}
    for part in PARTS:
        names = golden[f"{part}_names"].tolist()
        values = torch.from_numpy(golden[f"{part}_values"]).split([shapes[name].numel() for name in names])
        found |= {name: value.view_as(shapes[name]) for name, value in zip(names, values, strict=True)}
    return found | {name: torch.tensor(0) for name in shapes if name.endswith("num_batches_tracked")}


def published_setup() -> DRAEM:
    return DRAEM(DRAEMOptions(size=(64, 64), amp="off", width=2, segmentation_width=2), CPU)


@pytest.fixture
def published(golden: np.lib.npyio.NpzFile) -> DRAEM:
    """The small model of the golden file, loaded as an authors' checkpoint."""
    detector = published_setup()
    detector.load_state_dict(authors_checkpoint(golden))
    return detector


def images_of(golden: np.lib.npyio.NpzFile, name: str) -> torch.Tensor:
    """Stored BGR images as RGB, float (2, 3, 64, 64)."""
    return torch.from_numpy(golden[name]).float().flip(1) / 255


@torch.no_grad()
def test_networks_and_scores_are_the_authors(published: DRAEM, golden: np.lib.npyio.NpzFile) -> None:
    """Restored images, logits, the map's probabilities, their means over squares, and image scores."""
    images = images_of(golden, "image_aug_u8")
    restored, logits = published.restore(images)
    scores = published.score(TinyBatch(images))

    assert_near(golden["eval_rec_sub2"], restored.flip(1)[:, :, ::2, ::2])
    assert_near(golden["eval_logits_sub2"], logits[:, :, ::2, ::2])
    assert_near(golden["eval_prob1"][:, 0], scores.map.sigmoid())
    assert_near(golden["eval_avgpool21_sub2"][:, 0], square_logits(scores.map).sigmoid()[:, ::2, ::2])
    assert_near(golden["eval_image_score"], scores.image.sigmoid())


def idle(name: str) -> bool:
    """Whether batch norm removes what this bias adds: gradients are rounding errors, whose sign decides Adam's step."""
    return (
        name.endswith(".bias")
        and "fin_out" not in name
        and name.split(".")[-2] in ("0", "3") + (("1",) if ".up" in name else ())
    )


def test_a_training_step_is_the_authors(published: DRAEM, golden: np.lib.npyio.NpzFile) -> None:
    """Restored images, probabilities, each term of the loss, all stored gradients, and a step of Adam.

    Batch norm over two images of 2 x 2 pixels magnifies rounding: in float64, or with channels last in memory,
    gradients of the first layers differ by up to a third. Where this machine rounds as theirs did, all must agree.
    """
    painted, clean = images_of(golden, "image_aug_u8"), images_of(golden, "image_clean_u8")
    masks = torch.from_numpy(golden["mask_u8"]).float()
    for name in NETWORKS:
        getattr(published, name).to(memory_format=torch.contiguous_format)
    published._train(True)
    restored, logits = published.restore(painted)
    found = restored.detach().flip(1)[:, :, ::2, ::2]
    rounds_alike = np.abs(golden["train_rec_sub2"] - found.numpy()).max() < 1e-5
    assert_near(golden["train_rec_sub2"], found, 1e-3)
    assert_near(golden["train_prob1_sub2"][:, 0], logits.softmax(1)[:, 1, ::2, ::2], 1e-4 if rounds_alike else 2e-2)
    assert_near(golden["loss_l2"], (restored - clean).square().mean())
    assert_near(golden["loss_ssim"], 1 - similarity(restored, clean))
    assert_near(golden["loss_focal"], focal(logits.softmax(1), masks), 1e-4)

    published.load_state_dict(authors_checkpoint(golden))  # running statistics have moved
    assert_near(golden["loss_total"], published.step(painted, clean, masks), 1e-4)
    for part, network in PARTS.items():
        parameters = dict(getattr(published, network).named_parameters())
        gradients = tensors(golden, f"grad/{part}/")
        largest = max(value.abs().max() for value in gradients.values())
        assert len(gradients) > 10
        for name, expected in gradients.items():
            if idle(name):
                assert parameters[name].grad.abs().max() < 1e-4 * largest
            else:
                stable = rounds_alike or name.startswith(("decoder_segment.fin", "decoder_segment.db4"))
                assert_near(expected.numpy(), parameters[name].grad, 1e-3 if stable else 0.5)
        after = getattr(published, network).state_dict()
        for name, expected in tensors(golden, f"after1/{part}/").items():
            if not idle(name):
                assert_near(expected.numpy(), after[name], 1e-4 if rounds_alike else 1e-2)


def test_windows_of_similarity_are_the_authors(golden: np.lib.npyio.NpzFile) -> None:
    """The Gaussian of 11 x 11 pixels, from a single bright pixel."""
    dot = torch.zeros(1, 11, 11)
    dot[0, 5, 5] = 1
    assert_near(golden["ssim_window"][0], maps.gaussian(dot, 1.5, radius=5, border="zero"))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_painted_images_are_the_authors(golden: np.lib.npyio.NpzFile, number: int) -> None:
    """Masks and mixtures from their random angles, cells, transparencies and chances; the last image stays good."""

    def stored(name: str) -> torch.Tensor:
        return torch.from_numpy(golden[f"synth{number}_{name}"])

    angles, cells = 2 * torch.pi * stored("unit_angles"), 2 ** stored("perlin_exp_yx")
    masks = masks_of(perlin.noise(angles[None], cells[None], (32, 32)), stored("no_anomaly_u"))
    image = torch.from_numpy(golden["synth_image"]).movedim(2, 0)[None]
    texture = torch.from_numpy(golden["texture_u8"]).movedim(2, 0)[None] / 255
    found = painting.paint(image, texture, masks, 0.8 * stored("beta_u"))

    assert torch.equal(masks[0, 0], stored("mask")[:, :, 0])
    assert masks.amax().item() == stored("has").item() == (number < 2)
    assert_near(stored("out").movedim(2, 0).numpy(), found[0])


def test_a_checkpoint_that_does_not_fit_is_refused(golden: np.lib.npyio.NpzFile, published: DRAEM) -> None:
    """A missing network, a missing parameter and another width are each named."""
    state = authors_checkpoint(golden)
    with pytest.raises(CheckpointError, match="wanted the discriminative network of DRAEM"):
        published.load_state_dict({key: value for key, value in state.items() if "segment" not in key})
    with pytest.raises(CheckpointError, match=r"encoder\.block1\.0\.bias': found nothing"):
        published.load_state_dict({key: value for key, value in state.items() if key != "encoder.block1.0.bias"})
    with pytest.raises(CheckpointError, match="found shape 16, wanted shape 32"):
        DRAEM(DRAEMOptions(size=(32, 64), amp="off", width=4, segmentation_width=4), CPU).load_state_dict(state)


def test_both_authors_files_in_one_are_scored_by_a_command(tiny_data: Path, tmp_path: Path) -> None:
    """A dict with the entries of both is a checkpoint of adbench test."""
    options = replace(PRESETS["cpu"].options, size=(64, 64), amp="off", width=2, segmentation_width=2)
    detector = build(options, BuildContext(CPU))
    both = {key: value for name in NETWORKS for key, value in getattr(detector, name).state_dict().items()}
    torch.save(both, tmp_path / "both.pt")
    words = [
        "-p",
        "cpu",
        "--size",
        "64",
        "--amp",
        "off",
        "--device",
        "cpu",
        "-o",
        "width=2",
        "-o",
        "segmentation_width=2",
    ]
    data = ["-d", "folder", "--data-root", tiny_data, "-c", "nuts"]
    done = adbench("test", "-m", "draem", "--checkpoint", tmp_path / "both.pt", *data, *words)
    assert done.exit_code == 0, done.output
    assert "image AUROC" in done.stdout
