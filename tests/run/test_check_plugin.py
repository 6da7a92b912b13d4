"""A plugin is checked whole: that it loads, its methods, and the readers of its data sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adbench.api import registry
from adbench.run import check_plugin
from adbench.util.errors import PluginError

pytestmark = pytest.mark.usefixtures("one_thread")

BOTH = """
from adbench import Dataset, Detector, Epoch, Method, Scores, hookimpl


class Bright(Detector):
    def fit(self, images):
        yield Epoch(1, 1)

    def score(self, batch):
        return Scores(batch.images.mean(dim=(1, 2, 3)))


class Breaks(Bright):
    def fit(self, images):
        raise ZeroDivisionError("no luck")
        yield


@hookimpl
def adbench_methods():
    return [Method("bright", "by brightness", Bright), Method("breaks", "never", Breaks)]


@hookimpl
def adbench_datasets():
    return [Dataset("parts", "made for a test", lambda root: 1 / 0, lambda root, name: None)]
"""


def plugin_of(path: Path, text: str) -> tuple[registry.Plugin, registry.Registry]:
    path.write_text(text)
    found = registry.load([path])
    return next(each for each in found.plugins if each.file == path.resolve()), found


def test_all_that_a_plugin_offers_is_checked(tmp_path):
    """A good method, one that breaks a rule, and a reader that breaks each have their outcomes."""
    told: list[tuple[str, str]] = []
    plugin, found = plugin_of(tmp_path / "both.py", BOTH)
    checked = list(check_plugin.run(plugin, found, watch=lambda what, check: told.append((what, check))))
    by_name = {each.what: each for each in checked}
    assert list(by_name) == [f"plugin {tmp_path / 'both.py'}", "method breaks", "method bright", "data set parts"]
    assert checked[0].results[0].reason == "method breaks, method bright, data set parts"
    assert by_name["method bright"].failed == []
    assert [each.check for each in by_name["method breaks"].failed] == ["works on the CPU"]
    assert [each.check for each in by_name["data set parts"].failed] == ["a missing folder is a message"]
    assert {what for what, _ in told} == {"bright", "breaks", "parts"}


def test_what_can_not_be_tried_is_a_failure(tmp_path):
    """A method without its auxiliary data is no success."""
    plugin, found = plugin_of(tmp_path / "needy.py", (Path(__file__).parents[1] / "needy_method.py").read_text())
    (_, checked) = check_plugin.run(plugin, found)
    assert [each.check for each in checked.failed] == ["can be checked"]
    assert "--aux" in checked.failed[0].reason


def test_a_broken_or_empty_plugin_fails(tmp_path):
    """The only row says why."""
    plugin, found = plugin_of(
        tmp_path / "empty.py", "from adbench import hookimpl\n@hookimpl\ndef adbench_methods():\n    return []\n"
    )
    (checked,) = check_plugin.run(plugin, found)
    assert "it offers nothing" in checked.failed[0].reason
    (checked,) = check_plugin.run(replace(plugin, problem="ImportError: no torch"), found)
    assert checked.failed[0].reason == "ImportError: no torch"


def test_a_file_that_can_not_be_loaded_is_a_failure():
    """Its row has the reason without the words around it."""
    checked = check_plugin.unusable("mine.py", PluginError("--plugin mine.py", found="SyntaxError: x", hint="Mend it"))
    assert (checked.what, checked.failed[0].reason) == ("plugin mine.py", "SyntaxError: x")
