"""The distillation of a teacher: what it learns, how it resumes, and its command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from adbench_plugins.efficientad import PRESETS
from adbench_plugins.efficientad.__main__ import main, recipe_of
from adbench_plugins.efficientad.distil import Distillation, Recipe
from adbench_plugins.efficientad.networks import PDN
from adbench_plugins.patches import flat_pooled
from click.testing import CliRunner
from PIL import Image

from adbench.util.errors import TaskError, UsageError

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")

TINY = Recipe(
    channels=6, divisor=32, backbone="efficientnet_lite0", layers=(1, 2), iterations=4, batch_size=2, lr=3e-3
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Three coarse pictures."""
    draw, folder = np.random.default_rng(1), tmp_path_factory.mktemp("pictures")
    for number in range(3):
        pixels = draw.integers(0, 255, (12, 9, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def quiet(work: str, done: int, total: int, loss: float | None) -> None:
    """Show nothing."""


def test_targets_are_pooled_and_standardised_features(pictures):
    """Two layers as PatchCore pools them, at 64 x 64 positions; over all pictures mean 0 and deviation 1."""
    distillation = Distillation(TINY, pictures, CPU)
    assert distillation.side == 256  # the first layer has stride 4
    found = torch.cat(list(distillation._all_targets(quiet)))
    assert found.shape == (3, 6, 64, 64)
    large = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    expected = flat_pooled(distillation.backbone(large), 1024, 6).permute(0, 3, 1, 2)
    assert torch.equal(expected, distillation.targets(large))


def test_the_large_network_sees_the_same_pictures_in_the_papers_size(pictures):
    """512 x 512 where the first layer has stride 8; both sizes are the same picture, some of them grey."""
    distillation = Distillation(replace(TINY, layers=(2, 3), batch_size=20), pictures, CPU)
    large, small = distillation._batch(0)
    assert (large.shape, small.shape) == ((20, 3, 512, 512), (20, 3, 256, 256))
    halved = torch.nn.functional.avg_pool2d(large.float(), 2)
    assert (halved - small).abs().mean() < 4
    grey = (small == small[:, :1]).flatten(1).all(1)
    assert 0 < int(grey.sum()) < 10
    again, _ = distillation._batch(0)
    other, _ = distillation._batch(1)
    assert torch.equal(large, again)
    assert not torch.equal(large, other)


def test_the_network_learns_the_targets(pictures, tmp_path):
    """The loss begins near 1, the variance of what is standardised, and falls."""
    losses = []
    recipe = replace(TINY, iterations=15, divisor=16, lr=1e-2)
    Distillation(recipe, pictures, CPU).run(tmp_path / "t.pt", lambda work, done, total, loss: losses.append(loss))
    losses = [loss for loss in losses if loss is not None]
    assert len(losses) == 15
    assert 0.7 < losses[0] < 1.4
    assert np.mean(losses[-3:]) < 0.9 * losses[0]


def test_the_file_is_a_teacher(pictures, tmp_path):
    """A plain state dict, with numbers as names; nothing else is left behind."""
    Distillation(TINY, pictures, CPU).run(tmp_path / "teacher.pt", quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["teacher.pt"]
    state = torch.load(tmp_path / "teacher.pt", weights_only=True)
    PDN("small", 6, 32).load_state_dict(state)
    assert sorted({key.partition(".")[0] for key in state}) == ["0", "3", "6", "8"]


def test_a_stopped_distillation_resumes_to_the_same_teacher(pictures, tmp_path, monkeypatch):
    """Its state is saved now and then; afterwards only the teacher is there."""
    monkeypatch.setattr("adbench_plugins.efficientad.distil.SAVED_EVERY", 0.0)
    Distillation(TINY, pictures, CPU).run(tmp_path / "unbroken.pt", quiet)

    def stop(work: str, done: int, total: int, loss: float | None) -> None:
        if work == "distilling" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Distillation(TINY, pictures, CPU).run(tmp_path / "broken.pt", stop)
    assert (tmp_path / "broken.pt.unfinished").exists()
    seen = []
    Distillation(TINY, pictures, CPU).run(
        tmp_path / "broken.pt", lambda work, done, total, loss: seen.append((work, done, total))
    )
    assert seen == [("distilling", 3, 4), ("distilling", 4, 4)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.pt", "unbroken.pt"]
    one, other = (torch.load(tmp_path / name, weights_only=True) for name in ("unbroken.pt", "broken.pt"))
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_other_states_and_files_are_refused(pictures, tmp_path):
    """A finished teacher, the state of another recipe, and a damaged one are never overwritten."""
    place, unfinished = tmp_path / "t.pt", tmp_path / "t.pt.unfinished"
    place.touch()
    with pytest.raises(UsageError, match=r"t\.pt: found a file, wanted a new name"):
        Distillation(TINY, pictures, CPU).run(place, quiet)
    place.unlink()
    other = Distillation(replace(TINY, seed=1), pictures, CPU)
    other._save(unfinished, other._state())
    with pytest.raises(UsageError, match="found another distillation"):
        Distillation(TINY, pictures, CPU).run(place, quiet)
    unfinished.write_bytes(b"cut short")
    with pytest.raises(UsageError, match=r"unfinished: found .*wanted a saved state"):
        Distillation(TINY, pictures, CPU).run(place, quiet)
    assert unfinished.read_bytes() == b"cut short"


def test_a_folder_that_cannot_be_written_shows_before_the_work(pictures, tmp_path):
    """The state is saved before the first step."""
    work = []
    with pytest.raises(UsageError, match=r"file .*gone.*wanted a file that can be written"):
        Distillation(TINY, pictures, CPU).run(tmp_path / "gone" / "t.pt", lambda name, *_: work.append(name))
    assert "distilling" not in work


def test_a_loss_that_is_not_finite_ends_it(pictures, tmp_path):
    """The message names the learning rate, and no teacher is written."""
    with pytest.raises(TaskError, match=r"distillation, iteration .*--lr"):
        Distillation(replace(TINY, lr=1e30, iterations=9), pictures, CPU).run(tmp_path / "t.pt", quiet)
    assert not (tmp_path / "t.pt").exists()


# ---------------------------------------------------------------- the command


def test_recipes_make_teachers_for_the_methods_presets():
    """The paper preset is the appendix's; cpu has the widths of the method's preset cpu and needs no download."""
    assert recipe_of("paper") == Recipe()
    paper = Recipe()
    assert (paper.backbone, paper.layers, paper.iterations, paper.batch_size) == (
        "wide_resnet101_2",
        (2, 3),
        60_000,
        16,
    )
    assert (paper.lr, paper.weight_decay, paper.statistics) == (1e-4, 1e-5, 10_000)
    cpu, method = recipe_of("cpu"), PRESETS["cpu"].options
    assert (cpu.network, cpu.channels, cpu.divisor) == (method.network, method.channels, method.divisor)
    assert cpu.backbone == "efficientnet_lite0"


def words(pictures: Path, output: Path) -> list[str]:
    return ["distil", "--images", str(pictures), "-o", str(output), "-p", "cpu", "--device", "cpu"]


def test_the_command_writes_a_teacher(pictures, tmp_path):
    """It prints the path; options that are given replace the preset's."""
    output = tmp_path / "teacher.pt"
    small = ["--iterations", "2", "--batch-size", "1", "--divisor", "32", "--channels", "5", "--amp", "off"]
    done = CliRunner().invoke(main, [*words(pictures, output), *small], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{output}\n"
    assert "distilling 2/2, 0 min left, loss" in done.stderr
    PDN("small", 5, 32).load_state_dict(torch.load(output, weights_only=True))


def test_mistakes_end_the_command_in_one_line(pictures, tmp_path):
    """A folder without pictures, an unknown backbone and a file that exists: exit code 2, no traceback."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "there.pt").touch()
    for changed, message in (
        (words(tmp_path / "empty", tmp_path / "t.pt"), "found no picture"),
        ([*words(pictures, tmp_path / "t.pt"), "--backbone", "resnet19"], "unknown backbone 'resnet19'"),
        (words(pictures, tmp_path / "there.pt"), "wanted a new name"),
    ):
        done = CliRunner().invoke(main, changed)
        assert (done.exit_code, message in done.stderr) == (2, True), done.output
        assert "Traceback" not in done.output
