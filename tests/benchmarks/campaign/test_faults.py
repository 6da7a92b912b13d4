"""Faults at file operations, and a tenth of the campaign."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest
from runs import posix_only

from benchmarks.campaign.command import PARTS, Campaign
from benchmarks.campaign.compare import content_of, differences, misfits

PROGRAM = """
import os, sys
from pathlib import Path
from benchmarks.campaign.faults import Fault, Injector
place = Path(sys.argv[1])
injector = Injector(Fault({fault}), [place])
injector.install()
try:
    with (place / "a").open("wb") as stream:      # 0: open
        stream.write(b"whole")                    # 1: the write, when the file is closed
    os.replace(place / "a", place / "b")          # 2
    os.unlink(place / "b")                        # 3
    (place.parent / "elsewhere").write_text("")   # only its write counts: 4
finally:
    print(injector.count, injector.writes_at)
"""


def run(tmp_path, fault: str) -> subprocess.CompletedProcess[str]:
    place = tmp_path / "place"
    place.mkdir()
    words = [sys.executable, "-c", PROGRAM.format(fault=fault), str(place)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_operations_in_the_folders_are_counted(tmp_path):
    """Opening, writing, renaming and removing count; those that need space are known."""
    done = run(tmp_path, "")
    assert (done.returncode, done.stdout.strip()) == (0, "4 [0, 1, 2]"), done.stderr


@posix_only
@pytest.mark.parametrize(("kind", "left"), [("kill", b""), ("tear", b"wh")])
def test_a_kill_ends_the_process_at_its_operation(tmp_path, kind, left):
    """A write doesn't take place, or half of it."""
    done = run(tmp_path, f"'{kind}', 1")
    assert done.returncode == -9
    assert (tmp_path / "place" / "a").read_bytes() == left


def test_a_full_disk_stays_full_and_other_errors_pass(tmp_path):
    """What needs space fails from the operation on, with its code; another operation of that number is let through."""
    done = run(tmp_path, f"'error', 2, {errno.EIO}")
    assert f"[Errno {errno.EIO}]" in done.stderr
    assert (tmp_path / "place" / "a").read_bytes() == b"whole"


def test_files_that_differ_are_named(tmp_path):
    """Missing, surplus and changed files are told apart, and a file that doesn't fit its result is named."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scores.csv").write_text(name)
    (tmp_path / "one" / "a.csv").write_text("")
    one, two = content_of(tmp_path / "one"), content_of(tmp_path / "two")
    assert differences(one, two) == ["a.csv is too many", "scores.csv differs"]
    assert differences(two, one) == ["a.csv is missing", "scores.csv differs"]
    (tmp_path / "one" / "result.json").write_text('{"files": {"scores.csv": "0"}}')
    assert misfits(tmp_path / "one") == ["scores.csv doesn't fit its result"]


@pytest.mark.slow
@posix_only
def test_a_tenth_of_the_campaign_has_no_fault(tmp_path):
    """Kills, also of workers, full disks, two machines at once and bad inputs end right, or in one clear message."""
    rows = list(Campaign(0, 0.1, tmp_path, print).rows(PARTS))
    assert [fault for row in rows for fault in row.faults] == []
    assert sum(row.tried for row in rows) > 100
