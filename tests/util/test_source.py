"""A digest of code: it follows imports without importing, and sees every change that may move a number."""

from __future__ import annotations

import sys
import textwrap
import warnings
from pathlib import Path

import pytest

from adbench.api import registry as plugins
from adbench.results.store import RunFolder
from adbench.run import identity, plan
from adbench.run.job import Job
from adbench.run.watch import Watch
from adbench.util import source
from adbench.util.source import Module

PLUGIN = """
    from importlib import import_module
    from helper import scale

    named = import_module("named")

    def build():
        from parts import inner
        return scale
"""


@pytest.fixture
def plugin(tmp_path) -> Path:
    """A plugin file with a module and a package beside it, neither of which can be imported without harm."""
    return write(
        tmp_path,
        **{
            "mine": PLUGIN,
            "helper": "raise SystemExit('was run')\nscale = 2\n",
            "named": "raise SystemExit('was run')\nother = __import__('other')",
            "other": "",
            "unused": "scale = 3",
            "parts/__init__": "",
            "parts/inner": "from . import deeper\nfrom .. import nonsense",
            "parts/deeper": "import numpy, os\nvalue = 1",
        },
    )


def write(folder: Path, **modules: str) -> Path:
    for name, text in modules.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder / "mine.py"


def digest(path: Path) -> str:
    return identity.file_code_digest(path)


@pytest.mark.parametrize("name", ["mine", "helper", "named", "other", "parts/__init__", "parts/inner", "parts/deeper"])
def test_code_that_a_plugin_file_imports_from_beside_it_counts(plugin, name):
    """Each imported file counts, also if a function imports it; none of them is run."""
    before = digest(plugin)
    path = plugin.parent / f"{name}.py"
    path.write_text(path.read_text() + "\nmore = 1\n")
    assert digest(plugin) != before


def test_what_is_not_imported_does_not_count(plugin):
    """An unrelated file in the same folder may change."""
    before = digest(plugin)
    plugin.with_name("unused.py").write_text("scale = 4")
    assert digest(plugin) == before


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("x = 1  # one", "# two\n\nx =   1", True),
        ("def f():\n    'Say.'\n    return 1", "def f():\n    return 1", True),
        ("'Text.'\nx = 'a' 'b'", 'x = "ab"', True),
        ("x = 1", "x = 1.0", False),
        ("x = a - b", "x = b - a", False),
        ("def f(*, a): pass", "def f(a): pass", False),
        ("x = f(a, *b)", "x = f(*b, a)", False),
        ("x = 'é'", "x = 'e'", False),
        ("x = -0.0", "x = 0.0", False),
        ("not python 1", "not python 2", False),
        ("not python 1", "not python 1", True),
    ],
)
def test_comments_formatting_and_docstrings_do_not_count_but_code_does(tmp_path, one, other, same):
    """The syntax tree is hashed, or the bytes if there is none."""
    first, second = write(tmp_path / "one", mine=one), write(tmp_path / "two", mine=other)
    assert (digest(first) == digest(second)) == same


def test_a_stray_backslash_is_no_warning_and_moves_no_digest(tmp_path, recwarn):
    """Python warns of it while parsing; with warnings as errors the digest is still that of the syntax tree."""
    usual, strict = (write(tmp_path / name, mine="x = '\\m'") for name in ("usual", "strict"))
    found = digest(usual)
    assert [str(warning.message) for warning in recwarn] == []
    source._parsed.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert digest(strict) == found


def test_a_plugin_file_may_move_and_be_renamed(plugin, tmp_path):
    """Neither its folder nor its own name moves a number."""
    before = digest(plugin)
    for path in list(plugin.parent.rglob("*.py")):
        place = tmp_path / "elsewhere" / path.relative_to(plugin.parent)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(path.read_text())
    (tmp_path / "elsewhere" / "mine.py").rename(tmp_path / "elsewhere" / "yours.py")
    assert digest(tmp_path / "elsewhere" / "yours.py") == before


def test_modules_that_import_each_other_are_no_trouble(tmp_path):
    """A circle of imports ends, and a change anywhere in it counts."""
    path = write(tmp_path, mine="import other", other="import mine, third", third="import other")
    before = digest(path)
    (tmp_path / "third.py").write_text("import other, mine")
    assert digest(path) != before


