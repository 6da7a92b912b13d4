"""What check-method found, as lists, the report and the site show it."""

from __future__ import annotations

from dataclasses import replace

from made_results import make_audit, make_result, records_of

from adbench.api.registry import Registry
from adbench.report import audits
from adbench.results import audits as stored
from adbench.results.audits import Check
from adbench.results.records import Identity

NONE = Registry({}, {})
FAILED = (Check("a", "failed", "why"), Check("b", "passed"))
RUN = replace(make_result("a"), identity=Identity("data", make_audit().code, 1))


def test_the_audits_of_several_folders_are_one_list(tmp_path):
    """Of the same one the newest counts, and files that can't be used are named."""
    newer = make_audit(checked="2026-05-01T00:00:00+00:00")
    for name, audit in (("x", newer), ("y", make_audit()), ("y", make_audit("b"))):
        stored.write(tmp_path / name, audit)
    stored.write(tmp_path / "x", make_audit("c")).write_text("{}")
    said: list[str] = []
    folders = [tmp_path / "x", tmp_path / "y", tmp_path / "none"]
    found = audits.read(folders, NONE, methods=["a", "c"], results=[RUN], warn=said.append)
    assert {name: [each.audit for each in some] for name, some in found.items()} == {"a": [newer]}
    assert found["a"][0].state == "current"
    assert len(said) == 1
    assert audits.read([tmp_path / "none"], NONE) == {}


def test_tables_say_what_is_audited(tmp_path):
    """A row for each method, also for one without an audit; and the checks of the first audit."""
    for audit in (make_audit(), make_audit(overrides={"lr": 0.1}), make_audit("b", checks=FAILED)):
        stored.write(tmp_path, audit)
    stored.write(tmp_path, make_audit("d", code="1" * 16))
    found = audits.read([tmp_path], NONE, results=[RUN, replace(RUN, method="b"), replace(RUN, method="d")])
    overview = audits.overview(found, ["a", "b", "c", "d"])
    assert [row["audit"] for row in records_of(overview)] == [
        "audited on 2026-01-02 with this code: 1 check passed, 1 skipped (works on a GPU)",
        "audited on 2026-01-02 with this code: 1 of 2 checks failed (a)",
        "not audited",
        "audited on 2026-01-02 with other code: 1 check passed, 1 skipped (works on a GPU)",
    ]
    assert audits.brief(found) == {"a": "passed", "b": "1 failed", "d": "other code"}
    table = audits.checks(found, "a")
    assert [row["outcome"] for row in records_of(table)] == ["passed", "skipped"]
    assert "adbench 0.1.0, torch 2.6" in table.notes[0]
    assert table.notes[1].startswith("Also audited on 2026-01-02 with this code, as a:cpu,lr=0.1")
    assert audits.checks(found, "c") is None
