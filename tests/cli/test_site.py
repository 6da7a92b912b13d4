"""The command ``site``: what it writes and prints, and which mistakes it names."""

from __future__ import annotations

import pytest
from made_results import make_result
from pages import SCORES, put
from runs import adbench


def test_the_site_of_several_folders_is_written(tmp_path, monkeypatch):
    """Standard output is the first page, standard error says what is in it; a second time nothing is written."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "results", make_result("a"), SCORES)
    put(tmp_path / "other", make_result("b", "nuts"), SCORES)
    done = adbench("site", "-o", "out", "results", "other", "--title", "Ours", "--metric", "aupro")
    assert (done.exit_code, done.stdout) == (0, "out/index.html\n"), done.stderr
    assert "1 board, 2 methods, 2 runs" in done.stderr
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Ours" in page
    assert "ranked by AUPRO" in page
    again = adbench("site", "-o", "out", "results", "other", "--title", "Ours", "--metric", "aupro")
    assert "0 files written, 0 removed" in again.stderr
    alone = adbench("site", "-o", "out")
    assert alone.exit_code == 0
    assert "1 board, 1 method, 1 run" in alone.stderr  # of ./results


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing option '-o'"),
        (
            ("-o", "full"),
            "-o full: found mine.txt, wanted an empty folder, or a site of adbench. Choose another folder.",
        ),
        (("-o", "out", "none"), "none: found no such folder"),
        (("-o", "out", "--metric", "auroc"), "unknown metric 'auroc'"),
    ],
)
def test_mistakes_are_named(tmp_path, monkeypatch, words, said):
    """One line, an exit code that is not 0, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "results", make_result("a"), SCORES)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    done = adbench("site", *words)
    assert done.exit_code != 0
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
