from __future__ import annotations

import importlib
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from adbench import Dataset, Method, hookimpl
from adbench.api import Tracker
from adbench.api import registry as plugins
from adbench.api.options import option_types
from adbench.util.errors import PluginError, UnknownNameError


def module(name, **hooks):
    made = ModuleType(name)
    for hook, function in hooks.items():
        setattr(made, hook, hookimpl(function))
    return made


def install(monkeypatch, **modules):
    """Pretend that these modules are all that is installed."""

    class Point:
        dist = None

        def __init__(self, name, value):
            self.name = self.value = self.module = name
            self.loads = value

        def load(self):
            if isinstance(self.loads, Exception):
                raise self.loads
            return self.loads

    points = [Point(name, value) for name, value in modules.items()]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)


def method(name):
    return Method(name, "", lambda options, device: None)


def dataset(name):
    return Dataset(name, "", lambda root: [], lambda root, class_name: None)


def test_the_built_in_plugins_come_through_the_entry_points():
    """The core has no list of plugins: it finds the installed ones."""
    registry = plugins.load()

    assert registry.broken == ()
    assert {"msflow", "cflow", "padim", "random"} <= set(registry.methods)
    assert {"mvtec", "visa", "folder", "demo"} <= set(registry.datasets)
    assert {"wandb", "mlflow", "tensorboard"} <= set(registry.trackers)
    assert "processes" in registry.executors


def test_a_broken_plugin_is_named_and_skipped(monkeypatch):
    """A plugin that doesn't import leaves the others working."""
    good = module("good", adbench_methods=lambda: [method("fine")])
    install(monkeypatch, good=good, bad=ImportError("no module named nothing"))

    registry = plugins.load()

    assert list(registry.methods) == ["fine"]
    assert len(registry.broken) == 1
    assert "bad" in registry.broken[0]
    assert "no module named nothing" in registry.broken[0]


@pytest.mark.parametrize(
    ("hooks", "reason"),
    [
        ({"adbench_metods": lambda: []}, "adbench_metods"),
        ({"adbench_methods": lambda: 1 / 0}, "ZeroDivisionError"),
        ({"adbench_methods": lambda: ["name"]}, "returned a list with a str, wanted a list of Method"),
        ({"adbench_methods": lambda: "name"}, "returned a str, wanted a list of Method"),
        ({"adbench_methods": lambda: None}, "returned None, wanted a list of Method"),
        ({"adbench_methods": lambda: method("alone")}, "a Method alone, wanted a list of Method: put it in brackets"),
        ({"adbench_methods": lambda: [method("")]}, "with the name '', wanted a text"),
        ({"adbench_methods": lambda: (method(name) for name in "ab" if 1 / 0)}, "ZeroDivisionError"),
        ({"adbench_methods": lambda: sys.exit(3)}, "a call of sys.exit(3)"),
        ({"adbench_datasets": lambda: [method("no data")]}, "a list with a Method, wanted a list of Dataset"),
        ({"adbench_trackers": lambda: [Tracker()]}, "a list with a Tracker, wanted a list of TrackerEntry"),
        ({"adbench_methods": lambda nonsense: []}, "nonsense"),
    ],
)
def test_a_wrong_hook_is_named_and_skipped(monkeypatch, hooks, reason):
    """A mistyped hook, one that raises, a wrong return value and wrong arguments are all reported."""
    install(monkeypatch, odd=module("odd", **hooks), good=module("good", adbench_methods=lambda: [method("fine")]))

    registry = plugins.load()

    assert list(registry.methods) == ["fine"]
    assert len(registry.broken) == 1
    assert registry.broken[0].startswith("plugin odd (unknown package) is skipped: ")
    assert reason in registry.broken[0]


def test_two_with_one_name_are_an_error_naming_both(monkeypatch):
    """The order of installation must not decide which of the two runs."""
    one, two = (module(name, adbench_methods=lambda: [method("same")]) for name in ("one", "two"))
    install(monkeypatch, one=one, two=two)

    with pytest.raises(PluginError, match=r"'same': one .* and two") as caught:
        plugins.load()
    assert "Rename" in str(caught.value)


def test_a_file_is_a_plugin(tiny_method):
    """--plugin FILE needs no packaging."""
    assert "tiny" in plugins.load([tiny_method]).methods


HOOK = """
from adbench import hookimpl

@hookimpl
def adbench_methods():
    return {}
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "found no such file"),
        ("x = 1", "no hookimpl"),
        ("import nothing_at_all", "nothing_at_all"),
        ("def", "Syntax"),
        ("raise SystemExit", r"a call of sys.exit\(None\)"),
        (HOOK.replace("methods", "method").format([]), r"a hook 'adbench_method' .*: did you mean adbench_methods\?"),
        (HOOK.replace("methods", "zebra").format([]), "a hook 'adbench_zebra' that does not exist: wanted one of adb"),
        (HOOK.replace("methods()", "methods(device)").format([]), "device"),
        (HOOK.format("7"), "returned an int, wanted a list of Method"),
        (HOOK.format("1 / 0"), "ZeroDivisionError: division by zero"),
        (HOOK.format("exit('no GPU')"), r"a call of sys.exit\('no GPU'\)"),
        (HOOK.format("[object()]"), "a list with an object, wanted a list of Method"),
    ],
)
def test_a_file_that_was_asked_for_must_work(tmp_path, text, message):
    """A broken plugin file is the user's mistake; the message gives its reason."""
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text, encoding="utf-8")

    with pytest.raises(PluginError, match=message) as caught:
        plugins.load([path])
    assert str(caught.value).startswith(f"--plugin {path}: found ")
    assert "skipped" not in str(caught.value)


