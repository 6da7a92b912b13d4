"""Lists of methods and their options."""

from __future__ import annotations

from dataclasses import dataclass

from adbench import Dataset, Method, Options, Preset, Task
from adbench.api import DataOptions
from adbench.api.registry import Registry
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


def test_the_options_of_a_reader_have_types_defaults_and_meanings():
    """The list of data sets says which have options; one without any has an empty list."""

    @dataclass(frozen=True)
    class Reads(DataOptions):
        share: float = 0.5
        """A part."""

    made = Dataset("made", "", lambda root: [], lambda root, name: Task("made", name, root, ()), options=Reads())
    bare = Dataset("bare", "", made.classes, made.load)
    table = lists.options_of_dataset(made)
    assert [table.column(key) for key in ("option", "type", "default")] == [["share"], ["a number"], ["0.5"]]
    assert lists.options_of_dataset(bare).rows == ()
    noted = [lists.datasets(Registry({}, {each.name: each})).notes for each in (made, bare)]
    assert noted == [("adbench list datasets NAME shows options (made)",), ()]
