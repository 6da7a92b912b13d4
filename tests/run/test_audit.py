"""Stored outcomes of check-method, beside the code at hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import bad_methods as bad
import pytest
from made_results import make_audit

from adbench.api import registry as plugins
from adbench.results import audits
from adbench.run.audit import Auditor
from adbench.run.check_outcome import CheckResult
from adbench.util.numerics import NUMERICS

PLUGIN = Path(bad.__file__)
FOUND = (CheckResult("works on the CPU", "passed", "2 epochs"), CheckResult("works on a GPU", "skipped", "none here"))


@pytest.fixture
def plugin(tmp_path) -> Path:
    """A copy of the plugin file, which a test may edit."""
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def test_an_audit_is_current_until_the_code_changes(tmp_path, plugin):
    """A comment changes nothing, another number does; checking the new code takes the old one's place."""
    auditor = Auditor(plugins.load([plugin]))
    auditor.store(tmp_path, "Honest", None, {"size": (32, 40)}, FOUND)
    (stored,), _ = audits.read_all(tmp_path)
    assert (stored.preset, stored.overrides, stored.numerics) == ("paper", {"size": [32, 40]}, NUMERICS)
    assert [(each.check, each.reason) for each in stored.checks] == [(each.check, each.reason) for each in FOUND]
    assert "torch" in stored.environment.packages

    def state() -> str:
        return Auditor(plugins.load([plugin])).inspect(audits.read_all(tmp_path)[0])["Honest"][0].state

    assert state() == "current"
    plugin.write_text(plugin.read_text() + "\n# a remark\n", encoding="utf-8")
    assert state() == "current"
    plugin.write_text(plugin.read_text() + "\nNUMBER = 3\n", encoding="utf-8")
    assert state() == "stale"
    Auditor(plugins.load([plugin])).store(tmp_path, "Honest", None, {"size": (32, 40)}, FOUND)
    assert len(audits.read_all(tmp_path)[0]) == 1
    assert state() == "current"


def test_code_that_is_not_at_hand_is_that_of_the_runs():
    """Without either nobody knows whether it was this code."""
    none = plugins.Registry({}, {})
    made = make_audit()
    states = [Auditor(none, codes).inspect([made])["a"][0].state for codes in ({}, {"a": {made.code}}, {"a": {"1"}})]
    assert states == ["unchecked", "current", "stale"]


def test_other_numerics_and_another_backbone_are_other_code():
    """A backbone of a plugin that is not here leaves it open."""
    auditor = Auditor(plugins.Registry({}, {}), {"a": {make_audit().code}})

    def state(**changes: object) -> str:
        return auditor.inspect([make_audit(**changes)])["a"][0].state

    assert state(numerics=NUMERICS - 1) == "stale"
    assert state(backbones={"backbone.mine": "x"}) == "unchecked"
    assert state(backbones={"backbone.timm:vit_tiny": "strides"}) == "stale"
    assert state(backbones={"backbone.timm:vit_tiny": "layers are blocks"}) == "current"


def test_the_first_audit_says_most_about_the_present_code():
    """The present code comes before other code, no changes before some, and new before old."""
    made = make_audit()
    others = [
        make_audit(overrides={"lr": 0.1}, checked="2026-03-01"), make_audit(code="1" * 16, checked="2026-04-01"),
        make_audit(environment=replace(made.environment, device_name="old"), checked="2025-01-01"),
    ]  # fmt: skip
    found = Auditor(plugins.Registry({}, {}), {"a": {made.code}}).inspect([*others, made])["a"]
    assert [each.audit for each in found] == [made, others[2], others[0], others[1]]
    assert found[0].text == "audited on 2026-01-02 with this code: 1 check passed, 1 skipped (works on a GPU)"
    assert found[2].text.startswith("audited on 2026-03-01 with this code, as a:cpu,lr=0.1: ")
    assert found[3].text.startswith("audited on 2026-04-01 with other code: ")
