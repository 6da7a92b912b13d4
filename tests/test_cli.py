"""The commands as a user types them: what they print where, their exit codes, and how they end."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from runs import TINY, adbench, adbench_process, files_in, metrics_of, only_run, run_tiny

from adbench import cli, store

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")

ONE = ("-c", "bolts", "-o", "epochs=1")


@pytest.fixture(scope="module")
def board(tiny_data, tmp_path_factory) -> Path:
    """Results of tiny and random on both classes, with two seeds."""
    results = tmp_path_factory.mktemp("board")
    done = run_tiny(tiny_data, results, "-m", "tiny,random", "-p", "cpu", "--seeds", "0,1", "-o", "tiny.epochs=1")
    assert done.exit_code == 0, done.stderr
    return results


def line_of(result) -> str:
    """The only line on standard error."""
    (line,) = result.stderr.splitlines()
    return line


# ---------------------------------------------------------------- running


def test_a_run_over_all_classes_stores_everything_and_ends_with_a_leaderboard(tiny_data, tmp_path):
    """One command: a result per class, and a row per class and the mean on standard output."""
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
    """The second time the result is read; its table is the first one's."""
    first = run_tiny(tiny_data, tmp_path, *ONE)
    before = {path: path.stat().st_mtime_ns for path in only_run(tmp_path).iterdir()}
    again = run_tiny(tiny_data, tmp_path, *ONE)
    assert again.exit_code == 0
    assert again.stdout == first.stdout
    assert line_of(again).startswith("= tiny · folder/bolts · seed 0: already there, nothing to compute")
    assert {path: path.stat().st_mtime_ns for path in only_run(tmp_path).iterdir()} == before


def test_another_seed_or_option_is_another_run(tiny_data, tmp_path):
    """Each configuration has a folder of its own; --force computes one again."""
    for words in ((), ("--seed", "5"), ("-o", "lr=0.2"), ("--size", "48x64"), ("-p", "cpu")):
        assert run_tiny(tiny_data, tmp_path, *ONE, *words).exit_code == 0
    assert len(list((tmp_path / "folder/bolts/tiny").iterdir())) == 5
    forced = run_tiny(tiny_data, tmp_path, *ONE, "--force")
    assert "✓ tiny · folder/bolts · seed 0" in forced.stderr
    assert len(list((tmp_path / "folder/bolts/tiny").iterdir())) == 5


def test_seeds_methods_and_their_options_in_one_command(board):
    """--seeds, several methods and METHOD.KEY=VALUE: each has its results, and the option reached its method."""
    stored = store.read_all(board).results
    assert sorted((run.class_name, run.method, run.seed) for run in stored) == sorted(
        (name, method, seed) for name in ("bolts", "nuts") for method in ("random", "tiny") for seed in (0, 1)
    )
    assert {run.last_epoch for run in stored if run.method == "tiny"} == {1}
    assert {run.variant for run in stored} == {"tiny:cpu,epochs=1", "random:cpu"}


def test_size_amp_and_evaluations_are_taken_from_the_command(tiny_data, tmp_path):
    """--size, --amp and --eval-every reach the run."""
    done = run_tiny(tiny_data, tmp_path, "-c", "bolts", "--size", "48x64", "--amp", "off", "--eval-every", 3)
    assert done.exit_code == 0
    (result,) = store.read_all(tmp_path).results
    assert (result.protocol.size, result.protocol.precision) == ((48, 64), "off")
    with (only_run(tmp_path) / "epochs.csv").open(newline="") as stream:
        assert [row["number"] for row in csv.DictReader(stream) if row["image_auroc"]] == ["3", "4"]


def test_json_of_a_run_is_one_document_and_all_talk_is_elsewhere(tiny_data, tmp_path):
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
    """Where signals can't be caught (a notebook's thread), the command runs all the same."""
    done = []
    thread = threading.Thread(target=lambda: done.append(run_tiny(tiny_data, tmp_path, *ONE)))
    thread.start()
    thread.join()
    assert done[0].exit_code == 0, done[0].stderr


def test_signal_handlers_are_put_back(tiny_data, tmp_path):
    """After a run SIGTERM does what it did before."""
    before = signal.getsignal(signal.SIGTERM)
    run_tiny(tiny_data, tmp_path, *ONE)
    assert signal.getsignal(signal.SIGTERM) is before


