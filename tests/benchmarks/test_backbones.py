"""The benchmark of extractors prints a row for each of them with every method's metrics."""

from __future__ import annotations

import re

import pytest
import torch
from click.testing import CliRunner

from adbench.api.backbone_table import LITE0
from adbench.backbones import registry
from benchmarks import backbones
from benchmarks.__main__ import app

CPU = torch.device("cpu")


def printed(*words: object) -> str:
    done = CliRunner().invoke(app, ["backbones", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.slow
def test_each_extractor_has_a_row(tiny_data, tmp_path, monkeypatch):
    """Published and random weights of a network differ; a second time the stored runs give the same table."""
    chosen = (backbones.Extractor(LITE0), backbones.Extractor(LITE0, is_random=True))
    monkeypatch.setattr(backbones, "EXTRACTORS", chosen)
    words = ("--method", "padim,dfm", "--dataset", "folder", "--data-root", tiny_data, "--results", tmp_path)
    text = printed(*words)
    cell = r"[\d.]+ / [\d.]+ / [\d.]+"
    rows = re.findall(rf"│ (efficientnet_lite0[^│]*?) +│ +({cell}) │ +({cell}) │", text)
    assert [row[0] for row in rows] == ["efficientnet_lite0", "efficientnet_lite0, random weights"]
    assert rows[0][1] != rows[1][1]
    count = len(list(tmp_path.glob("folder/*/*/*/result.json")))
    assert count == 2 * 2 * 2
    assert printed(*words).splitlines()[-6:] == text.splitlines()[-6:]
    assert len(list(tmp_path.glob("folder/*/*/*/result.json"))) == count


def test_layers_of_one_network_are_rows(tiny_data, monkeypatch):
    """With --layers the network stays, and each row names its layers."""
    monkeypatch.setattr(backbones, "LAYERS", (backbones.Extractor(LITE0, layers=(1, 2)),))
    text = printed("--method", "padim", "--dataset", "folder", "--data-root", tiny_data, "--class", "bolts", "--layers")
    assert "efficientnet_lite0, layers 1,2" in text


def test_random_weights_keep_activations_in_range(tmp_path):
    """All levels of a random network are finite and neither vanish nor explode, and the file is made once."""
    path = backbones.random_weights(LITE0, tmp_path)
    before = path.stat().st_mtime_ns
    assert backbones.random_weights(LITE0, tmp_path) == path
    assert path.stat().st_mtime_ns == before
    levels = registry.load(LITE0, layers=(1, 2, 3, 4), weights=path, device=CPU)(torch.rand(2, 3, 64, 64))
    assert all(0.01 < float(level.std()) < 100 for level in levels)
