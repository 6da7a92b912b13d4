"""The campaign's table, and the file of what is done."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from benchmarks.campaign.command import Campaign, Step
from benchmarks.campaign.tally import NOT_RUN, Kept, Row, show


def printed(rows, **words) -> list[str]:
    stream = io.StringIO()
    show(rows, Console(file=stream, width=140), **words)
    return [line.replace("│", " ").strip() for line in stream.getvalue().splitlines()]


def test_the_table_adds_up_and_names_each_fault():
    """Tries are the sum of all ends; a fault is told below; what was skipped or not run is said."""
    rows = [
        Row("kills", right=7, clear=2, faults=["kill at 3: lost"], seconds=4),
        Row("ray", skipped="skipped: no ray"),
        Row("kills", right=1, seconds=1.2),
        Row("kills", skipped=NOT_RUN),
    ]
    lines = printed(rows, seed=3, share=0.3)
    assert "0.3 of the campaign, seed 3" in lines[0]
    (line,) = [line for line in lines if line.startswith("kills")]
    assert line.split() == ["kills", "2", "of", "3", "11", "8", "2", "1", "5"]
    assert [line.split() for line in lines if line.startswith("ray")] == [
        ["ray", "skipped:", "no", "ray", "-", "-", "-", "-", "-"]
    ]
    assert [line.split() for line in lines if line.startswith("all")] == [
        ["all", "2", "of", "4", "11", "8", "2", "1", "5"]
    ]
    assert "FAULT kills: kill at 3: lost" in lines
    assert rows[0].text == "tried 10, right result 7, clear message 2, faults 1, 4 s; kill at 3: lost"


def test_a_stopped_campaign_goes_on_from_its_rows(tmp_path, monkeypatch):
    """A row that is kept is not tried again; without time the others are named as not run; another seed starts anew."""
    tried: list[tuple[int, str]] = []

    def steps(campaign: Campaign, parts: object) -> list[Step]:
        def run(what: str) -> Row:
            tried.append((campaign.tenth, what))
            if len(tried) == 3:
                raise KeyboardInterrupt
            return Row(what, right=campaign.tenth + 1)

        return [Step("a", run), Step("b", run)]

    monkeypatch.setattr(Campaign, "steps", steps)

    def rows(seed: int = 0, seconds: float = math.inf) -> list[Row]:
        kept = Kept(tmp_path / "rows.jsonl", seed, 0.2)
        return list(Campaign(seed, 0.2, tmp_path, print).rows((), kept, seconds))

    with pytest.raises(KeyboardInterrupt):
        rows()
    assert [row.skipped for row in rows(seconds=0)] == ["", "", NOT_RUN, NOT_RUN]
    assert [(row.what, row.right) for row in rows()] == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert tried == [(0, "a"), (0, "b"), (1, "a"), (1, "a"), (1, "b")]
    assert len(rows(seed=1)) == 4
    assert len(tried) == 9


def test_ten_tenths_are_the_whole_campaign(tmp_path):
    """Each write gets its full disk once, and all kills are in one of the tenths."""
    from benchmarks.campaign import command, disks, kills

    whole = Campaign(0, 1.0, tmp_path, print)
    assert [each.tenth for each in whole.tenths()] == list(range(10))
    assert len(Campaign(0, 0.1, tmp_path, print).tenths()) == 1
    killed = [step.run.args[1] for each in whole.tenths() for step in each.steps(["kills"])]
    assert sum(killed) == command.KILLS
    starts: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Campaign, "_bright", lambda campaign: None)
        patch.setattr(disks, "full", lambda victim, what, every, start: starts.append(start) or Row(what))
        patch.setattr(kills, "campaign", None)
        for each in whole.tenths():
            first, _ = each.steps(["disks"])
            first.run(first.what)
    assert sorted(starts) == list(range(10))
