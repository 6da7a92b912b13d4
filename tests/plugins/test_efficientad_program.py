"""EfficientAD against the numbers of its usual program."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from adbench_plugins.efficientad import EfficientADOptions
from adbench_plugins.efficientad.model import EfficientAD, quantile
from adbench_plugins.efficientad.networks import PDN, channel_statistics
from flow_doubles import assert_near, golden_file, tensors

from adbench import BuildContext
from adbench.data.images import Batch

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def golden() -> np.lib.npyio.NpzFile:
    return golden_file("efficientad_small.npz")


@pytest.fixture(scope="module")
def pixels(golden) -> torch.Tensor:
    """Images for teacher and student, for the autoencoder, for the penalty, for validation: (4, 3, 256, 256)."""
    return torch.from_numpy(golden["pictures_u8_32"]).float().repeat_interleave(8, 2).repeat_interleave(8, 3) / 255


def golden_detector(golden: np.lib.npyio.NpzFile) -> EfficientAD:
    options = EfficientADOptions(amp="off", channels=8, divisor=8)
    detector = EfficientAD(options, BuildContext(CPU))
    for name in ("teacher", "student", "autoencoder"):
        getattr(detector, name).load_state_dict(tensors(golden, f"{name}/"))
    for name in ("teacher_mean", "teacher_std"):
        setattr(detector, name, torch.from_numpy(golden[name]))
    return detector


def test_networks_are_those_of_the_program(golden, pixels):
    """Teacher, student and autoencoder, layer by layer of the same names; with padding for 64 x 64 positions."""
    detector, (first, second) = golden_detector(golden), (pixels[:1], pixels[1:2])
    with torch.no_grad():
        assert detector.teacher(first).shape == (1, 8, 56, 56)
        assert_near(golden["teacher_out_img0_sub4"], detector.teacher(first)[..., ::4, ::4])
        assert_near(golden["student_out_img0_sub4"], detector.student(first)[..., ::4, ::4])
        assert_near(golden["ae_eval_out_img1_sub4"], detector.autoencoder(second)[..., ::4, ::4])
        for kind, prefix, divisor in (("small", "teacher/", 8), ("medium", "medium_teacher/", 16)):
            padded = PDN(kind, 8, divisor, padded=True)
            padded.load_state_dict(tensors(golden, prefix))
            name = "teacher" if kind == "small" else "medium"
            assert padded(first).shape == (1, 8, 64, 64)
            assert_near(golden[f"{name}_padded_out_img0_sub4"], padded(first)[..., ::4, ::4])
        medium = PDN("medium", 8, 16)
        medium.load_state_dict(tensors(golden, "medium_teacher/"))
        assert_near(golden["medium_teacher_out_img0_sub4"], medium(first)[..., ::4, ::4])


def test_the_teachers_statistics_are_those_of_the_program(golden, pixels):
    """Mean and standard deviation over all positions of two images, also in two batches."""
    detector = golden_detector(golden)
    with torch.no_grad():
        features = [detector.teacher(pixels[row : row + 1]) for row in (0, 3)]
    for batches in (features, [torch.cat(features)]):
        mean, std = channel_statistics(batches)
        assert_near(golden["teacher_mean"], mean, 1e-4)
        assert_near(golden["teacher_std"], std, 1e-4)


@pytest.mark.parametrize("penalty", [True, False])
def test_the_terms_of_the_loss_are_those_of_the_program(golden, pixels, penalty):
    """The hardest differences, the penalty, and both of the autoencoder, without dropout."""
    detector, kind = golden_detector(golden), "pen" if penalty else "nopen"
    (teacher,) = Batch.of(pixels[:1]).features(detector.teacher)
    found = detector.terms(pixels[:1], pixels[1:2], teacher, *([pixels[2:3]] if penalty else []))
    total = torch.stack(found).sum(0)
    expected = {
        "loss_hard": found.hard, "loss_st": found.hard + found.penalty, "loss_ae": found.autoencoder,
        "loss_stae": found.student_autoencoder, "loss_total": total,
    }  # fmt: skip
    if penalty:
        expected["loss_penalty"] = found.penalty
    for name, value in expected.items():
        assert_near(golden[f"{kind}/{name}"], value, 1e-4)

    student = detector.student(pixels[:1])[:, :8]
    distances = (detector.normalized(teacher) - student).square()
    assert_near(golden[f"{kind}/d_hard"], quantile(distances.flatten(), 0.999), 1e-4)


def test_gradients_are_those_of_the_program_and_adam_follows_them(golden, pixels, monkeypatch):
    """All four terms through both networks; Adam's first step is the learning rate along its sign with decay."""
    detector = golden_detector(golden)
    monkeypatch.setattr("adbench_plugins.efficientad.model.changed_colours", lambda images: pixels[1:2])
    before = {name: tensors(golden, f"{name}/") for name in ("teacher", "student", "autoencoder")}
    detector.step(Batch.of(pixels[:1]), (255 * pixels[2:3]).round().to(torch.uint8))
    for name in ("student", "autoencoder"):
        network = getattr(detector, name)
        gradients = {key: value.grad for key, value in network.named_parameters()}
        stored = tensors(golden, f"grad/{name}/")
        assert len(stored) >= 5
        for key, expected in stored.items():
            parameter, _, part = key.partition("_sub")
            gradient = gradients[parameter][:, :: int(part)] if part else gradients[parameter]
            assert_near(expected.numpy(), gradient, 1e-4)
        for key in (key for key in stored if "_sub" not in key):
            start = before[name][key]
            decayed = gradients[key] + 1e-5 * start
            expected = start - 1e-4 * decayed / (decayed.abs() + 1e-8)
            assert_near(expected.numpy(), network.state_dict()[key], 1e-6)
    assert all(torch.equal(value, before["teacher"][key]) for key, value in detector.teacher.state_dict().items())


def test_maps_and_the_score_are_those_of_the_program(golden, pixels):
    """Raw maps, quantiles over two images, the mean of both scaled maps, zeros along the border, and the maximum."""
    detector = golden_detector(golden)
    raw = detector.raw_maps(Batch.of(pixels[:1]))
    assert_near(golden["predict_raw_map_st"][0], raw[0], 1e-4)
    assert_near(golden["predict_raw_map_ae"][0], raw[1], 1e-4)

    detector.quantiles = detector.scales([Batch.of(pixels[3:]), Batch.of(pixels[1:2])])
    stored = [[golden[f"q_{name}_{end}"] for end in ("start", "end")] for name in ("st", "ae")]
    assert_near(np.array(stored), detector.quantiles, 1e-4)
    combined = detector.combined(raw)
    assert_near(golden["predict_norm_map_combined"][0], combined, 1e-4)

    with torch.no_grad():
        scores = detector.score(Batch.of(pixels[:1]))
        other = detector.score(_resized(pixels[:1], (100, 80)))
    small = torch.nn.functional.pad(combined, (4, 4, 4, 4))
    assert_near(golden["map_padded_64_sub4"][0], small[:, ::4, ::4], 1e-4)
    assert scores.map.shape == (1, 256, 256)
    assert_near(golden["map_100x80_sub2"][0], other.map[:, ::2, ::2], 1e-4)
    assert_near(golden["image_score_100x80"], other.image, 1e-4)


def _resized(pixels: torch.Tensor, size: tuple[int, int]) -> Batch:
    """The same pixels for the networks, and another size of the map, as the program has it."""
    return Batch(len(pixels), size, lambda: pixels)
