from __future__ import annotations

from dataclasses import replace

import pytest
from made_results import make_result
from runs import adbench, run_tiny

from adbench import report
from adbench.api.scores import METRIC_NAMES, Metrics
from adbench.report.render import render
from adbench.report.undefined import OLDER, reason

LACKS = {"aupimo": "AUPIMO needs n_good x pixels >= 1e5, not 4 x 4096", "aupro": "no masks"}


def test_one_row_for_each_metric_and_reason():
    """The reason that a run stored is given with the runs that lack the metric, or as that of all runs."""
    one = replace(make_result(class_name="a", pixel=None, aupro=None), undefined=LACKS)
    other = replace(make_result(class_name="b", aupro=0.5), undefined={"aupimo": LACKS["aupimo"]})
    (table,) = report.with_reasons([], [one, other])
    found = {row.metric: row for row in table.rows}
    assert (found["aupimo"].reason, found["aupimo"].every) == (LACKS["aupimo"], True)
    assert (found["aupro"].reason, found["aupro"].classes) == ("no masks", ("a",))
    assert "image_auroc" not in found
    shown = render([table], "csv")
    assert LACKS["aupimo"] in shown


def test_a_note_that_advises_to_ask_why_goes_where_that_was_asked():
    """The leaderboard's advice is not repeated above its answer; its other notes stay."""
    run = replace(make_result(), undefined=LACKS)
    (board,) = report.leaderboard([run], metrics=["image_auroc", "aupimo"])
    assert "AUPIMO -: --why says the reasons." in board.notes
    same, answer = report.with_reasons([board], [run])
    assert list(same.notes) == [note for note in board.notes if "--why" not in note]
    assert "why a metric is -" in answer.title


def test_older_runs_are_said_to_be_older():
    """A run that stored no reasons lacks what its adbench did not measure; what else it lacks its metrics tell."""
    old = make_result()
    assert old.undefined == {}
    assert reason(old, "aupimo") == OLDER
    assert "no masks" in reason(replace(old, metrics=Metrics(image_auroc=0.5)), "aupro")
    assert "same label" in reason(replace(old, metrics=Metrics(pixel_auroc=0.5)), "image_ap")


@pytest.mark.slow
def test_the_commands_say_why(tiny_data, tmp_path):
    """Leaderboard, compare and show print the reasons on request, and --metrics the columns that they ask for."""
    assert run_tiny(tiny_data, tmp_path, "-c", "bolts").exit_code == 0
    for words in (("leaderboard",), ("compare", "tiny"), ("show", "folder/bolts/tiny")):
        plain, said = (adbench(*words, "--results", tmp_path, *more) for more in ((), ("--why",)))
        assert (plain.exit_code, said.exit_code) == (0, 0)
        assert "AUPIMO needs n_good" not in plain.stdout
        assert "AUPIMO needs n_good" in " ".join(said.stdout.replace("│", " ").split())
    done = adbench("leaderboard", "--results", tmp_path, "--metrics", "pg2,image_fpr95", "--metric", "image_fpr95")
    assert "PG2" in done.stdout
    assert "AUPRO" not in done.stdout.partition("Protocol")[0]
    every = adbench("leaderboard", "--results", tmp_path, "--metrics", "all", "--format", "csv").stdout
    assert set(METRIC_NAMES) <= set(every.splitlines()[0].split(","))
    wrong = adbench("leaderboard", "--results", tmp_path, "--metrics", "pg3")
    assert wrong.exit_code == 2