def test_a_loose_module_on_the_path_counts(tmp_path, monkeypatch):
    """A module found through PYTHONPATH belongs to no distribution, so its source counts."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "adbench_test_loose.py").write_text("a = 1")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    path = write(tmp_path, mine="import adbench_test_loose")
    before = digest(path)
    (tmp_path / "lib" / "adbench_test_loose.py").write_text("a = 2")
    assert digest(path) != before


def test_the_built_in_methods_follow_what_they_share():
    """CFLOW-AD's digest includes its own package and the shared modules; no method has another one's model."""
    plugins.load()
    names = {
        name: {module.name for module in source.Sources().reachable([source.module_of(f"adbench_plugins.{name}")])}
        for name in ("cflow", "msflow", "padim")
    }
    assert {"adbench_plugins.cflow.model", "adbench_plugins.cflow.decoder"} <= names["cflow"]
    assert {"adbench_plugins.flows", "adbench_plugins.coupling"} <= names["cflow"] & names["msflow"]
    assert names["padim"] == {f"adbench_plugins.padim{part}" for part in ("", ".model", ".packing")}
    assert not any(name.startswith(("adbench.", "torch", "FrEIA")) for found in names.values() for name in found)


def test_computing_a_digest_imports_nothing():
    """Commands that only read results import no torch."""
    registry = plugins.load()
    before = set(sys.modules)
    for name in registry.methods:
        identity.Identifier(registry).code(name)
    assert not {name for name in set(sys.modules) - before if name.startswith(("adbench_plugins", "torch"))}


def test_a_package_counts_whole(tmp_path):
    """All modules of a plugin that is a package count, since a name made at run time may import any of them."""
    write(tmp_path, **{"pack/__init__": "", "pack/deep/model": "a = 1", "pack/deep/__init__": ""})
    root = Module("pack", tmp_path / "pack" / "__init__.py")
    before = source.Sources().digest([root])
    (tmp_path / "pack" / "deep" / "model.py").write_text("a = 2")
    assert source.Sources().digest([root]) != before


def test_the_version_of_an_installed_plugin_counts():
    """Compiled code and data files are not hashed, so another version is other code; our own version is not."""
    registry = plugins.load()

    def of(module: str, distribution: str) -> str:
        origins = {"padim": plugins.Origin(module, distribution)}
        return identity.Identifier(plugins.Registry(registry.methods, {}, (), origins)).code("padim")

    assert of("somebodys.padim", "somebodys 1.0") != of("somebodys.padim", "somebodys 1.1")
    assert of("adbench_plugins.padim", "adbench 1.0") == of("adbench_plugins.padim", "adbench-suite 1.1")


LAZY = """
from dataclasses import dataclass
from adbench import Detector, Epoch, Method, Options, Scores, hookimpl

@dataclass(frozen=True)
class LazyOptions(Options):
    size: tuple[int, int] = (64, 64)

def build(options, device):
    from adbench_test_lazy_model import Model
    return Model(options, device)

@hookimpl
def adbench_methods():
    return [Method("lazy", "imports its model when it is built", build, LazyOptions)]
"""

MODEL = """
from adbench import Detector, Epoch, Scores

class Model(Detector):
    def fit(self, images):
        yield Epoch(1, 1)

    def score(self, batch):
        maps = batch.images.mean(dim=1)
        return Scores(image=maps.amax(dim=(1, 2)), map=maps)
"""


def test_a_run_is_named_by_the_code_that_runs(tiny_data, tmp_path, monkeypatch):
    """A model that is edited before its import runs in its new form; a later edit is for the next run."""
    monkeypatch.syspath_prepend(tmp_path)
    path = write(tmp_path, mine=LAZY, adbench_test_lazy_model=MODEL)
    model = tmp_path / "adbench_test_lazy_model.py"
    registry = plugins.load([path])
    options = registry.method("lazy").options()
    jobs = [
        Job("lazy", "paper", (), options, "folder", name, tiny_data, device="cpu", results=tmp_path / "results")
        for name in ("bolts", "nuts")
    ]
    first = digest(path)

    look = RunFolder.is_finished

    def edit_and_look(folder: RunFolder) -> bool:
        """Edit the model after the run got its first name, before it is imported."""
        if "adbench_test_lazy_model" not in sys.modules:
            model.write_text(MODEL.replace("maps = ", "maps = -"))
        return look(folder)

    monkeypatch.setattr(RunFolder, "is_finished", edit_and_look)

    class Editor(Watch):
        """Edits the model once it is imported."""

        def stop(self) -> None:
            if "adbench_test_lazy_model" in sys.modules:
                model.write_text(MODEL.replace("maps = ", "maps = 0 * "))

    try:
        bolts, nuts = (outcome.result for outcome in plan.run_here(jobs, registry, watch=Editor()))
    finally:
        sys.modules.pop("adbench_test_lazy_model", None)
    assert bolts.identity.code == nuts.identity.code
    assert first != bolts.identity.code != digest(path)
    model.write_text(MODEL.replace("maps = ", "maps = -"))
    assert digest(path) == bolts.identity.code
    assert bolts.metrics.pixel_auroc < 0.1
    assert nuts.metrics.pixel_auroc < 0.1