# ---------------------------------------------------------------- breaking off and going on


@posix_only
def test_a_killed_run_goes_on_and_ends_in_the_same_numbers(tiny_data, tmp_path, monkeypatch):
    """SIGKILL in the second class: the first one is kept, and the same command ends as an unbroken run."""
    monkeypatch.setenv("TINY_SURVIVES", "1")
    results, whole = tmp_path / "results", tmp_path / "whole"
    assert run_tiny(tiny_data, results, "-o", "kill_at=3", "-c", "bolts").exit_code == 0
    kept = (only_run(results) / "result.json").read_bytes()
    killed = adbench_process(
        "run", "-m", "tiny", "--plugin", TINY, "-d", "folder", "--data-root", tiny_data, "-o", "kill_at=3",
        cwd=tmp_path, TINY_SURVIVES="",
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert "= tiny · folder/bolts" in killed.stderr
    assert "state.pt" in files_in(only_run(results, "nuts"))
    again = run_tiny(tiny_data, results, "-o", "kill_at=3")
    assert again.exit_code == 0, again.stderr
    assert "= tiny · folder/bolts" in again.stderr
    assert "tiny nuts: going on after epoch" in again.stderr
    assert (only_run(results) / "result.json").read_bytes() == kept
    assert run_tiny(tiny_data, whole, "-o", "kill_at=3").exit_code == 0
    for name in ("bolts", "nuts"):
        broken, unbroken = only_run(results, name), only_run(whole, name)
        assert metrics_of(broken) == metrics_of(unbroken)
        assert (broken / "scores.csv").read_bytes() == (unbroken / "scores.csv").read_bytes()
        assert broken.name == unbroken.name


def test_ctrl_c_stops_with_130_and_says_how_to_go_on(tiny_data, tmp_path, monkeypatch):
    """After Ctrl-C what is finished is counted, and the same command goes on to the same end."""
    stopped = run_tiny(tiny_data, tmp_path, "-o", "stop_at=3")
    assert stopped.exit_code == 130
    assert stopped.stdout == ""
    assert stopped.stderr.splitlines()[-1] == "Stopped with 0 of 2 tasks done; the same command goes on from here."
    assert "Traceback" not in stopped.stderr
    monkeypatch.setenv("TINY_SURVIVES", "1")
    again = run_tiny(tiny_data, tmp_path, "-o", "stop_at=3")
    assert again.exit_code == 0
    assert "going on after epoch" in again.stderr


def test_ctrl_c_in_a_forced_run_says_not_to_force_again(tiny_data, tmp_path):
    """The same command with --force would throw away what was done, and the message knows it."""
    stopped = run_tiny(tiny_data, tmp_path, "-o", "stop_at=3", "--force")
    assert "the same command without --force goes on from here" in stopped.stderr


def test_ctrl_c_in_any_other_command_is_130_too(board, monkeypatch):
    """Ctrl-C while results are read ends in one word."""

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "read_all", stop)
    done = adbench("leaderboard", "--results", board)
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "Stopped.\n")


@posix_only
def test_a_polite_kill_is_as_good_as_ctrl_c(tiny_data, tmp_path):
    """SIGTERM, as a cluster sends it, stops cleanly and says how to go on, also where Ctrl-C is ignored."""
    plugin = tmp_path / "waiting.py"
    plugin.write_text(
        TINY.read_text().replace("raise KeyboardInterrupt", "import time; print('waiting', flush=True); time.sleep(60)")
    )
    command = [sys.executable, "-m", "adbench.cli", "run", "-m", "tiny", "--plugin", plugin, "-d", "folder",
               "-c", "bolts", "--data-root", tiny_data, "-o", "stop_at=2"]  # fmt: skip
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "waiting\n"
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopped with 0 of 1 tasks done; the same command goes on from here." in errors


# ---------------------------------------------------------------- errors


def test_a_failing_class_leaves_the_others_results(tiny_data, tmp_path):
    """One class fails: exit code 1, one line about it, and the other class is stored and shown."""
    done = run_tiny(tiny_data, tmp_path, "-o", "fail_class=bolts", "-o", "epochs=1")
    assert done.exit_code == 1
    assert "✗ tiny · folder/bolts · seed 0: this class fails on purpose." in done.stderr.splitlines()
    assert "1 of 2 tasks failed; the others are stored." in done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[3:4]] == ["nuts"]
    assert not list((tmp_path / "folder/bolts").rglob("result.json"))
    assert (only_run(tmp_path, "nuts") / "result.json").is_file()


