"""What a run says beforehand about the disk: close to what it leaves, in sum and for each task."""

from __future__ import annotations

import re
import shutil

import pytest
from runs import adbench, job_for, resolve, run_tiny

from adbench.run import disk_use
from adbench.run.disk_use import DiskUse
from adbench.util.sizes import parse_bytes


def test_disk_use_counts_tasks_and_kept_checkpoints(tiny, tiny_data, tmp_path, monkeypatch):
    """Each variant is reported once; oracle checkpoints count; a disk that is too small is reported, too."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, 25 * 10**9))
    plain = [resolve(tiny, job_for(tiny, tiny_data, tmp_path / "results", seed=seed)) for seed in range(3)]
    changed = job_for(tiny, tiny_data, tmp_path / "results", keep="oracle", overrides=(("lr", 0.1),))
    oracle = resolve(tiny, changed)
    said: list[str] = []
    use = DiskUse([(each.job, each.whole) for each in (*plain, oracle)], said.append)
    for each in (*plain, oracle):
        use.announce(each.job, f"the name of {each.job.overrides}", 2 * 10**9)
    assert len(said) == 2
    assert said[0].startswith("the name of (): leaves about 2.0 GB for each of 3 tasks, 6.0 GB in all in ")
    assert said[1] == f"the name of (('lr', 0.1),): leaves up to 8.0 GB in {tmp_path / 'results'}."
    said.clear()
    DiskUse([(each.job, each.whole) for each in plain], said.append).announce(plain[0].job, "tiny", 10**10)
    assert said[0].endswith(" Only 25 GB are free there.")


@pytest.mark.parametrize(
    "words", [(), ("--save-maps", "raw"), ("--save-maps", "png"), ("--setting", "multi-class"), ("--keep", "oracle")]
)
def test_what_is_announced_is_what_is_left(tiny_data, tmp_path, words):
    """Within a factor of two for the smallest runs, all files counted; the sum is that of the tasks."""
    done = run_tiny(tiny_data, tmp_path, "-o", "epochs=1", "--seeds", "0,1", *words)
    assert done.exit_code == 0, done.stderr
    line = next(line for line in done.stderr.splitlines() if ": leaves " in line)
    found = re.search(r"leaves (?:about|up to) ([\d.]+ .B) for each of (\d+) tasks, ([\d.]+ .B) in all", line)
    assert found is not None
    each, count, whole = parse_bytes(found[1], ""), int(found[2]), parse_bytes(found[3], "")
    assert count == (2 if "multi-class" in words else 4)
    assert whole == pytest.approx(count * each, rel=0.06)
    files = {(path.stat().st_ino, path.stat().st_size) for path in tmp_path.rglob("*") if path.is_file()}
    assert 0.5 < whole / sum(size for _, size in files) < 2


def test_a_class_without_masks_leaves_less(tiny, tiny_data, tmp_path):
    """Score histograms of pixels come with masks only."""
    data = shutil.copytree(tiny_data, tmp_path / "data")
    shutil.rmtree(data / "bolts/ground_truth")
    with_masks, without = (resolve(tiny, job_for(tiny, root, tmp_path)) for root in (tiny_data, data))
    images = len(without.classes[0].task.test)

    def bytes_of(resolved):
        return disk_use.bytes_beside(resolved.job, resolved.whole, None)

    difference = bytes_of(with_masks) - bytes_of(without)
    assert difference == images * disk_use.HISTOGRAM_BYTES


def test_a_method_without_weights_leaves_something(tiny_data, tmp_path):
    """The checkpoint alone would be next to nothing."""
    done = adbench("run", "-m", "random", "-p", "cpu", "-d", "folder", "--data-root", tiny_data, "--size", "64",
                   "--results", tmp_path)  # fmt: skip
    assert re.search(r"random:cpu,size=64x64: leaves about [12]\d KB for each of 2 tasks, [2-5]\d KB in", done.stderr)
