"""What the README and the docs promise of accuracy, measured on the images themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from adbench.cli.main import app

REAL_IMAGES = Path(__file__).parents[2] / "shared" / "data"

needs_real_images = pytest.mark.skipif(
    not (REAL_IMAGES / "kolektorsdd").is_dir(), reason=f"no real images at {REAL_IMAGES}"
)


def mean_of(*arguments: str, results: Path) -> dict[str, float]:
    """Run MSFlow and return the row of means."""
    command = ["run", "--method", "msflow", "--results", str(results), "--eval-every", "0", "--format", "json"]
    outcome = CliRunner().invoke(app, [*command, *arguments], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.stderr
    (mean,) = json.loads(outcome.stdout)[0]["footers"]
    return mean


@pytest.mark.slow
def test_the_first_command_keeps_its_promise(tmp_path):
    """MSFlow's cpu preset reaches 0.95 on demo, for images and for pixels."""
    mean = mean_of("--dataset", "demo", "--preset", "cpu", results=tmp_path)

    assert mean["image_auroc"] >= 0.95
    assert mean["pixel_auroc"] >= 0.95


@pytest.mark.slow
@needs_real_images
@pytest.mark.parametrize(
    ("class_name", "epochs", "rate", "image", "pixel"),
    [
        ("kolektorsdd", 15, 1e-3, 0.79, 0.85),
        ("kolektorsdd", 12, 1e-4, 0.76, 0.85),
        ("magnetic_tile", 4, 1e-4, 0.79, 0.78),
    ],
)
def test_at_equal_settings_msflow_is_as_good_as_the_authors_program(tmp_path, class_name, epochs, rate, image, pixel):
    """EfficientNet-Lite0, 256 x 256, batch 8, fp32: not below what theirs reached; the last number is known to be."""
    settings = (f"meta_epochs={epochs}", "sub_epochs=1", "warmup=0", f"lr={rate}", "decay_epochs=70,90", "batch_size=8")
    changes = [word for setting in settings for word in ("-o", setting)]
    folder = ("--dataset", "folder", "--data-root", str(REAL_IMAGES), "--class", class_name)
    mean = mean_of(*folder, "--preset", "cpu", "--amp", "off", *changes, results=tmp_path)

    assert mean["image_auroc"] >= image
    if class_name == "magnetic_tile" and mean["pixel_auroc"] < pixel:
        pytest.xfail(f"pixel AUROC {mean['pixel_auroc']:.3f} is below their {pixel} (docs/results.md)")
    assert mean["pixel_auroc"] >= pixel
