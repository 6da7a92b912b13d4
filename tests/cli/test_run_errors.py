"""Mistakes and failures: one line, a hint, and the exit code."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import torch
from runs import TINY, adbench, line_of, only_run, run_tiny

from adbench.api.backbone_table import LITE0
from adbench.results import store


def test_a_failing_class_leaves_the_others_results(tiny_data, tmp_path):
    """If one class fails, the exit code is 1 with one line about it; the other class is stored and shown."""
    done = run_tiny(tiny_data, tmp_path, "-o", "fail_class=bolts", "-o", "epochs=1")
    assert done.exit_code == 1
    assert "✗ tiny · folder/bolts · seed 0: this class fails on purpose." in done.stderr.splitlines()
    assert "1 of 2 tasks failed; the others are stored." in done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[3:4]] == ["nuts"]
    assert not list((tmp_path / "folder/bolts").rglob("result.json"))
    assert (only_run(tmp_path, "nuts") / "result.json").is_file()


def test_a_single_mistaken_task_is_a_mistake(tiny_data, tmp_path):
    """If the only outcome is the user's mistake, the exit code is 2 and the message one line."""
    done = run_tiny(tiny_data, tmp_path, "-c", "bolts", "-o", "fail_class=bolts")
    assert (done.exit_code, done.stdout) == (2, "")
    assert line_of(done) == "✗ tiny · folder/bolts · seed 0: this class fails on purpose."


def test_an_unforeseen_error_of_a_method_is_one_message(tiny_data, tmp_path):
    """A bug of a method is one line with its name and the reason, exit code 1; --debug shows the traceback."""
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
        ((*RUN, "-m", "tiny", "--seeds", "3"), ("--seeds 0,1,2", "--seed 3")),
        ((*RUN, "-m", "tiny", "--size", "128,256"), ("'128,256'", "HxW", "once for each")),
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
         ("--checkpoint nowhere.pt", "no such file, and no such run", "See adbench list runs")),
        (("test", "-m", "random", "-d", "folder", "--data-root", "DATA", "-c", "nuts", "--checkpoint", "cpuseed1",
          "--results", "BOARD"), ("no such file, and no such run", "a run in", "Did you mean cpu-seed1-")),
        (("leaderboard", "--results", __file__), ("results folder", "found a file")),
        ((*RUN, "-m", "tiny", "--plugin", "DATA"), ("--plugin", "found a folder")),
        ((*RUN, "-m", "tiny", "--size", "64x"), ("option size of tiny", "'64x'", "HxW")),
        ((*RUN, "-m", "tiny", "--seeds", "0,,1"), ("--seeds", "'0,,1'")),
        ((*RUN, "-m", "tiny", "--device", "cuda:²"), ("--device", "'cuda:²'", "cuda:N")),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_a_hint(ran, tiny_data, tmp_path, words, texts):
    """Exit code 2, nothing on standard output, and one line with the found text and the nearest name."""
    places = {"DATA": tiny_data, "RESULTS": tmp_path, "BOARD": ran}
    done = adbench(*(places.get(word, word) for word in words))
    assert (done.exit_code, done.stdout) == (2, "")
    line = line_of(done)
    assert line.startswith("Error: ")
    for text in texts:
        assert text in line
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback_of_a_mistake():
    """With --debug the error is raised unchanged."""
    done = adbench("list", "methods", "msflw", "--debug")
    assert type(done.exception).__name__ == "UnknownNameError"


def test_a_bug_in_adbench_is_one_line_too(ran, monkeypatch):
    """Any unforeseen error is one line, with a hint to its traceback."""

    def broken(*_, **__):
        raise RuntimeError("something\nlong")

    monkeypatch.setattr(store, "read_all", broken)
    done = adbench("leaderboard", "--results", ran)
    assert done.exit_code == 1
    assert line_of(done) == "Error: adbench broke: found RuntimeError: something. See the traceback with --debug."


