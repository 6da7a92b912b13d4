"""The doctor's check of plugins: a broken one is named with the reason."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from types import SimpleNamespace

from runs import TINY

from adbench.api import registry
from adbench.run.doctor import plugins
from adbench.run.doctor.finding import Asked, Finding

LATE = """
import numpy as np

from adbench import Detector, Epoch, Method, hookimpl


class Late(Detector):
    def fit(self, images):
        self.mean = np.float(0)
        yield Epoch(1, 1)


@hookimpl
def adbench_methods():
    return [Method("late", "fails where it runs", Late)]
"""

EARLY = "import numpy as np\nZERO = np.float(0)\n"


def checked(*files) -> list[Finding]:
    return list(plugins.check(plugins.loaded(Asked(plugin_files=files))))


def test_installed_plugins_are_listed_by_distribution():
    """Those of adbench are one green line; a loose file is a line of its own."""
    found = checked(TINY)
    assert {each.status for each in found} == {"green"}
    own = next(each for each in found if "adbench-suite" in each.found)
    assert "methods" in own.found
    assert " data sets" in own.found
    assert Finding("plugins", "green", f"{TINY}: 1 method") in found


def test_a_removed_numpy_name_in_a_function_is_found_before_it_runs(tmp_path):
    """The plugin loads; the line names plugin, name, file and line, and what to write."""
    path = tmp_path / "late.py"
    path.write_text(LATE)
    red = [each for each in checked(path) if each.status == "red"]
    assert len(red) == 1
    assert f"plugin {path} fails where it runs: NumPy" in red[0].found
    assert "has no float" in red[0].found
    assert "late.py, line 9" in red[0].found
    assert "write float instead of np.float" in red[0].remedy


def test_a_removed_numpy_name_at_import_breaks_one_plugin_only(tmp_path, monkeypatch):
    """An installed plugin that fails to load is named with NumPy's own words; the others are there."""
    (tmp_path / "early_adbench_plugin.py").write_text(EARLY)
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("early", "early_adbench_plugin", "adbench")
    vars(point)["dist"] = SimpleNamespace(name="early-dist", version="1.0")
    real = registry.entry_points(group="adbench")
    monkeypatch.setattr(registry, "entry_points", lambda group: [*real, point])
    red = [each for each in checked() if each.status == "red"]
    assert len(red) == 1
    assert "plugin early (early-dist 1.0" in red[0].found
    assert "has no attribute 'float'" in red[0].found
    assert "early_adbench_plugin.py" in red[0].found
    assert "pip uninstall early-dist" in red[0].remedy


def test_files_that_cannot_be_used_are_named_and_the_rest_is_checked(tmp_path):
    """A missing file and one without a hook are red lines, and the methods of the others are still listed."""
    empty = tmp_path / "empty.py"
    empty.write_text("")
    found = checked(empty, tmp_path / "gone.py", TINY)
    red = [each.found for each in found if each.status == "red"]
    assert len(red) == 2
    assert "no such file" in "".join(red)
    assert "no hookimpl" in "".join(red)
    assert any("tiny_method.py" in each.found for each in found if each.status == "green")


def test_two_plugins_of_one_name_are_a_red_line(tmp_path):
    """Nothing can be loaded then, and the line says which two."""
    copy = tmp_path / "copy.py"
    copy.write_text(TINY.read_text())
    (line,) = [each for each in checked(TINY, copy) if each.status == "red"]
    assert "two plugins offer the method 'tiny'" in line.found
