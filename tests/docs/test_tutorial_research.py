"""The tutorial for researchers: its commands, as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import ROOT, blocks_of, commands_of

TUTORIAL = ROOT / "docs" / "tutorial-research.md"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """An empty folder to work in."""
    return tmp_path_factory.mktemp("research")


@pytest.fixture(scope="module")
def printed(desk) -> dict[str, str]:
    """What each command of the tutorial prints to standard output, in its order."""
    pytest.importorskip("matplotlib", reason='the tutorial needs pip install -e ".[figures]"')
    found = {}
    environment = {**os.environ, "COLUMNS": "160", "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"}
    for block in blocks_of(TUTORIAL):
        for words in commands_of(block) if block.kind == "commands" else ():
            if words[0] == "pip":
                continue
            done = subprocess.run(
                [sys.executable, "-m", *words], cwd=desk, capture_output=True, text=True, encoding="utf-8",
                env=environment, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
            found[shlex.join(words)] = done.stdout
    return found


def command(printed: dict[str, str], start: str) -> str:
    (text,) = [text for words, text in printed.items() if words.startswith(start)]
    return text


def rows(text: str, first: str) -> list[list[str]]:
    """The cells of the lines whose first cell is ``first``, or matches it."""
    cells = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    return [row for row in cells if re.fullmatch(first, row[0])]


def shown(first: str) -> list[list[str]]:
    """The same of the blocks in the tutorial."""
    return rows("\n".join(block.text for block in blocks_of(TUTORIAL) if block.kind == "output"), first)


def test_the_ranking_is_that_of_the_page(printed):
    """The methods have the page's order, and its image AUROC within 3 points (other CPUs round otherwise)."""
    text = command(printed, "adbench run -m padim,anomalydino,dfm")
    ranked = [row for row in rows(text, "[123]") if len(row) > 5]
    expected = [row for row in shown("[123]") if row[2] == "1"]
    assert [row[1] for row in ranked] == [row[1] for row in expected]
    assert [float(row[4]) for row in ranked] == pytest.approx([float(row[4]) for row in expected], abs=3)


def test_the_control_is_at_chance(printed):
    """``random`` has an interval that holds 50, and can't be the best; the three others can."""
    ranked = rows(command(printed, "adbench leaderboard -d demo --ci"), "[1-4]")
    best = {row[1]: row[4] for row in ranked}
    assert best == {
        "anomalydino:cpu": "yes", "padim:cpu": "yes", "dfm:cpu,interpolation=lanczos": "yes", "random:cpu": "no",
    }  # fmt: skip
    low, high = map(float, ranked[3][6].split("-"))
    assert low < 50 < high


def test_significance_is_that_of_the_page(printed):
    """No pair differs significantly in image AUROC; AnomalyDINO's maps are better than PaDiM's in both metrics."""
    text = command(printed, "adbench compare padim anomalydino dfm")
    image, pixel, aupro = (part for part in text.split("differences in ")[1:])
    assert [row[-1] for row in rows(image, "brick")][:3] == ["no", "no", "no"]
    for part in (pixel, aupro):
        (row,) = [row for row in rows(part, "brick") if row[1:3] == ["padim:cpu", "anomalydino:cpu"]]
        assert row[-1] == "yes"


def test_what_is_not_published_is_said(printed):
    """A note says of which methods and metrics no published numbers are shipped."""
    text = command(printed, "adbench compare")
    for metric in ("image AUROC", "pixel AUROC", "AUPRO"):
        for method in ("padim", "anomalydino", "dfm"):
            assert f"Published numbers for {metric} of {method} on these classes of demo are not shipped" in text


def test_the_table_and_the_figure_are_for_a_paper(printed, desk):
    """The table is LaTeX with the best value bold, and the figure a PDF."""
    table = command(printed, "adbench leaderboard -d demo --format latex")
    assert re.search(r"^1 & anomalydino:cpu & 1 & 2 & \\textbf", table, re.MULTILINE)
    assert r"\toprule" in table
    assert (desk / "pareto.pdf").read_bytes().startswith(b"%PDF")


def test_a_run_has_all_to_repeat_it(printed):
    """The command that made the run is a part of what is shown of it."""
    text = command(printed, "adbench show")
    assert "--seeds 0,1" in text
    assert "interpolation" in text
