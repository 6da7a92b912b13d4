"""The commands as a user types them: what a run stores, prints and reuses."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import threading

import pytest
from click.testing import CliRunner
from runs import ONE, TINY, adbench, files_in, line_of, metrics_of, only_run, run_tiny

from adbench.cli import main
from adbench.results import store

# ---------------------------------------------------------------- running


def test_a_run_over_all_classes_stores_everything_and_ends_with_a_leaderboard(tiny_data, tmp_path):
    """One command stores a result for each class, and prints a row for each class and the mean."""
    done = run_tiny(tiny_data, tmp_path, "-c", "all")
    assert done.exit_code == 0
    for name in ("bolts", "nuts"):
        assert {"result.json", "scores.csv", "epochs.csv", "last.pt"} <= files_in(only_run(tmp_path, name))
        assert "state.pt" not in files_in(only_run(tmp_path, name))
        assert name in done.stdout
    for title in ("image AUROC", "pixel AUROC", "AUPRO", "seconds", "images/s", "mean (2)"):
        assert title in done.stdout
    assert "✓ tiny · folder/bolts · seed 0" in done.stderr


def test_the_same_command_again_computes_nothing_and_says_so(tiny_data, tmp_path):
    """The second time the result is read, and the table is the same."""
    first = run_tiny(tiny_data, tmp_path, *ONE)
    before = {path: path.stat().st_mtime_ns for path in only_run(tmp_path).iterdir()}
    again = run_tiny(tiny_data, tmp_path, *ONE)
    assert again.exit_code == 0
    assert again.stdout == first.stdout
    assert line_of(again).startswith("= tiny · folder/bolts · seed 0: already there, nothing to compute")
    assert {path: path.stat().st_mtime_ns for path in only_run(tmp_path).iterdir()} == before


def test_oracle_checkpoints_are_kept_where_asked_for(tiny_data, tmp_path):
    """By default only the last epoch's is kept; for a stored run without the others there is a hint."""
    run_tiny(tiny_data, tmp_path, *ONE)
    assert not list(only_run(tmp_path).glob("oracle_*"))
    again = run_tiny(tiny_data, tmp_path, *ONE, "--keep", "oracle")
    assert "already there, but without oracle checkpoints (--force computes it again)" in line_of(again)
    run_tiny(tiny_data, tmp_path, *ONE, "--keep", "oracle", "--force")
    assert len(list(only_run(tmp_path).glob("oracle_*.pt"))) == 3
    assert "nothing to compute" in line_of(run_tiny(tiny_data, tmp_path, *ONE, "--keep", "oracle"))


def test_another_seed_or_option_is_another_run(tiny_data, tmp_path):
    """Each configuration has its own folder; --force computes one again."""
    for words in ((), ("--seed", "5"), ("-o", "lr=0.2"), ("--size", "48x64"), ("-p", "cpu")):
        assert run_tiny(tiny_data, tmp_path, *ONE, *words).exit_code == 0
    assert len(list((tmp_path / "folder/bolts/tiny").iterdir())) == 5
    forced = run_tiny(tiny_data, tmp_path, *ONE, "--force")
    assert "✓ tiny · folder/bolts · seed 0" in forced.stderr
    assert len(list((tmp_path / "folder/bolts/tiny").iterdir())) == 5


def test_seeds_methods_and_their_options_in_one_command(ran):
    """With --seeds, several methods and METHOD.KEY=VALUE, each has its results, and the option reaches its method."""
    stored = store.read_all(ran).results
    assert sorted((run.class_name, run.method, run.seed) for run in stored) == sorted(
        (name, method, seed) for name in ("bolts", "nuts") for method in ("random", "tiny") for seed in (0, 1)
    )
    assert {run.last_epoch for run in stored if run.method == "tiny"} == {1}
    assert {run.variant for run in stored} == {"tiny:cpu,epochs=1", "random:cpu"}


def test_size_amp_and_evaluations_are_taken_from_the_command(tiny_data, tmp_path):
    """--size, --amp and --eval-every take effect."""
    done = run_tiny(tiny_data, tmp_path, "-c", "bolts", "--size", "48x64", "--amp", "off", "--eval-every", 3)
    assert done.exit_code == 0
    (result,) = store.read_all(tmp_path).results
    assert (result.protocol.size, result.protocol.precision) == ((48, 64), "off")
    with (only_run(tmp_path) / "epochs.csv").open(newline="") as stream:
        assert [row["number"] for row in csv.DictReader(stream) if row["image_auroc"]] == ["3", "4"]


def test_json_of_a_run_is_one_document_without_messages(tiny_data, tmp_path):
    """Standard output is for programs; progress and outcomes go to standard error."""
    done = run_tiny(tiny_data, tmp_path, "-o", "epochs=1", "--format", "json")
    (table,) = json.loads(done.stdout)
    assert [row["class"] for row in table["rows"]] == ["bolts", "nuts"]
    assert "tiny · folder/nuts" in done.stderr