def test_a_bad_class_folder_is_reported_first_and_the_others_run(tiny_data, tmp_path):
    """With --class all and a folder without images: reported before training, exit code 1, the others stored."""
    data = shutil.copytree(tiny_data, tmp_path / "data")
    (data / "screws/train/good").mkdir(parents=True)
    done = run_tiny(data, tmp_path / "results", "-o", "epochs=1")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[0].startswith("✗ tiny · folder/screws · seed 0: class screws of folder")
    assert "1 of 3 tasks failed; the others are stored." in done.stderr
    assert len(store.read_all(tmp_path / "results").results) == 2


def test_unreadable_results_are_named_and_the_others_shown(ran, tmp_path):
    """A damaged result is a warning on standard error; the leaderboard is made from the rest."""
    results = shutil.copytree(ran, tmp_path / "results")
    next(results.glob("folder/nuts/tiny/*/result.json")).write_text("{")
    done = adbench("leaderboard", "--results", results, "--format", "json")
    assert done.exit_code == 0
    assert line_of(done).startswith("Warning: ")
    json.loads(done.stdout)


EXITS = """
import sys
from adbench import Dataset, Detector, Epoch, Method, Scores, hookimpl

class Exits(Detector):
    def __init__(self, options, device):
        super().__init__(options, device)
        self.leave("build")

    def leave(self, place):
        if place == "{place}":
            sys.exit(0)

    def fit(self, images):
        self.leave("fit")
        yield Epoch(1, 1)

    def score(self, batch):
        self.leave("score")
        maps = batch.images.mean(1)
        return Scores(maps.amax((1, 2)), maps)

def classes(root):
    sys.exit("no data")

@hookimpl
def adbench_methods():
    return [Method("exits", "", Exits)]

@hookimpl
def adbench_datasets():
    return [Dataset("exiting", "", classes, None, needs_root=False)]
"""


@pytest.mark.parametrize("place", ["build", "fit", "score"])
def test_a_method_that_exits_fails_its_task_alone(place, tiny_data, tmp_path):
    """Its sys.exit(0) is no success: the task failed, and the other method's result is stored."""
    plugin = tmp_path / "exits.py"
    plugin.write_text(EXITS.replace("{place}", place), encoding="utf-8")
    done = adbench("run", "-m", "exits,random", "--plugin", plugin, "-d", "folder", "--data-root", tiny_data,
                   "-c", "nuts", "--results", tmp_path / "results")  # fmt: skip
    assert done.exit_code == 1
    assert "✗ exits · folder/nuts · seed 0: exits broke off: found a call of sys.exit(0)." in done.stderr
    assert "✓ random · folder/nuts" in done.stderr


def test_a_plugin_that_exits_elsewhere_is_named(tmp_path):
    """A data set that calls sys.exit ends the command with a sentence about its file."""
    plugin = tmp_path / "exits.py"
    plugin.write_text(EXITS, encoding="utf-8")
    done = adbench("run", "-m", "random", "-d", "exiting", "--plugin", plugin, "--results", tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert line_of(done) == f"Error: {plugin}: found a call of sys.exit('no data'). Correct that plugin."


def test_an_error_that_tasks_share_is_shown_once(tiny_data, tmp_path):
    """Weights that can't be used are reported for the first class; the last line names the others."""
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"no weights")
    done = adbench("run", "-m", "padim,random", "-p", "cpu", "-d", "folder", "--data-root", tiny_data, "--seeds", "0,1",
                   "-o", f"padim.weights={weights}", "--size", "64", "--results", tmp_path / "results")  # fmt: skip
    assert done.exit_code == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("✗")]
    assert lines[0].startswith(f"✗ padim · folder/bolts · seed 0: weights file {weights}: found nothing that reads as")
    assert lines[1] == (
        "✗ padim: the same error in 3 other tasks: folder/bolts · seed 1, folder/nuts · seed 0, folder/nuts · seed 1"
    )
    assert len(lines) == 2
    assert "4 of 8 tasks failed; the others are stored." in done.stderr


