"""The accuracy that the README and the docs promise, measured on the images themselves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from adbench.cli.main import app

REAL_IMAGES = Path(os.environ.get("ADBENCH_REAL_DATA", ""))
"""A folder with the classes kolektorsdd and magnetic_tile in MVTec layout."""

needs_real_images = pytest.mark.skipif(
    not (REAL_IMAGES / "kolektorsdd" / "train").is_dir(),
    reason=f"needs real images: ADBENCH_REAL_DATA is {str(REAL_IMAGES)!r}, which has no class kolektorsdd",
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
    ("class_name", "epochs", "near", "theirs"),
    [
        ("kolektorsdd", 12, 0.01, {"image_auroc": 0.7772, "pixel_auroc": 0.8707}),
        ("magnetic_tile", 4, 0.02, {"image_auroc": 0.8156, "pixel_auroc": 0.7622}),
    ],
)
def test_at_equal_settings_msflow_is_the_authors_program(tmp_path, class_name, epochs, near, theirs):
    """Metrics are as near as seeds allow to the means over three seeds of the authors' program at the same settings.

    One seed is trained, since three take many minutes; on kolektorsdd each of the seeds 0, 1 and 2 is as near. AUPRO
    isn't compared: the authors' was taken over the regions of resized masks, and adbench's is over those of the masks'
    own pixels.
    """
    changes = (f"meta_epochs={epochs}", "sub_epochs=1", "warmup=0", "lr=1e-4", "decay_epochs=70,90", "batch_size=8")
    folder = ("--dataset", "folder", "--data-root", str(REAL_IMAGES), "--class", class_name, "--seed", "0")
    words = [*folder, "--preset", "cpu", "--amp", "off", *(word for change in changes for word in ("-o", change))]
    mean = mean_of(*words, results=tmp_path)
    assert {name: mean[name] for name in theirs} == pytest.approx(theirs, abs=near)