def test_a_single_mistaken_task_is_a_mistake(tiny_data, tmp_path):
    """Where nothing but the user's mistake came out, the exit code is 2 and the message one line."""
    done = run_tiny(tiny_data, tmp_path, "-c", "bolts", "-o", "fail_class=bolts")
    assert (done.exit_code, done.stdout) == (2, "")
    assert line_of(done) == "✗ tiny · folder/bolts · seed 0: this class fails on purpose."


def test_an_unforeseen_error_of_a_method_is_one_message(tiny_data, tmp_path):
    """A method with a bug: one line with its name and the reason, exit code 1; --debug shows where."""
    plugin = tmp_path / "broken.py"
    plugin.write_text(TINY.read_text().replace("maps = (self.model", "maps = {}['nothing'] + (self.model"))
    command = ("run", "-m", "tiny", "--plugin", plugin, "-d", "folder", "--data-root", tiny_data, "-c", "bolts",
               "-o", "epochs=1", "--results", tmp_path)  # fmt: skip
    done = adbench(*command)
    assert done.exit_code == 1
    assert line_of(done) == (
        "✗ tiny · folder/bolts · seed 0: tiny broke off: found KeyError: 'nothing'. See the traceback with --debug."
    )
    debugged = adbench(*command, "--debug")
    assert debugged.exit_code == 1
    assert "Traceback" in debugged.stderr
    assert "in score" in debugged.stderr


RUN = ("run", "-d", "folder", "--data-root", "DATA", "--plugin", TINY, "--results", "RESULTS")


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ((*RUN, "-m", "tinny"), ("unknown method 'tinny'", "Did you mean 'tiny'?")),
        ((*RUN, "-m", "tiny", "-d", "foldr"), ("unknown dataset 'foldr'", "Did you mean 'folder'?")),
        ((*RUN, "-m", "tiny", "-c", "bolt"), ("unknown class of folder 'bolt'", "Did you mean 'bolts'?")),
        ((*RUN, "-m", "tiny", "-c", ","), ("--class", "bolts, nuts")),
        ((*RUN, "-m", "tiny", "-p", "cpuu"), ("unknown preset of tiny 'cpuu'", "Did you mean 'cpu'?")),
        ((*RUN, "-m", "tiny", "-o", "epoch=1"), ("unknown option of tiny 'epoch'", "Did you mean 'epochs'?")),
        ((*RUN, "-m", "tiny", "-o", "epochs=many"), ("option epochs of tiny", "'many'", "a whole number")),
        ((*RUN, "-m", "tiny", "-o", "epochs"), ("-o epochs", "KEY=VALUE")),
        ((*RUN, "-m", "tiny", "-o", "tinny.epochs=1"), ("unknown method in -o 'tinny'", "Did you mean 'tiny'?")),
        ((*RUN, "-m", "tiny", "--size", "8"), ("option size of tiny", "8x8", "at least 32")),
        ((*RUN, "-m", "tiny", "--backbone", "resnet18"), ("--backbone", "no option 'backbone' in tiny")),
        ((*RUN, "-m", "tiny", "--device", "gpu"), ("--device", "'gpu'", "cuda:N")),
        ((*RUN, "-m", "tiny", "--device", "cpu", "--amp", "fp16"), ("--amp fp16", "bf16")),
        ((*RUN, "-m", "tiny", "--seeds", "0,x"), ("--seeds", "'0,x'")),
        ((*RUN, "-m", "tiny", "--seeds", "0,-1"), ("--seeds", "'0,-1'")),
        ((*RUN, "-m", "tiny", "--seeds", ","), ("--seeds", "','")),
        ((*RUN, "-m", "tiny", "--seed", "0", "--seeds", "0"), ("--seed and --seeds", "one of them")),
        ((*RUN, "-m", ","), ("--method", "','", "tiny")),
        ((*RUN, "-m", "tiny", "--plugin", "nowhere.py"), ("--plugin nowhere.py", "no such file")),
        ((*RUN, "-m", "tiny", "--data-root", "nowhere"), ("data set folder at nowhere", "no such folder")),
        (("run", "-m", "random", "-d", "mvtec"), ("--data-root DIR or set ADBENCH_DATA", "https://")),
        ((*RUN, "-m", "tiny", "--holdout", "nan"), ("--holdout", "found nan")),
        (("report", "--results", "BOARD", "--data-root", "nowhere"), ("--data-root nowhere", "no such folder")),
        (("leaderboard", "--results", "BOARD", "--metric", "image_auc"), ("unknown metric", "'image_auroc'")),
        (("leaderboard", "--results", "BOARD", "--dataset", "foldr"), ("'foldr'", "Did you mean 'folder'?")),
        (("leaderboard", "--results", "BOARD", "--class", "nutz"), ("'nutz'", "Did you mean 'nuts'?")),
        (("leaderboard", "--results", "nowhere"), ("results folder nowhere", "adbench run")),
        (("compare", "--results", "BOARD", "tiny", "randm"), ("'randm'", "Did you mean 'random")),
        (("compare", "--results", "BOARD", "tiny", "random", "--metric", "f1"), ("unknown metric 'f1'",)),
        (("list", "methods", "msflw"), ("unknown method 'msflw'", "Did you mean 'msflow'?")),
        (("list", "backbones", "resnet18"), ("adbench list backbones resnet18", "found a name")),
        (("test", "-m", "random", "-d", "folder", "--data-root", "DATA", "-c", "nuts", "--checkpoint", "nowhere.pt"),
         ("checkpoint nowhere.pt", "no such file")),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_the_way_out(board, tiny_data, tmp_path, words, texts):
    """Exit code 2, nothing on standard output, one line that names the thing and the nearest name."""
    places = {"DATA": tiny_data, "RESULTS": tmp_path, "BOARD": board}
    done = adbench(*(places.get(word, word) for word in words))
    assert (done.exit_code, done.stdout) == (2, "")
    line = line_of(done)
    assert line.startswith("Error: ")
    for text in texts:
        assert text in line
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback_of_a_mistake():
    """With --debug the error comes through as it was raised."""
    done = adbench("list", "methods", "msflw", "--debug")
    assert type(done.exception).__name__ == "UnknownNameError"


