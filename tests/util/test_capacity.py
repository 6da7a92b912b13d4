"""The memory that a size needs is estimated before work begins, and the message gives the estimate."""

from __future__ import annotations

import os

import pytest
import torch
from runs import TINY, adbench, job_for, only_run, run_one, run_tiny

from adbench.util import capacity
from adbench.util.errors import UsageError


@pytest.fixture
def four_gigabytes(monkeypatch):
    """A machine with four gigabytes."""
    monkeypatch.setattr(capacity, "machine_bytes", lambda: 4_000_000_000)


def test_the_machine_tells_its_memory():
    """It is between 100 MB and a petabyte."""
    assert 1e8 < capacity.machine_bytes() < 1e15


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("0::/jobs/one", {"jobs/one/memory.max": "max", "jobs/memory.max": "5000"}, 5000),
        ("0::/", {"memory.max": "7000"}, 7000),
        ("5:memory:/docker/1", {"memory/docker/1/memory.limit_in_bytes": "9000"}, 9000),
        ("0::/", {}, None),
    ],
)
def test_control_groups_limit_it(tmp_path, groups, files, limit):
    """Containers and clusters grant less than the machine has; the strictest level counts."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert capacity.machine_bytes(tmp_path) == (limit or capacity.machine_bytes(tmp_path / "none"))


def test_what_fits_passes(four_gigabytes):
    """Sizes that fit, and the images' own sizes, raise nothing."""
    capacity.require_input((1024, 1024), 200)
    capacity.require_eval_size((4096, 4096))
    capacity.require_eval_size("native")
    capacity.require_eval_size(None)


def test_the_estimate_grows_with_the_maps_that_are_kept(four_gigabytes):
    """One image fits where the maps of a thousand don't."""
    capacity.require_input((2048, 2048), 10)
    with pytest.raises(UsageError, match=r"size 2048x2048: found about 17 GB of .* the maps of 1000 test images"):
        capacity.require_input((2048, 2048), 1000)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--eval-size", "100000"), "--eval-size 100000x100000: found about 130 GB of memory"),
        (("--size", "40000"), "size 40000x40000: found about 69 GB of memory"),
    ],
)
def test_a_run_of_a_giant_size_is_refused(four_gigabytes, tiny_data, tmp_path, words, said):
    """One line gives the estimate, the memory and a hint; exit code 2, and nothing is decoded."""
    done = run_tiny(tiny_data, tmp_path, "-c", "bolts", *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "wanted at most the 4 GB of this machine" in done.stderr
    assert "Use a smaller --" in done.stderr


def test_a_checkpoint_that_asks_for_a_giant_size_is_refused(four_gigabytes, tiny, tiny_data, tmp_path):
    """Its options and the size at which it compares maps are estimated before anything is decoded."""
    run_one(tiny, job_for(tiny, tiny_data, tmp_path, epochs=1))
    saved = torch.load(only_run(tmp_path) / "last.pt", weights_only=True)
    giant = {**saved, "options": {**saved["options"], "size": [40000, 40000]}}
    torch.save(giant, tmp_path / "giant.pt")
    torch.save({**saved, "eval_size": [60000, 60000]}, tmp_path / "compared.pt")
    words = ("test", "-m", "tiny", "--plugin", TINY, "-d", "folder", "--data-root", tiny_data)
    for name, said in (
        ("giant", "size 40000x40000: found about"),
        ("compared", "--eval-size 60000x60000: found about"),
    ):
        done = adbench(*words, "--checkpoint", tmp_path / f"{name}.pt")
        assert done.exit_code == 2
        assert said in done.stderr


def test_images_above_the_limit_of_pixels_need_the_option(tiny_data, tmp_path):
    """--max-megapixels raises the limit for one command, and leaves the environment as it was."""
    small = run_tiny(tiny_data, tmp_path, "-c", "bolts", "-o", "epochs=1", "--max-megapixels", "0.006")
    assert small.exit_code == 2
    assert "80x80 = 0.0064 megapixels, but at most 0.006 are read" in small.stderr
    assert "use --max-megapixels 1" in small.stderr
    skipped = run_tiny(tiny_data, tmp_path, "-c", "bolts", "--max-megapixels", "0.006", "--skip-bad")
    assert "no image that can be used" in skipped.stderr
    assert "ADBENCH_MAX_MEGAPIXELS" not in os.environ
    done = run_tiny(tiny_data, tmp_path, "-c", "bolts", "-o", "epochs=1", "--max-megapixels", "1", "--skip-bad")
    assert done.exit_code == 0, done.stderr
    assert "skipped" not in done.stdout
    wrong = run_tiny(tiny_data, tmp_path, "--max-megapixels", "-3")
    assert (wrong.exit_code, "wanted a positive number" in wrong.stderr) == (2, True)