def test_the_data_root_may_come_from_the_environment(tiny_data, tmp_path, monkeypatch):
    """ADBENCH_DATA stands for --data-root."""
    monkeypatch.setenv("ADBENCH_DATA", str(tiny_data))
    done = adbench("run", "-m", "random", "-d", "folder", "-c", "nuts", "--results", tmp_path)
    assert done.exit_code == 0, done.stderr


def test_a_run_in_another_thread_works(tiny_data, tmp_path):
    """Where signals can't be caught (a notebook's thread), the command still runs."""
    done = []
    thread = threading.Thread(target=lambda: done.append(run_tiny(tiny_data, tmp_path, *ONE)))
    thread.start()
    thread.join()
    assert done[0].exit_code == 0, done[0].stderr


def test_signal_handlers_are_put_back(tiny_data, tmp_path):
    """After a run, SIGTERM has its old handler."""
    before = signal.getsignal(signal.SIGTERM)
    run_tiny(tiny_data, tmp_path, *ONE)
    assert signal.getsignal(signal.SIGTERM) is before


# ---------------------------------------------------------------- scoring again


def test_test_gives_the_runs_metrics(tiny_data, tmp_path):
    """``adbench test --checkpoint last.pt`` prints exactly the run's metrics and scores, and stores nothing."""
    run_tiny(tiny_data, tmp_path, *ONE)
    before = sorted(tmp_path.rglob("*"))
    done = adbench("test", "-m", "tiny", "--plugin", TINY, "-d", "folder", "--data-root", tiny_data, "-c", "bolts",
                   "--checkpoint", only_run(tmp_path) / "last.pt", "--format", "json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    table, scores = json.loads(done.stdout)
    expected = metrics_of(only_run(tmp_path))
    shown = ("image_auroc", "pixel_auroc", "aupro")
    assert [table["rows"][0][name] for name in shown] == [expected[name] for name in shown]
    with (only_run(tmp_path) / "scores.csv").open() as stream:
        stored = sorted(float(row["score"]) for row in csv.DictReader(stream))
    assert sorted(row["score"] for row in scores["rows"]) == pytest.approx(stored, rel=1e-6)
    assert sorted(tmp_path.rglob("*")) == before


def test_test_scores_the_class_that_the_checkpoint_is_of(tiny_data, tmp_path):
    """Without --class it is the checkpoint's own class; with all, a failing class leaves the others' scores."""
    run_tiny(tiny_data, tmp_path / "results", *ONE)
    root = tmp_path / "data"
    shutil.copytree(tiny_data, root)
    (next((root / "nuts" / "test" / "good").iterdir())).write_bytes(b"broken")
    words = ["test", "-m", "tiny", "--plugin", TINY, "-d", "folder", "--data-root", root,
             "--checkpoint", only_run(tmp_path / "results") / "last.pt", "--format", "json"]  # fmt: skip
    done = adbench(*words)
    assert done.exit_code == 0, done.stderr
    assert [row["class"] for row in json.loads(done.stdout)[0]["rows"]] == ["bolts"]
    done = adbench(*words, "-c", "all")
    assert done.exit_code == 1
    assert [row["class"] for row in json.loads(done.stdout)[0]["rows"]] == ["bolts"]
    assert "nuts" in done.stderr


def test_another_schedule_of_evaluations_is_another_run(tiny_data, tmp_path):
    """The oracle depends on the number of evaluations, so the default command doesn't reuse that of --eval-every 0."""
    run_tiny(tiny_data, tmp_path, "-c", "bolts", "--eval-every", 0)
    done = run_tiny(tiny_data, tmp_path, "-c", "bolts")
    assert "nothing to compute" not in done.stderr
    assert sorted(run.evaluations for run in store.read_all(tmp_path).results) == [1, 2]


def test_test_refuses_another_methods_checkpoint(tiny_data, tmp_path):
    """A checkpoint of tiny given to random is a user's mistake, with a hint."""
    run_tiny(tiny_data, tmp_path, *ONE)
    done = adbench("test", "-m", "random", "-d", "folder", "--data-root", tiny_data, "-c", "bolts",
                   "--checkpoint", only_run(tmp_path) / "last.pt")  # fmt: skip
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Use --method tiny" in line_of(done)


@pytest.mark.parametrize("group", [[], ["cache"], ["results"]])
def test_no_summary_of_a_command_is_cut(group):
    """At 80 columns the help of a group shows the whole summary of each of its commands."""
    done = CliRunner().invoke(main.app, [*group, "--help"], terminal_width=80)
    summaries = done.stdout.partition("Commands:")[2]
    assert summaries.count("\n") > 1
    assert "..." not in summaries
