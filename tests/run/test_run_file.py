"""Run files: the form of a suite in TOML, and what is said about a wrong one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.run import run_file
from adbench.run.run_file import KEYS, RunFile
from adbench.util.errors import UsageError
from adbench.util.toml_files import Value

FILE = Path("work/suite.toml")

SMALLEST = """
data = "demo"
classes = ["brick"]
methods = ["random", {name = "padim", options = {dimensions = [50, 100]}}]
seeds = [0, 1]
preset = "cpu"
"""


def parsed(text: str) -> RunFile:
    return run_file.parse(text, FILE, ("preset",))


def test_the_smallest_file_says_what_it_says():
    """Names, tables and lists become records; the options of the command are kept by key."""
    found = parsed(SMALLEST)
    assert [entry.name for entry in found.data] == ["demo"]
    assert found.classes == ("brick",)
    assert [(entry.name, [*entry.options]) for entry in found.methods] == [("random", []), ("padim", ["dimensions"])]
    assert found.methods[1].where == f"{FILE}: methods[1]"
    assert found.seeds == (0, 1)
    assert found.others["preset"].value == "cpu"
    assert found.settings is None


def test_several_data_sets_are_a_list_or_an_array_of_tables():
    """Both forms are the same; roots are relative to the file."""
    tables = '[[data]]\nname = "mvtec"\nroot = "d"\n[[data]]\nname = "folder"\nroot = "/p"\nclasses = "a"\n'
    listed = 'data = [{name = "mvtec", root = "d"}, {name = "folder", root = "/p", classes = ["a"]}]'
    assert parsed(tables).data == parsed(listed).data
    assert [entry.root for entry in parsed(listed).data] == [Path("work/d"), Path("/p")]
    assert parsed(listed).data[1].classes == ("a",)


@pytest.mark.parametrize(
    ("text", "settings_"),
    [
        ("shots = 4", [("few-shot", 4)]),
        ('setting = "multi-class"', [("multi-class", None)]),
        (
            'setting = ["one-class", "few-shot"]\nshots = [1, 2]',
            [("one-class", None), ("few-shot", 1), ("few-shot", 2)],
        ),
    ],
)
def test_settings_are_one_or_several(text, settings_):
    """Few-shot is there once for each number of shots; shots alone mean few-shot."""
    assert list(parsed(text).settings) == settings_


def test_a_name_that_is_no_file_leads_to_the_option_for_methods(tmp_path):
    """Who writes ``adbench run padim`` is told how a method is given; a name with a suffix is a file."""
    with pytest.raises(UsageError, match=r"no such file, wanted a run file\. A method is given as --method .*padim"):
        run_file.read(tmp_path / "padim", ())
    with pytest.raises(UsageError, match="wanted a TOML file"):
        run_file.read(tmp_path / "padim.toml", ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('method = "padim"', "method: found an unknown key, wanted one of amp, aux, backbone,"),
        ('dataset = "demo"', "Did you mean 'data'?"),
        ("methods = []", "methods: found an empty list"),
        ("methods = [1]", "methods[0]: found 1, wanted"),
        ("methods = [{options = {a = 1}}]", 'methods[0]: found no name, wanted a name = "...".'),
        ('methods = [{name = "a", option = {b = 1}}]', "methods[0].option: found an unknown key"),
        ('methods = [{name = "a", options = 3}]', "methods[0].options: found 3, wanted a table of options."),
        ("seeds = 3", "seeds: found 3, wanted a list such as [0, 1, 2]."),
        ("seeds = [0, -1]", "seeds[1]: found -1, wanted a whole number from 0 to 4294967295."),
        ('data = {root = "x"}', "data: found no name"),
        ('data = ["demo", "demo"]', "data: found 'demo' twice, wanted each data set once, or with other options."),
        ('setting = "some"', "setting: found 'some', wanted one of one-class, multi-class, few-shot, zero-shot"),
        ('setting = "few-shot"', "setting: found few-shot without shots, wanted shots = K as well"),
        ('setting = "one-class"\nshots = 2', 'shots: found setting one-class, wanted setting = "few-shot".'),
        ("shots = 0", "shots: found 0, wanted a whole number from 1 up."),
        ("size = 64\noptions = {size = 128}", "options.size: found it twice"),
        ("classes = [1]", "classes[0]: found 1"),
        ("data demo", ", line 1, column 6: Expected '='"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_key(text, said):
    """One short message names the file, the key, what was found and what was wanted."""
    with pytest.raises(UsageError) as caught:
        parsed(text)
    assert str(caught.value).startswith(str(FILE))
    assert said in str(caught.value)


LEAVES = st.none() | st.booleans() | st.integers(-2, 10) | st.floats(allow_nan=True) | st.sampled_from(["a", "", "all"])
ANY = st.recursive(
    LEAVES.filter(lambda each: each is not None),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "root", "options", "aux", "classes", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from([*KEYS, "preset", "other"]), ANY, max_size=4))
def test_any_values_are_a_run_file_or_a_mistake_with_file_and_key(content):
    """Whatever stands at a key, the file is read or refused in a message that begins with the file and the key."""
    said = ""
    try:
        found = run_file.of_value(Value(FILE, "", content), ("preset",))
    except UsageError as error:
        said = str(error)
    if said:
        assert re.match(re.escape(str(FILE)) + ": (" + "|".join(map(re.escape, content)) + r")\b", said)
    else:
        assert bool(found.data) == ("data" in content)