def test_a_bug_in_adbench_is_one_line_too(board, monkeypatch):
    """Anything unforeseen is one line that names the way to its traceback."""

    def broken(*_, **__):
        raise RuntimeError("something\nlong")

    monkeypatch.setattr(store, "read_all", broken)
    done = adbench("leaderboard", "--results", board)
    assert done.exit_code == 1
    assert line_of(done) == "Error: adbench broke: found RuntimeError: something. See the traceback with --debug."


def test_a_bad_class_folder_is_told_first_and_the_others_run(tiny_data, tmp_path):
    """--class all with a folder without pictures: told before training, exit code 1, the others stored."""
    data = shutil.copytree(tiny_data, tmp_path / "data")
    (data / "screws/train/good").mkdir(parents=True)
    done = run_tiny(data, tmp_path / "results", "-o", "epochs=1")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[0].startswith("✗ tiny · folder/screws · seed 0: class screws of folder")
    assert "1 of 3 tasks failed; the others are stored." in done.stderr
    assert len(store.read_all(tmp_path / "results").results) == 2


def test_unreadable_results_are_named_and_the_others_shown(board, tmp_path):
    """A damaged result is a warning on standard error; the leaderboard is made from the rest."""
    results = shutil.copytree(board, tmp_path / "results")
    next(results.glob("folder/nuts/tiny/*/result.json")).write_text("{")
    done = adbench("leaderboard", "--results", results, "--format", "json")
    assert done.exit_code == 0
    assert line_of(done).startswith("Warning: ")
    json.loads(done.stdout)


# ---------------------------------------------------------------- tables


def test_leaderboard_in_every_format(board):
    """The same board as a table, JSON, CSV, Markdown, LaTeX and SVG, each whole on standard output."""
    texts = {}
    for name in ("table", "json", "csv", "markdown", "latex", "svg"):
        done = adbench("leaderboard", "--results", board, "--format", name)
        assert (done.exit_code, done.stderr) == (0, "")
        texts[name] = done.stdout
        assert "random:cpu" in done.stdout.replace("&#160;", " ")
    (table,) = json.loads(texts["json"])
    assert [row["rank"] for row in table["rows"]] == [1, 2]
    assert {row["variant"] for row in csv.DictReader(io.StringIO(texts["csv"]))} == {"tiny:cpu,epochs=1", "random:cpu"}
    assert texts["svg"].startswith("<svg")
    assert "\\begin{tabular}" in texts["latex"]
    assert "| ---" in texts["markdown"] or "|---" in texts["markdown"] or "| :" in texts["markdown"]


