"""Lists of methods and their options."""

from __future__ import annotations

from adbench import Method, Options, Preset
from adbench.report import lists


def method(*, per_class: dict[str, dict[str, object]]) -> Method:
    presets = {"paper": Preset(Options(), per_class=per_class), "cpu": Preset(Options(batch_size=2))}
    return Method("made", "A method", build=lambda options, device: None, options=Options, presets=presets)


def test_the_star_is_explained_only_where_there_is_one():
    """A preset that varies by class has a star at the options concerned, and a note below."""
    plain, starred = (lists.options_of(method(per_class=each)) for each in ({}, {"d/a": {"size": (64, 64)}}))
    assert plain.column("paper")[0] == "256x256"
    assert starred.column("paper")[0] == "256x256*"
    assert starred.column("cpu")[0] == "256x256"
    assert [any(note.startswith("*") for note in table.notes) for table in (plain, starred)] == [False, True]
