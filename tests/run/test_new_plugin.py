"""New plugins: their names are checked, they are the sample under another name, and their tests pass."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench import Dataset, Method
from adbench.api import registry
from adbench.run import new_plugin
from adbench.run.new_plugin import NewPlugin
from adbench.util.errors import UsageError

SAMPLE = Path(__file__).parents[2] / "docs" / "sample_plugin"

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,6}([-_][a-z0-9]{1,5}){0,3}", fullmatch=True) | st.sampled_from(
    ["detector", "backbone", "none", "true", "scores", "epoch", "positive", "preset", "method", "class"]
)

NOTHING = registry.Registry({}, {})


def test_the_sample_of_the_docs_is_what_is_written():
    """The templates and ``docs/sample_plugin`` have the same files with the same content."""
    there = [path for path in SAMPLE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    found = {path.relative_to(SAMPLE).as_posix(): path.read_text(encoding="utf-8") for path in there}
    assert found == NewPlugin("sample", "method").texts()


@settings(max_examples=30)
@given(name=NAMES, kind=st.sampled_from(["method", "dataset"]))
def test_any_name_makes_a_plugin_that_offers_it(name, kind):
    """The module compiles, and its hook returns one method or data set of that name."""
    plugin = new_plugin.plan(name, kind, NOTHING)
    texts = plugin.texts()
    names = {"__name__": "made_plugin"}
    for path, text in texts.items():
        assert "$" not in text
        if path.endswith(".py"):
            compile(text, path, "exec")
    exec(compile(texts[f"{plugin.module}.py"], "made", "exec", dont_inherit=True), names)
    (offered,) = names["adbench_methods" if kind == "method" else "adbench_datasets"]()
    assert isinstance(offered, Method if kind == "method" else Dataset)
    assert offered.name == name


@pytest.mark.parametrize(
    ("name", "near"),
    [("My-Method", "my-method"), ("my method", "my-method"), ("x--y", "x-y"), ("a/b", "a-b"), ("../up", "up")],
)
def test_a_wrong_name_is_refused_with_a_right_one(name, near):
    """Names are those of a module, a package, a folder and a method at once."""
    with pytest.raises(UsageError, match=f"Did you mean '{near}'"):
        new_plugin.plan(name, "method", NOTHING)


@pytest.mark.parametrize("name", ["", "2d", "-", "é", "a" * 41, "all"])
def test_no_name_at_all_is_refused(name):
    """An empty name, one that begins with a digit, a long one, and the word for all methods."""
    with pytest.raises(UsageError):
        new_plugin.plan(name, "method", NOTHING)


@pytest.mark.parametrize(
    ("name", "kind", "taken"),
    [
        ("padim", "method", "adbench-suite"), ("demo", "dataset", "adbench-suite"),
        ("plugins", "method", "module adbench_plugins"), ("suite", "method", "package adbench-suite"),
    ],
)  # fmt: skip
def test_a_taken_name_is_refused(name, kind, taken):
    """The method, the data set, the module or the installed package exists already."""
    with pytest.raises(UsageError, match=taken):
        new_plugin.plan(name, kind, registry.load())


def test_an_existing_folder_is_refused_and_stays(tmp_path):
    """Not even an empty folder, or a file, is written over."""
    plugin = NewPlugin("mine", "method")
    for place in (tmp_path / "empty", tmp_path / "file"):
        place.mkdir() if place.name == "empty" else place.write_text("mine")
        with pytest.raises(UsageError, match="exists already"):
            new_plugin.write(plugin, place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_plugin_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    """A full disk leaves no half of a package."""

    def stop(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", stop)
        with pytest.raises(UsageError, match="No space left"):
            new_plugin.write(NewPlugin("mine", "method"), tmp_path / "new" / "mine")
    assert list((tmp_path / "new").iterdir()) == []
    written = new_plugin.write(NewPlugin("mine", "method"), tmp_path / "new" / "mine")
    assert [path.as_posix() for path in written] == [
        "adbench_mine.py", "pyproject.toml", "README.md", "tests/test_mine.py",
    ]  # fmt: skip


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a plugin, and makes its module importable for one test."""

    def write(name: str, kind: new_plugin.Kind) -> Path:
        plugin = new_plugin.plan(name, kind, NOTHING)
        new_plugin.write(plugin, tmp_path / plugin.distribution)
        monkeypatch.syspath_prepend(tmp_path / plugin.distribution)
        return tmp_path / plugin.distribution

    modules = set(sys.modules)
    yield write
    for name in set(sys.modules) - modules:
        if name.startswith("adbench_"):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "kind"), [("made-parts", "dataset"), pytest.param("made-method", "method", marks=pytest.mark.slow)]
)
def test_its_own_test_passes(written, name, kind, monkeypatch):
    """Pytest in the new folder passes as it stands."""
    folder = written(name, kind)
    monkeypatch.chdir(folder)
    assert pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder / "tests")]) == 0
