"""The files of a reproduction: JSON for programs and a page for people."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path

import pytest
from known_method import number
from made_ledgers import known_result, make_ledger
from made_results import records_of
from rich.console import Console

from adbench.report import ledger, ledger_page
from adbench.report.render import terminal
from adbench.results import serialization
from adbench.util.errors import ResultError

BOTH = (
    known_result("bottle", 0.99, pixel=0.97, aupro=0.9, oracle={"image_auroc": 0.995}),
    known_result("screw", 0.994, pixel=0.9, aupro=0.94, oracle={"image_auroc": 0.999}),
)


def test_json_is_read_back_as_it_was(tmp_path):
    """All fields survive, with every digit; numbers that are missing are null."""
    found = make_ledger([*BOTH, known_result("zipper", math.nan)], failed={"known · mvtec/cable · seed 0": "broken"})
    ledger_page.write(found, tmp_path / "new" / "folder")
    text = (tmp_path / "new" / "folder" / "ledger.json").read_text(encoding="utf-8")
    again = serialization.from_text(ledger.Ledger, text)
    assert (again.rows, again.means) == (found.rows, found.means)
    assert (again.schema, again.complete, again.failed) == (1, False, found.failed)
    assert again.environments[0].packages == {"torch": "2.6"}
    content = json.loads(text)
    (row,) = [each for each in content["rows"] if each["class_name"] == "zipper" and each["policy"] == "oracle"]
    assert (row["ours"], row["published"], row["gap"], row["flagged"]) == (None, None, None, False)
    assert content["runs"][2]["metrics"]["image_auroc"] is None


def test_the_summary_has_a_row_for_each_metric_and_policy():
    """It counts the classes with flagged gaps, and has the means."""
    summary, *others = ledger_page.tables(make_ledger(BOTH))
    shown = [(row["metric"], row["policy"], row["classes"], row["above"]) for row in records_of(summary)]
    assert shown == [
        ("image_auroc", "last", 2, "0 of 2"),
        ("image_auroc", "oracle", 2, "0 of 2"),
        ("pixel_auroc", "unknown", 1, "1 of 1"),
        ("aupro", "last", 2, "0 of 0"),
    ]
    assert records_of(summary)[0]["gap"] == pytest.approx(0.992 - 0.9945)
    assert len(others) == 4
    assert [row["class"] for row in records_of(others[0])] == ["bottle", "screw"]


def test_at_80_columns_each_part_of_the_summary_says_which_epoch_a_row_is():
    """A row of the last epoch and one of the oracle, as the note calls it, differ in every part of the table."""
    summary, *_ = ledger_page.tables(make_ledger(BOTH))
    console = Console(width=80, file=io.StringIO(), highlight=False)
    console.print(terminal.to_rich(summary, 80))
    lines = console.file.getvalue().splitlines()
    parts = sum(line.startswith("───") for line in lines)
    assert parts > 1
    rows = [line for line in lines if line.startswith("known   image AUROC")]
    assert [("last" in row, "oracle" in row) for row in rows] == [(True, False), (False, True)] * parts


def test_a_page_over_some_classes_says_how_many():
    """One of three classes is no complete data set, even if every task that was asked for has a result."""
    text = ledger_page.to_markdown(make_ledger(BOTH[:1], classes=("bottle", "screw", "cable")))
    assert "\n\nComplete: 1 of 3 classes. 1 of 3 compared" in text
    assert "\n\nComplete. " in ledger_page.to_markdown(make_ledger(BOTH))


def test_each_table_says_what_its_numbers_are():
    """Unknown epochs, classes without a number on either side, and a mean that can't be compared are notes."""
    results = [*BOTH[:1], known_result("screw", None), known_result("zipper")]
    tables = ledger_page.tables(make_ledger(results, classes=("bottle", "screw", "zipper", "cable")))
    notes = ["\n".join(table.notes) for table in tables]
    assert "oracle: chosen on the test set, never ranks." in notes[0]
    assert "Published: the paper." in notes[1]
    assert "Not published: zipper." in notes[1]
    assert "Not defined in our runs: screw." in notes[1]
    assert "The source doesn't say of which epoch" in notes[3]
    assert "ours is over 3 of 4: no gap." in notes[4]


def test_the_page_has_all_that_is_asked_of_evidence():
    """Numbers and flags, environment, fingerprints, command, and how to send it in."""
    found = make_ledger([*BOTH, known_result("zipper")], failed={"known · mvtec/cable · seed 0": "broken"})
    text = ledger_page.to_markdown(found)
    assert "Not complete. 1 of 5 compared numbers of classes are more than 0.5 points away" in text
    assert re.search(r"\| bottle \| 99.00 \| 99.50 \| -0.50 \| within 0.5 \|", text)
    assert re.search(r"\| bottle \| 97.00 \| 98.00 \| -1.00 \| above 0.5 \|", text)
    for part in (
        "1 task failed: known · mvtec/cable · seed 0: broken", "a processor \\(cpu, 2 threads\\)", "torch 2.6",
        "    adbench reproduce known -d mvtec\n", "ledger.json", "docs/ledger.md", "arXiv 0000.00000", "last epoch",
    ):  # fmt: skip
        assert part.replace("\\(", "(").replace("\\)", ")") in text


def test_names_of_other_people_stay_in_their_cells():
    """A class or source with pipes, line ends and control characters breaks neither table nor page."""
    odd = "a|b\n# c\x1b"
    results = [known_result(odd)]
    text = ledger_page.to_markdown(
        make_ledger(results, [number(odd, "image_auroc", 90.0, source=odd)], classes=(odd,), command=odd)
    )
    assert "\x1b" not in text
    assert "\n# c" not in text
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 6 for line in text.splitlines() if line.startswith("| a"))


def test_a_folder_that_cant_be_written_is_an_error(tmp_path):
    """It names the folder and the option."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match=r"file can't be written.*--output"):
        ledger_page.write(make_ledger(BOTH), Path(tmp_path / "file"))