@pytest.mark.parametrize("classes", ["all", "bolts,nuts", "nuts, bolts"])
def test_stored_results_are_chosen_by_class_as_runs_are(board, classes):
    """--class takes a list or all here as well, and says the same as no --class."""
    plain = adbench("leaderboard", "--results", board, "--format", "json")
    chosen = adbench("leaderboard", "--results", board, "--format", "json", "--class", classes)

    assert json.loads(chosen.stdout) == json.loads(plain.stdout)


def test_leaderboard_by_class_and_of_one_class(board):
    """--by-class has a row per class; --class leaves the others out."""
    tables = json.loads(adbench("leaderboard", "--results", board, "--by-class", "--format", "json").stdout)
    assert [[row["class"] for row in table["rows"]] for table in tables] == [["bolts", "nuts"]] * 2
    (table,) = json.loads(adbench("leaderboard", "--results", board, "--class", "nuts", "--format", "json").stdout)
    assert {row["classes"] for row in table["rows"]} == {1}


def test_compare_puts_methods_side_by_side(board):
    """Compare shows both methods per class, their difference, and the mean; --format json is one document."""
    done = adbench("compare", "tiny", "random", "--results", board, "--metric", "pixel_auroc")
    assert done.exit_code == 0, done.stderr
    for text in ("bolts", "nuts", "mean"):
        assert text in done.stdout
    document = adbench("compare", "tiny", "random", "--results", board, "--format", "json")
    assert document.stderr == ""
    assert len(json.loads(document.stdout)[0]["rows"]) >= 2


@pytest.mark.parametrize("what", ["methods", "datasets", "backbones", "runs"])
def test_lists_in_every_format(board, what):
    """Each list is a table for people, and one JSON document for programs."""
    words = ("list", what, "--results", board, "--plugin", TINY)
    assert adbench(*words).exit_code == 0
    (table,) = json.loads(adbench(*words, "--format", "json").stdout)
    expected = {
        "methods": {"cflow", "msflow", "random", "tiny"},
        "datasets": {"demo", "folder", "mvtec", "visa"},
        "backbones": {"wide_resnet50_2", "efficientnet_lite0", "resnet18"},
        "runs": {"tiny:cpu,epochs=1", "random:cpu"},
    }[what]
    assert expected <= {value for row in table["rows"] for value in row.values()}


def test_list_of_one_method_shows_its_options_in_each_preset():
    """List methods NAME: a row per option; a star marks what single classes change."""
    (table,) = json.loads(adbench("list", "methods", "tiny", "--plugin", TINY, "--format", "json").stdout)
    rows = {row["option"]: row for row in table["rows"]}
    assert (rows["epochs"]["paper"], rows["epochs"]["cpu"], rows["lr"]["big"]) == ("4", "3", "0.05*")
    assert rows["size"]["paper"] == "64x64"


def test_test_gives_the_runs_metrics(tiny_data, tmp_path):
    """Adbench test --checkpoint last.pt prints exactly what the run had scored, and stores nothing."""
    run_tiny(tiny_data, tmp_path, *ONE)
    before = sorted(tmp_path.rglob("*"))
    done = adbench("test", "-m", "tiny", "--plugin", TINY, "-d", "folder", "--data-root", tiny_data, "-c", "bolts",
                   "--checkpoint", only_run(tmp_path) / "last.pt", "--format", "json")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    (table,) = json.loads(done.stdout)
    expected = metrics_of(only_run(tmp_path))
    shown = ("image_auroc", "pixel_auroc", "aupro")
    assert [table["rows"][0][name] for name in shown] == [expected[name] for name in shown]
    assert sorted(tmp_path.rglob("*")) == before


