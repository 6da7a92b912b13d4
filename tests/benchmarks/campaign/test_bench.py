"""What counts as a right result, a clear message and a fault."""

from __future__ import annotations

from dataclasses import replace

import click
import numpy as np
import pytest
from hypothesis import find, settings
from runs import posix_only

from adbench.data import image_store
from adbench.data.decode import Decoded
from benchmarks.campaign import bad_run_files, data, inputs
from benchmarks.campaign.bench import Bench, Verdict, clear_or_fault
from benchmarks.campaign.children import Ended
from benchmarks.campaign.tally import Row


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A place with clean images."""
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.mark.parametrize(
    ("code", "errors", "outcome"),
    [
        (2, "note\nError: images/a.png: found nothing.", "clear"),
        (1, "✗ bright: it broke off.", "clear"),
        (1, "✗ a\n✗ b", "fault"),
        (1, "", "fault"),
        (3, "Error: a", "fault"),
        (1, "Error: a\nTraceback of KeyError()", "fault"),
        (1, "✗ bright broke off: found KeyError: 'a'. See the traceback with --debug.", "fault"),
    ],
)
def test_a_failure_needs_one_clear_message(code, errors, outcome):
    """One line, exit code 1 or 2, no traceback, and no error that nobody has foreseen."""
    assert clear_or_fault(Ended(code, "", errors)).outcome == outcome


def test_numbers_are_compared_to_the_last_bit(bench):
    """The clean images are right; without one of them the result is right only if it is named as left out."""
    with bench.new() as folder:
        assert bench.judge_run(folder, (), [bench.reference("clean")]).outcome == "right"
    name = "test/good/001.png"
    without = bench.reference(f"without {name}", lambda place: (place / name).unlink())
    for words, outcome in (((), "clear"), (("--skip-bad",), "right")):
        with bench.new() as folder:
            (folder / "images" / data.CLASS / name).write_bytes(b"")
            assert bench.judge_run(folder, words, [bench.reference("clean")], [without], name).outcome == outcome
    with bench.new() as folder:
        (folder / "images" / data.CLASS / name).unlink()
        wrong = bench.judge_run(folder, (), [bench.reference("clean")], [without], name)
        assert wrong == Verdict("fault", f"{name} is left out and not named")
    with bench.new() as folder:
        wrong = bench.judge_run(folder, ("--size", "32"), [bench.reference("clean")])
        assert wrong.outcome == "fault"


def test_a_broken_product_is_reported(bench, monkeypatch):
    """A decoder that takes broken files for black images gives other numbers in silence, which is a fault."""
    decode = image_store.decode_sample

    def lenient(sample, framing):
        found = decode(sample, framing)
        black = Decoded(np.zeros((*framing.size, 3), np.uint8), None, framing.size, b"")
        return found if isinstance(found, Decoded) else black

    monkeypatch.setattr(image_store, "decode_sample", lenient)
    with bench.new() as folder:
        (folder / "images" / data.CLASS / "test/good/001.png").write_bytes(b"")
        verdict = bench.judge_run(folder, (), [bench.reference("clean")])
    assert verdict == Verdict("fault", "other numbers in silence, skipped ()")


@pytest.mark.slow
def test_run_files_of_a_broken_product_are_faults(bench, monkeypatch):
    """The simplest file is right; a reader that breaks, or takes other images than the file's, is reported."""

    def simplest(strategy):
        return find(strategy, lambda _: True, settings=settings(database=None))

    with bench.new() as folder:
        assert bad_run_files.try_same_file(simplest, bench, folder) == Verdict("right")
    whole = bench.reference("clean")
    monkeypatch.setattr(bench, "reference", lambda name: replace(whole, metrics={}))
    with bench.new() as folder:
        assert bad_run_files.try_same_file(simplest, bench, folder).outcome == "fault"
    monkeypatch.setattr("adbench.run.run_file.read", lambda *_: {}["nothing"])
    with bench.new() as folder:
        assert bad_run_files.try_broken_file(simplest, bench, folder).outcome == "fault"


@posix_only
def test_a_command_that_hangs_is_a_fault(bench, monkeypatch, tmp_path):
    """It is stopped after its seconds of the processor."""
    monkeypatch.setattr("benchmarks.campaign.bench.FEW_SECONDS", 0.05)
    monkeypatch.setattr("benchmarks.campaign.bench.app", _endless)
    ended = bench.run((), tmp_path)
    assert clear_or_fault(ended).outcome == "fault"


@click.command()
def _endless() -> None:
    while True:
        pass


def test_inputs_are_drawn_by_the_seed(tmp_path, monkeypatch):
    """The same seed tries the same inputs, as many as were asked for, and a fault is told with what was drawn."""
    seen: list[list[int]] = []

    def attempt(draw, bench, folder):
        number = draw(inputs.st.integers(0, 10**9))
        seen[-1].append(number)
        return Verdict("fault", "wrong") if number % 2 else Verdict("right")

    monkeypatch.setattr(inputs, "KINDS", {"numbers": (80, (attempt,))})
    rows: list[Row] = []
    for seed in (1, 1, 2):
        seen.append([])
        rows.append(inputs.campaign(tmp_path / str(len(seen)), "numbers", 0.1, seed, "bad inputs: numbers"))
    assert seen[0] == seen[1] != seen[2]
    assert [row.tried for row in rows] == [8, 8, 8]
    odd = [number for number in seen[0] if number % 2]
    assert rows[0].faults == [f"attempt({number}): wrong" for number in odd]
