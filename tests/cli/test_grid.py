"""``--grid``: lists of values after -o, the runs that they become, and the table by option at the end."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import adbench, run_tiny
from tiny_method import adbench_methods

from adbench import Method
from adbench.api.options import BackboneOptions
from adbench.cli import grid
from adbench.results import store
from adbench.util.errors import OptionError, UsageError

TINY = adbench_methods()[0]
LAYERED = Method("layered", "has a list as option", lambda options, context: None, BackboneOptions)
SHORT = dict.fromkeys(("backbone", "weights", "size", "amp"))


def points(*changes: str, methods=(TINY,), **short: str) -> dict[str, list[dict]]:
    return grid.expand(methods, changes, {**SHORT, **short}, on=True).points


# ---------------------------------------------------------------- lists


def test_several_lists_are_their_product():
    """Each combination is one run; an option with a single value is in all of them."""
    found = points("epochs=1,2", "lr=0.1, 0.2", "noise=0.5")
    assert found == {
        "tiny": [
            {"epochs": epochs, "lr": lr, "noise": 0.5} for epochs, lr in itertools.product((1, 2), (0.1, 0.2))
        ]
    }  # fmt: skip


@settings(max_examples=30)
@given(st.lists(st.integers(0, 99), min_size=2, max_size=5), st.lists(st.integers(0, 99), min_size=1, max_size=4))
def test_every_combination_is_there_once(epochs, kills):
    """Whatever the lists, the runs are the product of their different values, in the order typed."""
    if len(set(epochs)) == 1 and len(set(kills)) == 1:
        epochs = [*epochs, 100]
    found = points(f"epochs={','.join(map(str, epochs))}", f"kill_at={','.join(map(str, kills))}")
    wanted = itertools.product(dict.fromkeys(epochs), dict.fromkeys(kills))
    assert [(each["epochs"], each["kill_at"]) for each in found["tiny"]] == list(wanted)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ("layers=1,2;2,3", [(1, 2), (2, 3)]),
        ("layers=1;2;1,2", [(1,), (2,), (1, 2)]),
        ("size=64;128x96", [(64, 64), (128, 96)]),
        ("resize_to=none;256", [None, (256, 256)]),
        ("batch_size=4;8", [4, 8]),
        ("backbone=resnet18,resnet34", ["resnet18", "resnet34"]),
    ],
)
def test_values_that_are_lists_are_separated_by_semicolons(change, wanted):
    """A comma separates values of other options; a semicolon always does."""
    key = change.partition("=")[0]
    assert [each[key] for each in points(change, methods=[LAYERED])["layered"]] == wanted


def test_short_options_take_lists_too():
    """--size and --backbone are short for -o, so they vary as well."""
    found = points("layers=2,3", methods=[LAYERED], size="64;96", backbone="resnet18")
    assert found["layered"] == [
        {"size": (side, side), "backbone": "resnet18", "layers": (2, 3)} for side in (64, 96)
    ]  # fmt: skip


def test_an_option_of_one_method_varies_that_one_alone():
    """METHOD.KEY makes no copies of the other methods' runs."""
    found = points("tiny.epochs=1,2,3", "batch_size=4,8", methods=[TINY, LAYERED])
    assert len(found["tiny"]) == 6
    assert found["layered"] == [{"batch_size": 4}, {"batch_size": 8}]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["epochs=1"], "found no option with several values, wanted a list such as -o KEY=1,2"),
        (["layers=1,2"], "Separate values that are lists themselves by semicolons"),
        (["epochs=1,2", "epochs=3"], "-o epochs: found it twice, wanted one list, epochs=1,2,..."),
        (["epochs=1,,2"], "an empty value in '1,,2'"),
        (["epochs=1,two"], "option epochs of tiny: found 'two', wanted a whole number"),
        (["size=64,96", "epochs=1,2"], "with --grid and ';' between them"),
        ([f"{key}={','.join(map(str, range(11)))}" for key in ("epochs", "kill_at", "stop_at")], "1331 combinations"),
    ],
)
def test_what_is_no_grid_is_refused(changes, said):
    """One short message says what is wrong."""
    methods = [LAYERED] if "layers" in changes[0] else [TINY]
    with pytest.raises(UsageError) as caught:
        grid.expand(methods, changes, SHORT, on=True)
    assert said in str(caught.value)