def test_test_scores_the_class_that_the_checkpoint_is_of(tiny_data, tmp_path):
    """Without --class it is the checkpoint's own; with all, a class that fails leaves the others' scores."""
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
    """The oracle hangs on how often was evaluated, so the default command doesn't take over that of --eval-every 0."""
    run_tiny(tiny_data, tmp_path, "-c", "bolts", "--eval-every", 0)
    done = run_tiny(tiny_data, tmp_path, "-c", "bolts")
    assert "nothing to compute" not in done.stderr
    assert sorted(run.evaluations for run in store.read_all(tmp_path).results) == [1, 2]


def test_test_refuses_another_methods_checkpoint(tiny_data, tmp_path):
    """A checkpoint of tiny given to random is a mistake with the way out."""
    run_tiny(tiny_data, tmp_path, *ONE)
    done = adbench("test", "-m", "random", "-d", "folder", "--data-root", tiny_data, "-c", "bolts",
                   "--checkpoint", only_run(tmp_path) / "last.pt")  # fmt: skip
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Use --method tiny" in line_of(done)


# ---------------------------------------------------------------- around the commands


@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("--version",), ("list", "methods", "--help")])
def test_help_imports_nothing_heavy(tmp_path, words):
    """Help and version answer at once: no torch, NumPy, pandas, rich or Pillow is loaded for them."""
    code = (
        "import sys; from adbench.cli import app\n"
        f"try: app({list(words)!r})\n"
        "except SystemExit as leaving: assert not leaving.code\n"
        "heavy = {'torch', 'numpy', 'pandas', 'rich', 'PIL', 'scipy', 'sklearn', 'skimage', 'torchvision', 'FrEIA'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(done.stdout.splitlines()) > 1


def test_the_version_is_one_line():
    """Adbench --version names the version that is installed."""
    from importlib.metadata import version

    assert adbench("--version").stdout == f"adbench {version('adbench')}\n"


def test_every_command_and_option_explains_itself():
    """No command and no option is without a help text."""
    for name, command in cli.app.commands.items():
        assert command.help, name
        for option in command.params:
            assert getattr(option, "help", None) or option.param_type_name == "argument", (name, option.name)


@posix_only
@pytest.mark.parametrize(
    ("what", "format_", "unbuffered"),
    [("datasets", "csv", ""), ("runs", "csv", ""), ("runs", "csv", "1"), ("runs", "table", "1")],
)
def test_a_closed_pipe_is_no_error(board, tmp_path, what, format_, unbuffered):
    """In "adbench list ... | head" the reader went away, and nothing is said about it."""
    with subprocess.Popen(
        [sys.executable, "-m", "adbench.cli", "list", what, "--results", str(board), "--format", format_],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    ) as process:  # fmt: skip
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, "")


def test_pipes_get_no_escape_codes(tiny_data, tmp_path):
    """In a pipe neither the table nor the progress holds an escape code, and no line is wrapped."""
    done = adbench_process(
        "run", "-m", "tiny", "--plugin", TINY, "-d", "folder", "--data-root", tiny_data, "-c", "bolts",
        cwd=tmp_path, COLUMNS="40", TERM="xterm-256color",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "[1/1] tiny · folder/bolts: epoch 4/4 · loss" in done.stderr
    assert len(done.stderr.splitlines()) <= 4


@posix_only
@pytest.mark.parametrize("no_color", [False, True])
def test_a_narrow_terminal_keeps_all_digits(board, tmp_path, no_color):
    """On a terminal of 40 columns every number is whole; NO_COLOR takes the colours away."""
    import pty

    outside, inside = pty.openpty()
    env = {**os.environ, "COLUMNS": "40", "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
    env.pop("NO_COLOR", None)
    if no_color:
        env["NO_COLOR"] = "1"
    process = subprocess.Popen(
        [sys.executable, "-m", "adbench.cli", "leaderboard", "--results", str(board)],
        cwd=tmp_path, stdout=inside, stderr=inside, env=env,
    )  # fmt: skip
    os.close(inside)
    shown = b""
    try:
        while chunk := os.read(outside, 65536):
            shown += chunk
    except OSError:  # Linux says so at the end
        pass
    os.close(outside)
    assert process.wait(timeout=60) == 0
    text = shown.decode()
    (table,) = json.loads(adbench("leaderboard", "--results", board, "--format", "json").stdout)
    for row in table["rows"]:
        for name in ("image_auroc", "pixel_auroc", "aupro"):
            assert f"{100 * row[name]:.2f}" in text
        assert f"{row['images_per_second']:.1f}" in text
    assert ("\x1b[36m" in text) is not no_color