@pytest.mark.parametrize("fault", ["names", "shape", "damage", "no file"])
def test_weights_of_no_use_are_found_before_images_are_decoded(tiny_data, tmp_path, monkeypatch, weight_files, fault):
    """One message for all classes, exit code 2, and no image in the cache."""
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path / "cache"))
    weights, wanted = tmp_path / "weights.pt", f"weights for {LITE0} in {tmp_path / 'weights.pt'}: found "
    state = torch.load(weight_files("resnet18" if fault == "names" else LITE0), weights_only=True)
    if fault == "names":
        torch.save(state, weights)
        wanted += "no "
    elif fault == "shape":
        name = next(iter(state))
        torch.save({**state, name: state[name][:1]}, weights)
        wanted += f"{name} of shape "
    elif fault == "damage":
        torch.save(state, weights)
        data = bytearray(weights.read_bytes())
        data[data.index(next(iter(state.values())).numpy().tobytes()[:32]) + 5] ^= 4
        weights.write_bytes(data)
        wanted = f"weights file {weights} is damaged: found another content in "
    else:
        wanted = f"weights file {weights}: found no such file"
    done = adbench("run", "-m", "padim", "-p", "cpu", "-d", "folder", "--data-root", tiny_data, "--size", "64",
                   "--weights", weights, "--results", tmp_path / "results")  # fmt: skip
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.count(str(weights)) == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("✗")]
    assert lines[0].startswith(f"✗ padim · folder/bolts · seed 0: {wanted}")
    assert lines[1:] == ["✗ padim: the same error in 1 other task: folder/nuts · seed 0"]
    assert not list((tmp_path / "cache" / "pictures").glob("*"))


def test_a_checkpoint_that_fits_no_class_is_one_error(ran, tiny_data, tmp_path):
    """Adbench test over several classes says once what is wrong, and its exit code is that of a mistake."""
    saved = torch.load(next(ran.glob("folder/bolts/tiny/*/last.pt")), weights_only=True)
    del saved["state"]["model"]
    torch.save(saved, tmp_path / "a.pt")
    done = adbench("test", "-m", "tiny", "--plugin", TINY, "-d", "folder", "--data-root", tiny_data, "-c", "all",
                   "--checkpoint", tmp_path / "a.pt")  # fmt: skip
    assert (done.exit_code, done.stdout) == (2, "")
    lines = [line for line in done.stderr.splitlines() if line.startswith(("✗", "Error"))]
    assert lines[0].startswith(
        f"✗ tiny · folder/bolts · seed 0: checkpoint {tmp_path / 'a.pt'}, 'state': found no 'mod"
    )
    assert lines[1:] == ["✗ tiny: the same error in 1 other task: folder/nuts · seed 0"]


def test_a_method_that_breaks_on_a_checkpoint_is_no_bug_of_adbench(ran, tiny_data, tmp_path):
    """Whatever its score raises is reported in the method's name."""
    saved = next(ran.glob("folder/bolts/tiny/*/last.pt"))
    plugin = tmp_path / "tiny.py"
    plugin.write_text(TINY.read_text().replace("maps = (self.model", "maps = 1 / 0 + (self.model"))
    done = adbench("test", "-m", "tiny", "--plugin", plugin, "-d", "folder", "--data-root", tiny_data, "-c", "bolts",
                   "--checkpoint", saved)  # fmt: skip
    assert (done.exit_code, done.stdout) == (1, "")
    assert line_of(done).startswith("Error: tiny broke off: found ZeroDivisionError: division by zero.")


@pytest.mark.parametrize("words", [("--seeds", "0,1,2"), ("--seeds", "0,1", "--force")])
@pytest.mark.parametrize("fault", ["split", "shots", "results"])
def test_what_no_task_can_do_is_one_line_before_any_image_is_decoded(tiny_data, tmp_path, monkeypatch, fault, words):
    """The mistake is the command's: no line for each class and seed, and no count of failed tasks."""
    monkeypatch.setenv("ADBENCH_CACHE", str(tmp_path / "cache"))
    results = tmp_path / "results"
    (tmp_path / "file").touch()
    given, wanted = {
        "split": (("--test-split", "indoor"), "unknown test split of folder 'indoor': wanted one of test."),
        "shots": (("--shots", "90"), "the classes of folder: found at most 6 training images, wanted at least the 90"),
        "results": (("--results", tmp_path / "file/deep"), "deep can't be written: found "),
    }[fault]
    done = adbench("run", "-m", "random", "-p", "cpu", "-d", "folder", "--data-root", tiny_data, "--results", results,
                   *given, *words)  # fmt: skip
    assert (done.exit_code, done.stdout) == (2, "")
    assert line_of(done).startswith("Error: ")
    assert wanted in line_of(done)
    assert not results.exists()
    assert not list((tmp_path / "cache").rglob("*.npy"))