def test_two_files_of_one_name_are_two_plugins(tmp_path):
    """Each keeps its own names: types in the options of one are not looked up in the other."""
    text = """
from __future__ import annotations
from dataclasses import dataclass
from adbench import Method, Options, hookimpl
Kind = int

@dataclass(frozen=True)
class Own(Options):
    extra: Kind = 1

@hookimpl
def adbench_methods():
    return [Method("NAME", "", None, Own)]
"""
    files = [tmp_path / folder / "mine.py" for folder in ("one", "two")]
    for path, name, kind in zip(files, ("first", "second"), ("Whole", "Fraction"), strict=True):
        path.parent.mkdir()
        path.write_text(text.replace("Kind", kind).replace("NAME", name), encoding="utf-8")
    registry = plugins.load([*files, files[0]])  # one that is given twice counts once
    assert {"first", "second"} <= set(registry.methods)
    for name in ("first", "second"):
        assert option_types(registry.method(name).options)["extra"] is int
    assert len({registry.origins[name].module for name in ("first", "second")}) == 2
    again = plugins.load(files)
    assert again.origins["second"] == registry.origins["second"]


def test_unknown_names_offer_the_nearest():
    """A typo in --method or --dataset gets its correction."""
    registry = plugins.Registry({"msflow": method("msflow")}, {"mvtec": Dataset("mvtec", "", lambda r: [], None)})

    with pytest.raises(UnknownNameError, match="Did you mean 'msflow'"):
        registry.method("msfow")
    with pytest.raises(UnknownNameError, match="Did you mean 'mvtec'"):
        registry.dataset("mvtek")
    with pytest.raises(UnknownNameError, match="Did you mean 'wandb'"):
        plugins.load().tracker("wandbb")


def test_an_unknown_executor_comes_with_the_nearest_one():
    """The one that is adbench itself counts among them."""
    with pytest.raises(UnknownNameError, match="Did you mean 'processes'"):
        plugins.load().executor("process")
    with pytest.raises(UnknownNameError, match="wanted one of local, processes"):
        plugins.load().executor("zzz")


def test_entry_points_are_looked_up_in_the_group_adbench():
    """The group that plugins must declare is the one that is read."""
    point = EntryPoint(name="x", value="adbench_plugins.msflow", group=plugins.GROUP)

    assert plugins.GROUP == "adbench"
    assert hasattr(point.load(), "adbench_methods")


def test_a_folder_is_no_plugin_file(tmp_path):
    """A path that exists is not called missing."""
    with pytest.raises(PluginError, match=f"--plugin {tmp_path}: found a folder"):
        plugins.load([tmp_path])


# ---------------------------------------------------------------- plugins


def test_each_plugin_is_recorded_with_what_it_offers_and_its_problem(monkeypatch, tmp_path):
    """Origin, file and names of a working one, the reason of a broken one, and both of one that is broken in part."""
    good = module("good", adbench_methods=lambda: [method("fine")], adbench_datasets=lambda: [dataset("data")])
    good.__file__ = str(tmp_path / "good.py")
    monkeypatch.setitem(sys.modules, "good", good)
    half = module("half", adbench_methods=lambda: [method("other")], adbench_datasets=lambda: 1 / 0)
    install(monkeypatch, good=good, bad=ImportError("no torch"), half=half)
    registry = plugins.load()
    found = {plugin.name: plugin for plugin in registry.plugins}
    assert found["good"].offers == (("method", "fine"), ("dataset", "data"))
    assert found["good"].file == tmp_path / "good.py"
    assert (found["good"].names("dataset"), found["good"].problem) == (["data"], "")
    assert (found["bad"].offers, found["bad"].file, found["bad"].problem) == ((), None, "ImportError: no torch")
    assert found["half"].names("method") == ["other"]
    assert "ZeroDivisionError" in found["half"].problem
    assert len(registry.broken) == 2
    assert not any(plugin.is_own for plugin in registry.plugins)


def test_a_plugin_is_called_by_its_name_its_distribution_or_what_it_offers():
    """Adbench's own are known as such."""
    (padim,) = [plugin for plugin in plugins.load().plugins if plugin.name == "padim"]
    assert padim.is_own
    assert padim.is_called("padim")
    assert padim.is_called("adbench-suite")
    assert not padim.is_called("adbench")


def test_the_file_of_an_installed_plugin_counts_once(monkeypatch, tmp_path):
    """After ``pip install -e .`` its file may still be given; another file of the same method is a clash."""
    text = HOOK.format("[__import__('adbench').Method('mine', '', lambda options, device: None)]")
    files = [tmp_path / name / "adbench_mine.py" for name in ("one", "two")]
    for file in files:
        file.parent.mkdir()
        file.write_text(text)
    monkeypatch.syspath_prepend(files[0].parent)
    made = importlib.import_module("adbench_mine")
    monkeypatch.setitem(sys.modules, "adbench_mine", made)
    install(monkeypatch, adbench_mine=made)
    registry = plugins.load([files[0]])
    assert [plugin.origin.module for plugin in registry.plugins] == ["adbench_mine"]
    with pytest.raises(PluginError, match="two plugins offer the method 'mine'"):
        plugins.load([files[1]])
