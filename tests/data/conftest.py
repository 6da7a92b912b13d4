"""A small store and a cache for the tests of images."""

from __future__ import annotations

import numpy as np
import pytest
from image_doubles import COUNT, HEIGHT, WIDTH

from adbench.api.data import Sample
from adbench.backbones.feature_cache import FeatureCache
from adbench.data.image_store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    pixels = np.random.default_rng(5).integers(0, 256, (COUNT, HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = tmp_path / "pictures.bin"
    path.write_bytes(pixels.tobytes())
    mapped = np.memmap(path, np.uint8, mode="r", shape=pixels.shape)
    samples = tuple(Sample(tmp_path / f"{number}.png") for number in range(COUNT))
    return Store("key", samples, mapped, None, ((HEIGHT, WIDTH),) * COUNT, "content")


@pytest.fixture
def cache(tmp_path) -> FeatureCache:
    return FeatureCache(folder=tmp_path / "features")
