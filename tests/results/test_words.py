"""Runs are found by the words of tables, and an ambiguous text names the words that pick each."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from made_results import make_result

from adbench.results.words import LISTED, Words, model_of
from adbench.util.errors import UsageError


def named(*runs):
    return [replace(run, run=f"{run.preset}-seed{run.seed}-{number:04x}") for number, run in enumerate(runs, 0xA0)]


@pytest.fixture
def stored():
    """A preset on two classes, a second seed of it, another size, and a method whose name begins like the first."""
    return named(
        make_result("a", "bolts", preset="cpu"),
        make_result("a", "nuts", preset="cpu"),
        make_result("a", "nuts", preset="cpu", seed=1),
        make_result("a", "bolts", preset="cpu", overrides={"dimensions": 80}),
        make_result("a2", "bolts", preset="cpu"),
        make_result("b", "bolts", preset="cpu", amp="bf16"),
        make_result("b", "bolts", preset="cpu", amp="off"),
    )


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("a:cpu", [0, 1, 2]),
        ("bolts/a:cpu", [0]),
        ("a:cpu/nuts/seed1", [2]),
        ("folder/nuts/a:cpu/seed0", [1]),
        ("a:cpu,dimensions=80", [3]),
        ("folder/bolts/a", [0, 3]),
        ("folder/bolts/a/", [0, 3]),
        ("bolts/a2", [4]),
        ("cpu-seed1", [2]),
        ("bolts/cpu-seed0-00a4", [4]),
        ("b:cpu,amp=bf16", [5]),
        ("b:cpu", [5, 6]),
        ("bolts/bolts", []),
        ("bolt", []),
        ("", []),
    ],
)
def test_words_of_tables_pick_runs(stored, text, numbers):
    """A variant is meant as it is called; data set, class, method, seed and the beginning of a name narrow it down."""
    assert Words(stored).fitting(text) == [stored[number] for number in numbers]


def test_the_words_of_each_run_pick_it(stored):
    """They are short: the variant alone where that is enough."""
    words = Words(stored)
    picked = [words.picking(run) for run in stored]
    assert [words.fitting(text) for text in picked] == [[run] for run in stored]
    assert picked[:4] == ["bolts/a:cpu", "nuts/a:cpu/seed0", "a:cpu/seed1", "a:cpu,dimensions=80"]


def test_runs_of_equal_words_are_told_by_their_names(stored):
    """Runs of other code or images have the same variant, class and seed."""
    twins = [stored[0], replace(stored[0], run="cpu-seed0-ffff"), replace(stored[0], class_name="nuts")]
    words = Words(twins)
    assert words.picking(twins[1]) == "cpu-seed0-ffff"
    assert [model_of(run) for run in words.fitting(words.picking(twins[0]))] == [model_of(twins[0])]


def test_an_ambiguous_text_is_an_error_with_the_words_of_each(stored):
    """Each is as a shell takes it; some ten are listed, and the number of the others is said."""
    error = Words(stored).ambiguous("a:cpu", stored[:3])
    assert isinstance(error, UsageError)
    assert str(error) == (
        "run 'a:cpu': found 3 runs, wanted words that only one has. "
        "Give bolts/a:cpu or nuts/a:cpu/seed0 or a:cpu/seed1."
    )
    many = named(*(make_result("a", "bolts", seed=seed) for seed in range(LISTED + 2)))
    text = str(Words(many).ambiguous("a", many))
    assert text.count(" or a/seed") == LISTED - 1
    assert "or one of 2 more: see adbench list runs" in text


def test_a_variant_with_strokes_and_stars_is_found(stored):
    """Options of a data set's reader are in its name."""
    run = replace(make_result("a", "bolts", preset="cpu", overrides={"weights": "x/*.pt"}), run="cpu-seed0-ffff")
    words = Words([*stored, run])
    assert words.fitting(f"bolts/{words.picking(run)}/seed0") == [run]
    assert shlex.quote(words.picking(run)) in str(words.ambiguous("a", [run, stored[0]]))