@pytest.mark.parametrize("text", [",", "", " , "])
@pytest.mark.parametrize("command", ["leaderboard", "list", "report"])
def test_no_class_is_a_mistake_for_stored_results_too(ran, text, command):
    """As for run, the message names the classes; an empty text doesn't mean all."""
    what = ("runs",) if command == "list" else ()
    done = adbench(command, *what, "--results", ran, "-c", text)
    assert (done.exit_code, done.stdout) == (2, "")
    assert line_of(done) == f"Error: --class '{text}': found no class, wanted all, or some of bolts, nuts."


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("run", "--seed", "-1"), "--seed: found -1, wanted a whole number from 0 to 4294967295."),
        (("run", "--holdout", "0.6"), "--holdout: found 0.6, wanted a number from 0 to 0.5."),
        (("run", "--shots", "0"), "--shots: found 0, wanted a whole number from 1 up."),
        (("run", "--amp", ""), "--amp: found '', wanted one of auto, off, bf16, fp16."),
        (("run", "--keep", "first"), "--keep: found 'first', wanted one of last, oracle."),
        (("run", "-d", "demo"), "Missing option '--method' / '-m'. See adbench run --help."),
        (("report", "--max-megapixels", "many"), "--max-megapixels: found 'many', wanted a number."),
        (("leaderboard", "--by-klass"), "unknown option '--by-klass'. Did you mean --by-class or --class?"),
        (("leaderboard", "more"), "Got unexpected extra argument (more). See adbench leaderboard --help."),
        (("list", "weights"), "WHAT: found 'weights', wanted one of methods, datasets, backbones, runs."),
        (("cache", "lost"), "unknown command 'lost'. Did you mean 'list'?"),
        (("--plugins",), "unknown option '--plugins'. See adbench --help."),
    ],
)
def test_a_mistake_that_click_finds_is_one_line_too(words, line):
    """No usage above it, and found and wanted as in all other messages."""
    done = adbench(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert line_of(done) == f"Error: {line}"


def test_a_missing_argument_is_one_line():
    """Its choices are in the same line."""
    assert "methods, datasets, backbones, runs" in line_of(adbench("list"))
    assert adbench().output.startswith("Usage: adbench")


@pytest.mark.parametrize(
    ("track", "message"),
    [
        ("wandbb", "unknown tracker 'wandbb': wanted one of mlflow, tensorboard, wandb. Did you mean 'wandb'?"),
        (",", "--track: found ',', wanted some of mlflow, tensorboard, wandb."),
    ],
)
def test_an_unknown_tracker_is_a_mistake(tiny_data, tmp_path, track, message):
    """It is one line and exit code 2, and nothing is trained."""
    done = run_tiny(tiny_data, tmp_path, "-c", "bolts", "--track", track)
    assert (done.exit_code, done.stdout) == (2, "")
    assert line_of(done) == f"Error: {message}"
    assert not list(tmp_path.iterdir())


def test_a_tracker_that_is_not_installed_is_a_mistake(tiny_data, tmp_path, monkeypatch):
    """The line that installs it stands in the message, and nothing is trained."""
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    done = run_tiny(tiny_data, tmp_path, "-c", "bolts", "--track", "tensorboard")
    assert (done.exit_code, done.stdout) == (2, "")
    assert line_of(done) == (
        "Error: --track tensorboard needs the package tensorboard: writes files for TensorBoard. "
        'Install it: pip install "tensorboard>=2.14".'
    )
    assert not list(tmp_path.iterdir())
