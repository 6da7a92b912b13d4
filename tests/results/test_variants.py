"""A variant has the same name wherever it is shown, whatever else is shown with it."""

from __future__ import annotations

import json
from dataclasses import replace

from made_results import make_result, records_of
from runs import TINY, adbench, run_tiny

from adbench import report
from adbench.results.protocol_text import protocol_text
from adbench.results.records import Identity, Reading
from adbench.results.variants import Names, boards


def test_a_name_does_not_depend_on_what_is_shown():
    """Two runs of another precision get different names, and each keeps its name if it is shown alone."""
    runs = [make_result(amp=amp, class_name=name) for amp, name in (("off", "x"), ("bf16", "y"))]
    names = Names(runs)
    assert [names.of(run) for run in runs] == ["msflow:amp=off", "msflow:amp=bf16"]
    for run, label in zip(runs, ("msflow:amp=off", "msflow:amp=bf16"), strict=True):
        tables = [
            *report.leaderboard([run], names=names),
            *report.leaderboard([run], names=names, by_class=True),
            *report.compare([run], [label], called=names),
            report.list_runs([run], names=names),
        ]
        board, by_class, compared, *_, runs_listed = map(records_of, tables)
        assert [row["variant"] for row in (*board, *by_class, *runs_listed)] == [label] * 3
        assert label in compared[0]


def test_data_sets_do_not_name_each_other():
    """A difference on one data set doesn't change names on another."""
    runs = [make_result(amp="off"), make_result(amp="bf16"), make_result(amp="off", dataset="other")]
    assert [Names(runs).of(run) for run in runs] == ["msflow:amp=off", "msflow:amp=bf16", "msflow"]


def test_stale_code_is_in_no_name():
    """Only code of runs that count distinguishes variants: otherwise a stale run would add a digest to every name."""
    runs = [
        replace(make_result(seed=seed), identity=Identity("d", code * 8, 1)) for seed, code in enumerate(("a1", "b2"))
    ]
    assert [Names(runs, runs[:1]).of(run) for run in runs] == ["msflow", "msflow"]
    assert len({Names(runs).of(run) for run in runs}) == 2


def test_the_commands_agree(tiny_data, tmp_path):
    """The table at the end of a run, the leaderboard, its table by class, and the list of runs use the same name."""
    words = ("--results", tmp_path, "--plugin", TINY, "--data-root", tiny_data, "--format", "json")
    assert run_tiny(tiny_data, tmp_path, "-c", "bolts", "-p", "cpu", "--eval-size", "native").exit_code == 0
    done = run_tiny(tiny_data, tmp_path, "-c", "nuts", "-p", "cpu", "--format", "json")
    assert done.exit_code == 0, done.stderr
    found = {"run": {row["variant"] for row in json.loads(done.stdout)[0]["rows"]}}
    for name, command in (
        ("board", ("leaderboard",)),
        ("class", ("leaderboard", "-c", "nuts")),
        ("list", ("list", "runs")),
        ("list of a class", ("list", "runs", "-c", "nuts")),
    ):
        rows = json.loads(adbench(*command, *words).stdout)[0]["rows"]
        found[name] = {row["variant"] for row in rows}
    assert found["run"] == found["class"] == found["list of a class"] == {"tiny:cpu"}
    assert found["board"] == found["list"] == {"tiny:cpu", "tiny:cpu,eval-size=native"}


def test_files_that_were_left_out_are_named():
    """With --skip-bad the note under a table names the broken files, the first six of many."""
    few = replace(make_result(), skipped=("bolts/test/a.png: no image",))
    many = replace(make_result("cflow"), skipped=tuple(f"{number}.png: no image" for number in range(8)))
    (board,) = boards([few, many])
    assert board.remarks[0] == "msflow: left out of bolts: bolts/test/a.png: no image."
    assert board.remarks[1].endswith("4.png: no image, 5.png: no image, and 2 more (see result.json).")


def test_results_of_images_read_otherwise_are_on_a_board_of_their_own():
    """Another share of good images for testing is another test set: its board, variant and protocol say so."""

    def read_with(share: float, changed: tuple[str, ...]):
        made = make_result()
        return replace(made, protocol=replace(made.protocol, reading=Reading({"test_share": share}, changed)))

    usual, other = boards([read_with(0.3, ()), read_with(0.5, ("test_share",))])
    assert (usual.name, other.name) == ("folder", "folder, test_share=0.5")
    assert [board.variants[0].label for board in (usual, other)] == ["msflow", "msflow:test_share=0.5"]
    assert [board.holds(read_with(0.5, ("test_share",))) for board in (usual, other)] == [False, True]
    assert "read with test_share=0.3" in protocol_text(usual.variants[0].all_runs[0].protocol)
