"""The command ``figure``: what it writes, and which mistakes it names."""

from __future__ import annotations

import pytest
from pages import put
from runs import TINY, adbench
from stored_place import made

from adbench.util.numerics import NUMERICS

pytest.importorskip("matplotlib")


def test_the_front_of_the_stored_runs_is_written(ran, tmp_path):
    """Standard output is the file, and the same results give the same bytes."""
    written = []
    for name in ("a.PDF", "b.pdf"):
        done = adbench("figure", "pareto", "--results", ran, "--plugin", TINY, "-o", tmp_path / name)
        assert (done.exit_code, done.stdout) == (0, f"{tmp_path / name}\n"), done.stderr
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert written[0].startswith(b"%PDF")


def test_mean_ranks_of_the_stored_runs_are_drawn(ran, tmp_path):
    """Over classes there are two; over data sets there is one, which is a mistake."""
    words = ("figure", "ranks", "--results", ran, "--plugin", TINY)
    done = adbench(*words, "--over", "classes", "-o", tmp_path / "r.svg")
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'r.svg'}\n"), done.stderr
    assert (tmp_path / "r.svg").read_bytes().startswith(b"<?xml")
    few = adbench(*words, "-o", tmp_path / "no.svg")
    assert few.exit_code == 2
    assert "ranks: found 2 variants on 1 data sets, wanted two variants on the same two data sets" in few.stderr


def test_curves_need_runs_with_several_epochs(ran, tmp_path):
    """Runs are chosen by name, class or data set; if none has a curve, or none is chosen, that is a mistake."""
    done = adbench("figure", "curves", "-c", "bolts", "--results", ran, "-o", tmp_path / "c.svg")
    assert done.exit_code == 2
    assert "found no run with several epochs" in done.stderr
    none = adbench("figure", "curves", "--results", ran)
    assert none.exit_code == 2
    assert "found no run, wanted RUN, -d DATASET, -c CLASS or --all" in none.stderr


def test_maps_of_runs_are_written(ran, tiny_data, tmp_path):
    """The chosen images are named on standard error, from top to bottom."""
    words = ("figure", "maps", "-c", "bolts", "--results", ran, "--plugin", TINY, "--data-root", tiny_data)
    done = adbench(*words, "--image", "spot/001", "-o", tmp_path / "m.pdf")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'm.pdf'}\n"
    assert "1 image, from top to bottom: bolts/test/spot/001.png." in done.stderr
    assert (tmp_path / "m.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pareto", "-o", "x.png"), "-o x.png: found '.png', wanted .svg or .pdf."),
        (("pareto", "--metric", "auroc"), "unknown metric 'auroc'"),
        (("pareto", "--width", "nan"), "--width: found nan"),
        (("maps",), "adbench figure maps: found no run, wanted RUN, -d DATASET or -c CLASS."),
        (("maps", "-d", "folder"), "found runs on folder/bolts, folder/nuts, wanted runs on one class"),
        (("curves", "nobody"), "unknown run 'nobody'"),
    ],
)
def test_mistakes_are_named(ran, words, said):
    """One line with what was found and what was wanted, and exit code 2."""
    done = adbench("figure", *words, "--results", ran)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_results_of_several_data_sets_need_a_choice(tmp_path):
    """One figure shows one data set."""
    for name in ("one", "two"):
        put(tmp_path, made(dataset=name, numerics=NUMERICS))
    several = adbench("figure", "pareto", "--results", tmp_path)
    assert several.exit_code == 2
    assert "found results of one, two, wanted those of one data set. Choose it with -d DATASET." in several.stderr
    one = adbench("figure", "pareto", "--results", tmp_path, "-d", "one")
    assert (one.exit_code, one.stdout) == (0, f"{tmp_path / 'figures' / 'pareto.svg'}\n"), one.stderr
    assert (tmp_path / "figures" / "pareto.svg").read_bytes().startswith(b"<?xml")
