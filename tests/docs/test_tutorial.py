"""The tutorial for a factory: its commands, as they stand, on the images that it speaks of."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import ROOT, blocks_of, commands_of

TUTORIAL = ROOT / "docs" / "tutorial-factory.md"
IMAGES = Path(os.environ.get("ADBENCH_REAL_DATA", "")) / "magnetic_tile"
KINDS = ("blowhole", "break", "crack", "uneven")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IMAGES.is_dir(), reason="needs real images: ADBENCH_REAL_DATA has no class magnetic_tile"),
]


@pytest.fixture(scope="module")
def factory(tmp_path_factory) -> Path:
    """200 good and 12 bad images in two plain folders, 8 new ones, and the docs beside them."""
    folder = tmp_path_factory.mktemp("factory")
    for name in ("parts/good", "parts/bad", "new"):
        (folder / name).mkdir(parents=True)
    shutil.copytree(ROOT / "docs", folder / "docs")
    chosen = [(path, "parts/good", path.name) for path in sorted((IMAGES / "train/good").iterdir())[:200]]
    chosen += [(path, "new", path.name) for path in sorted((IMAGES / "test/good").iterdir())[:4]]
    for kind in KINDS:
        images = sorted((IMAGES / "test" / kind).iterdir())
        chosen += [(path, "parts/bad", f"{kind}_{path.name}") for path in images[:3]]
        chosen.append((images[9], "new", f"{kind}_{images[9].name}"))
    for path, place, name in chosen:
        shutil.copy(path, folder / place / name)
    return folder


@pytest.fixture(scope="module")
def printed(factory) -> dict[str, str]:
    """What each command of the tutorial prints to standard output, in its order."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason='the tutorial needs pip install -e ".[onnx]"')
    found = {}
    for block in blocks_of(TUTORIAL):
        for words in commands_of(block) if block.kind == "commands" else ():
            if words[0] == "pip":
                continue
            program = [sys.executable, *(["-m", "adbench"] if words[0] == "adbench" else []), *words[1:]]
            environment = {**os.environ, "COLUMNS": "160", "PYTHONIOENCODING": "utf-8"}
            done = subprocess.run(
                program, cwd=factory, capture_output=True, text=True, encoding="utf-8", env=environment, check=False
            )
            assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
            found[shlex.join(words)] = done.stdout
    return found


def command(printed: dict[str, str], start: str) -> str:
    (text,) = [text for words, text in printed.items() if words.startswith(start)]
    return text


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}|\t", line.strip())


def test_every_command_does_what_it_should(printed, factory):
    """None fails, and they leave the maps, the log and the file."""
    assert len(printed) == 7
    assert len(list((factory / "maps").glob("*.png"))) == 8
    assert len((factory / "scores.jsonl").read_text().splitlines()) == 8
    assert (factory / "part.onnx").stat().st_size > 1e6


def test_the_threshold_keeps_its_promise_on_the_test_set(printed):
    """Of good images at most the guaranteed share is called defective, for 1 % and for 5 %."""
    for start in ("adbench run -m patchcore", "adbench threshold"):
        (row,) = [cells(line) for line in command(printed, start).splitlines() if re.match(r"parts +images", line)]
        asked, expected, promised, false_alarms = map(float, row[3:7])
        assert expected <= asked < promised
        assert false_alarms <= promised


def test_bad_parts_score_higher_than_good_ones(printed):
    """The four new bad images are above the four new good ones, and the threshold is the one that was set."""
    rows = [cells(line) for line in command(printed, "adbench predict").splitlines()[1:]]
    scores = {Path(row[3]).name: float(row[1]) for row in rows}
    bad = {name: score for name, score in scores.items() if name.startswith(KINDS)}
    assert (len(scores), len(bad)) == (8, 4)
    assert min(bad.values()) > max(score for name, score in scores.items() if name not in bad)
    assert all((row[0] == "defective") == (float(row[1]) > float(row[2])) for row in rows)


def test_the_file_agrees_with_the_model(printed):
    """The sample program prints the scores of predict, to a hundredth of their spread (one computes in bf16)."""
    ours = {
        Path(row[3]).name: float(row[1]) for row in map(cells, command(printed, "adbench predict").splitlines()[1:])
    }
    theirs = {Path(row[0]).name: float(row[1]) for row in map(cells, command(printed, "python").splitlines())}
    spread = max(ours.values()) - min(ours.values())
    assert len(theirs) == 2
    assert all(abs(score - ours[name]) < 0.01 * spread for name, score in theirs.items())