def test_a_list_without_grid_is_refused_with_the_way_to_it():
    """A list may be a mistake, so it needs --grid; a wrong value without a comma gets no such hint."""
    with pytest.raises(OptionError, match="For one run with each of several values add --grid"):
        grid.expand([TINY], ["epochs=1,2"], SHORT, on=False)
    with pytest.raises(OptionError) as caught:
        grid.expand([TINY], ["epochs=one"], SHORT, on=False)
    assert "--grid" not in str(caught.value)


def test_the_line_before_training_says_what_is_varied():
    """It has the sizes, their product, the values and the number of tasks."""
    found = grid.expand([LAYERED], ["layers=1,2;2,3", "batch_size=4,8,16"], SHORT, on=True)
    assert found.text(12) == (
        "--grid: 2 x 3 = 6 combinations of layers=1,2;2,3 and batch_size=4,8,16, 12 tasks."
    )  # fmt: skip
    assert grid.expand([TINY], ["epochs=1,2"], SHORT, on=True).text(2) == "--grid: 2 values of epochs=1,2, 2 tasks."


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def gridded(tiny_data, tmp_path_factory):
    """The outcome of a grid of 2 x 2 runs of tiny on one class, and its results; tests must not change them."""
    results = tmp_path_factory.mktemp("grid")
    words = ("-c", "bolts", "--grid", "-o", "epochs=1,2", "-o", "lr=0.05,0.2", "--format", "json")
    return run_tiny(tiny_data, results, *words), results


def test_a_grid_ends_with_the_ranking_and_a_table_by_option(gridded):
    """Each value of each varied option has its mean over the others, the classes and the seeds."""
    done, results = gridded
    assert done.exit_code == 0, done.stderr
    ranking, by_option = json.loads(done.stdout)
    assert len(ranking["rows"]) == 4
    rows = {(row["option"], row["value"]): row for row in by_option["rows"]}
    assert list(rows) == [("epochs", "1"), ("epochs", "2"), ("lr", "0.05"), ("lr", "0.2")]
    assert {row["runs"] for row in rows.values()} == {2}
    runs = store.read_all(results).results
    for (option, value), row in rows.items():
        own = [run.metrics.image_auroc for run in runs if str(run.options[option]) == value]
        assert row["image_auroc"] == pytest.approx(sum(own) / len(own))


def test_each_task_of_a_grid_has_its_values_in_its_title(gridded):
    """Lines about tasks tell them apart, and the first line says what is trained."""
    done, _ = gridded
    assert done.stderr.splitlines()[0] == (
        "--grid: 2 x 2 = 4 combinations of epochs=1,2 and lr=0.05,0.2, 4 tasks."
    )  # fmt: skip
    assert "✓ tiny · folder/bolts · epochs=2 lr=0.05 · seed 0" in done.stderr


def test_runs_of_a_grid_are_those_of_single_commands(gridded, tiny_data):
    """The same options without --grid find the stored run: a grid names nothing differently."""
    _, results = gridded
    single = run_tiny(tiny_data, results, "-c", "bolts", "-o", "epochs=2", "-o", "lr=0.2")
    assert "= tiny · folder/bolts · seed 0: already there" in single.stderr


def test_stored_runs_have_the_same_table(gridded):
    """``leaderboard --by-option`` shows it of any stored runs, for any of their options."""
    done, results = gridded
    where = ("--results", results, "--format", "json")
    (table,) = json.loads(adbench("leaderboard", "--by-option", "epochs,lr", *where).stdout)
    assert table["rows"] == json.loads(done.stdout)[1]["rows"]
    wrong = adbench("leaderboard", "--by-option", "epoch", *where)
    assert (wrong.exit_code, "unknown option among the results 'epoch'" in wrong.stderr) == (2, True)


def test_a_failing_combination_leaves_the_others(tiny_data, tmp_path):
    """The exit code is 1, the table has what there is, and the failed task is named with its values."""
    words = ("-c", "bolts", "--grid", "-o", "epochs=1", "-o", "fail_class=bolts,nuts")
    done = run_tiny(tiny_data, tmp_path, *words)
    assert done.exit_code == 1
    assert "✗ tiny · folder/bolts · fail_class=bolts · seed 0: this class fails on purpose." in done.stderr
    assert "1 of 2 tasks failed; the others are stored." in done.stderr
    assert "by the value of an option" in done.stdout
