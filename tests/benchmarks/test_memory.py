"""The benchmark of memory counts live tensors, and fits their bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from adbench import Detector, Epoch, Method, Scores
from adbench.api.method import Preset
from adbench.api.options import Options
from adbench.api.registry import Registry
from adbench.util.errors import SizeError
from benchmarks import memory

pytestmark = pytest.mark.usefixtures("one_thread")

KEPT = 1000
"""Numbers that the method keeps."""


def test_tensors_count_while_they_live():
    """A view counts nothing, a dropped tensor no more, and a gradient as much as its parameter."""
    with memory.Live() as live:
        weight = torch.ones(250, requires_grad=True)
        assert live.now == 1000
        view = weight.view(5, 50)
        assert live.now == 1000
        (weight * 2).sum().backward()
        assert live.now == 2000
        del weight, view
        assert live.now == 0
    assert live.peak >= 2000


@dataclass(frozen=True)
class KeeperOptions(Options):
    size: tuple[int, int] = (320, 320)
    batch_size: int = 16


class Keeper(Detector):
    """Keeps numbers, and one float for each pixel of the training set."""

    def __init__(self, options, context):
        super().__init__(options, context)
        self.kept = torch.zeros(KEPT)

    def fit(self, images):
        self.bank = torch.cat([batch.images[:, 0] for batch in images])
        yield Epoch(1, 1)

    def score(self, batch):
        return Scores(image=batch.images.amax(dim=(1, 2, 3)), map=batch.images[:, 0])


def test_sides_grow_until_a_method_takes_them():
    """Some have scales or windows that need more than the smallest sides; what none fits is the method's own error."""
    assert [trial.side for trial in memory.trials(32)] == [64, 64, 96, 64]
    assert [trial.side for trial in memory.trials(128)] == [128, 128, 256, 128]

    def count(trial: memory.Trial) -> memory.Counted:
        if trial.side % 128:
            raise SizeError("scales", (trial.side, trial.side), 128)
        return memory.Counted(trial.side, splits=True)

    tried, found = memory._tried(count, (32, 64, 128))
    assert [each.bytes for each in found] == [trial.side for trial in tried] == [128, 128, 256, 128]
    with pytest.raises(SizeError):
        memory._tried(count, (32, 64))


@pytest.mark.slow
def test_the_bytes_of_a_known_method_are_found():
    """Bytes for each pixel of the set and of a batch, and what is kept, are extrapolated to the preset."""
    method = Method("keeper", "keeps", Keeper, KeeperOptions, {"paper": Preset(KeeperOptions())})
    fitted = memory.fit(method, Registry({}, {}), "paper", {})
    bank = memory.IMAGES * 320 * 320 * 4
    whole, least = memory.estimate(KeeperOptions(), fitted)
    assert 3 * bank < whole < 5 * bank  # views hold all three channels while they are put together
    assert least == whole  # its batches can't be split
    part = replace(fitted, splits=True)
    assert memory.estimate(KeeperOptions(), part)[1] <= whole


def test_presets_of_one_network_are_fitted_once():
    """Size, batch and schedule change the bytes and not the factors; another option may."""
    one, other = KeeperOptions(), KeeperOptions(size=(64, 64), batch_size=1, resize="crop")
    assert memory.network_of(one) == memory.network_of(other)
    assert memory.network_of(one) != memory.network_of(KeeperOptions(amp="off"))


@pytest.mark.slow
def test_a_method_that_fails_is_named_and_the_others_have_rows():
    """The table is CSV with the columns that the doctor reads."""

    def fail(options, context):
        raise ValueError("no weights")

    said: list[str] = []
    good = Method("keeper", "keeps", Keeper, KeeperOptions, {"paper": Preset(KeeperOptions())})
    lines = list(memory.rows([replace(good, name="bad", build=fail), good], Registry({}, {}), {}, said.append))
    assert lines[0] == "method,preset,size,batch,backbone,bytes,least,how"
    assert lines[1].startswith("keeper,paper,320x320,16,,")
    assert len(lines) == 2
    assert "bad:paper: ValueError: no weights" in said
