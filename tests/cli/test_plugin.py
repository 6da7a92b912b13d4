"""The commands for plugins as their authors type them: start one, list, check, install."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import textwrap
import venv
from pathlib import Path

import pytest
from layout_files import touch
from runs import TINY, adbench, line_of

from adbench.results import audits

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "docs" / "sample_plugin" / "adbench_sample.py"


def listed(*words: object) -> dict[str, dict[str, object]]:
    done = adbench("plugin", "list", "--format", "json", *words)
    assert done.exit_code == 0, done.stderr
    (table,) = json.loads(done.stdout)
    return {row["plugin"]: row for row in table["rows"]}


# ---------------------------------------------------------------- new


def test_new_writes_a_package_and_says_what_comes_next(tmp_path, monkeypatch):
    """The folder goes to standard output, the next commands to standard error."""
    monkeypatch.chdir(tmp_path)
    done = adbench("plugin", "new", "my-method")
    assert (done.exit_code, done.stdout) == (0, "adbench-my-method\n")
    assert {path.name for path in (tmp_path / "adbench-my-method").iterdir()} == {
        "adbench_my_method.py", "pyproject.toml", "README.md", "tests",
    }  # fmt: skip
    for text in ("cd adbench-my-method", "pip install -e . && pytest", "adbench run -m my-method -d demo -p cpu"):
        assert text in done.stderr
    file = "adbench-my-method/adbench_my_method.py"
    assert listed("--plugin", file)[file]["methods"] == "my-method"


def test_new_data_set_goes_where_it_is_told(tmp_path):
    """--output names the folder, which is refused the second time."""
    place = tmp_path / "deep" / "mine"
    words = ("plugin", "new", "my-parts", "--dataset", "-o", place)
    done = adbench(*words)
    assert (done.exit_code, done.stdout) == (0, f"{place}\n")
    assert "adbench_datasets" in (place / "adbench_my_parts.py").read_text()
    again = adbench(*words)
    assert (again.exit_code, again.stdout) == (2, "")
    assert "exists already" in line_of(again)


@pytest.mark.parametrize(("name", "said"), [("padim", "offers it already"), ("My Method", "Did you mean 'my-method'?")])
def test_new_refuses_a_wrong_name_in_one_line(tmp_path, monkeypatch, name, said):
    """Nothing is written."""
    monkeypatch.chdir(tmp_path)
    done = adbench("plugin", "new", name)
    assert done.exit_code == 2
    assert said in line_of(done)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [(), ("--dataset",)], ids=["method", "dataset"])
def test_what_new_writes_pleases_ruff(tmp_path, kind):
    """Its default rules find nothing, as in the author's folder."""
    ruff = shutil.which("ruff", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if ruff is None:
        pytest.skip("needs ruff")
    adbench("plugin", "new", "my-own", *kind, "-o", tmp_path / "own")
    done = subprocess.run([ruff, "check", "--no-cache"], cwd=tmp_path / "own", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# ---------------------------------------------------------------- list


def test_list_shows_origin_file_offers_and_state():
    """Each plugin of adbench has its distribution, version and file; a given file has no distribution."""
    found = listed("--plugin", SAMPLE)
    padim, sample = found["padim"], found[str(SAMPLE)]
    assert (padim["distribution"], padim["state"], padim["methods"]) == ("adbench-suite", "loaded", "padim")
    assert padim["file"] == str(ROOT / "plugins" / "padim" / "__init__.py")
    assert padim["version"]
    assert found["demo"]["datasets"] == "demo"
    assert (sample["distribution"], sample["file"], sample["methods"]) == (None, str(SAMPLE), "sample")


def test_people_see_the_others_first_and_adbenchs_own_counted():
    """--all lists them one by one."""
    short, long = adbench("plugin", "list", "--plugin", TINY), adbench("plugin", "list", "--all")
    assert "method tiny" in short.stdout
    assert "adbench's own" in short.stdout
    assert "method padim" not in short.stdout
    assert "method padim" in long.stdout


class Point:
    """An entry point of an installed package that breaks, or that is a file."""

    def __init__(self, name: str, value: object) -> None:
        self.name = self.value = self.module = name
        self.loads = value
        self.dist = type("Distribution", (), {"name": f"adbench-{name}", "version": "1.2"})

    def load(self) -> object:
        if isinstance(self.loads, Exception):
            raise self.loads
        return self.loads


@pytest.fixture
def broken(monkeypatch):
    """A single installed plugin, which can't be imported."""
    from adbench.api import registry

    monkeypatch.setattr(registry, "entry_points", lambda group: [Point("odd", ImportError("no torch here"))])


@pytest.mark.usefixtures("broken")
def test_list_shows_why_a_plugin_is_broken():
    """The reason stands below the table, and there is no warning beside it."""
    done = adbench("plugin", "list")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "broken" in done.stdout
    assert "odd is broken: ImportError: no torch here." in done.stdout
    row = listed()["odd"]
    assert (row["distribution"], row["version"], row["problem"]) == ("adbench-odd", "1.2", "ImportError: no torch here")


# ---------------------------------------------------------------- check


@pytest.mark.usefixtures("broken")
def test_check_fails_for_a_broken_plugin():
    """Without a name all plugins but adbench's own are checked, and exit code 1 says that one is broken."""
    for words in ((), ("odd",), ("adbench-odd",)):
        done = adbench("plugin", "check", *words, "--format", "json")
        assert done.exit_code == 1
        (table,) = json.loads(done.stdout)
        assert table["rows"] == [{"check": "loads", "outcome": "failed", "reason": "ImportError: no torch here"}]
        assert "1 of 1 checks failed." in done.stderr


def test_check_of_a_data_set_looks_at_its_images(tmp_path):
    """A reader passes without images as far as it can be checked, and with them altogether."""
    for words in ((), ("--data-root", touch(tmp_path, "a/train/good/0.png", "a/test/good/1.png", "a/test/x/2.png"))):
        done = adbench("plugin", "check", "folder", *words, "--format", "json")
        assert done.exit_code == 0, done.stderr
        loads, reader = json.loads(done.stdout)
        assert loads["title"] == "Checks of plugin folder"
        assert loads["rows"][0]["outcome"] == "passed"
        kinds = {row["outcome"] for row in reader["rows"]}
        assert kinds == ({"passed"} if words else {"passed", "skipped"})


def test_check_takes_a_file_and_says_why_it_is_broken(tmp_path):
    """A file that can't be loaded is a failed check, and one that isn't there a mistake."""
    (tmp_path / "bad.py").write_text("import nothing_of_that_name\n")
    done = adbench("plugin", "check", tmp_path / "bad.py", "--format", "json")
    assert done.exit_code == 1
    assert "ModuleNotFoundError" in json.loads(done.stdout)[0]["rows"][0]["reason"]
    for name, said in ((tmp_path / "none.py", "no such file"), ("padam", "Did you mean 'padim'?")):
        done = adbench("plugin", "check", name)
        assert done.exit_code == 2
        assert said in line_of(done)


def test_check_stores_what_it_found_of_methods(tmp_path):
    """As check-method does, where --results says, and also where a check failed."""
    code = """
        from adbench import Detector, Method, hookimpl

        class Mine(Detector):
            pass

        @hookimpl
        def adbench_methods():
            return [Method("mine", "nothing yet", Mine)]
    """
    (tmp_path / "mine.py").write_text(textwrap.dedent(code), encoding="utf-8")
    done = adbench("plugin", "check", tmp_path / "mine.py", "--results", tmp_path / "results")
    assert done.exit_code == 1
    (found,), _ = audits.read_all(tmp_path / "results")
    assert (found.method, found.method_package) == ("mine", "mine.py")
    assert found.of("failed")[0].check == "works on the CPU"
    assert f"Stored in {tmp_path / 'results'}" in done.stderr


def test_check_without_a_plugin_says_so(monkeypatch):
    """Adbench's own plugins are checked only where they are named."""
    from adbench.api import registry

    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    done = adbench("plugin", "check")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no plugin besides adbench's own" in line_of(done)


# ---------------------------------------------------------------- installed


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """The Python of a throwaway environment that sees the packages of this one."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    (packages,) = folder.glob("Lib/site-packages" if os.name == "nt" else "lib/python*/site-packages")
    shared = [path for path in (*site.getsitepackages(), *sys.path) if path.endswith("site-packages")]
    lines = [f"import site; site.addsitedir({path!r})" for path in dict.fromkeys(shared)]
    (packages / "shared.pth").write_text("\n".join(lines) + "\n")
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "what", "tests"), [("my-method", "methods", 1), ("my-parts", "datasets", 3)])
def test_an_installed_plugin_is_found_and_its_test_passes(tmp_path, environment, name, what, tests):
    """After ``pip install -e .`` it is a method or data set like any other, and its file may still be given."""
    folder = tmp_path / f"adbench-{name}"
    adbench("plugin", "new", name, *(["--dataset"] if what == "datasets" else []), "-o", folder)

    def run(*words: str) -> str:
        done = subprocess.run([environment, "-m", *words], cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "-e", ".")
    file = f"adbench_{name.replace('-', '_')}.py"
    for given in ([], ["--plugin", file]):
        (table,) = json.loads(run("adbench", "list", what, "--format", "json", *given))
        assert name in {row[what.removesuffix("s")] for row in table["rows"]}
    (table,) = json.loads(run("adbench", "plugin", "list", "--format", "json"))
    (row,) = [row for row in table["rows"] if row["plugin"] == name]
    assert (row["distribution"], row["version"], row["state"]) == (f"adbench-{name}", "0.1.0", "loaded")
    assert Path(row["file"]) == (folder / file).resolve()
    assert f"{tests} passed" in run("pytest")
    run("adbench", "plugin", "check")


def test_new_and_list_import_nothing_heavy(tmp_path):
    """Neither waits for torch."""
    code = (
        "import sys; from adbench.cli.main import app\n"
        "for words in (['plugin', 'new', 'mine'], ['plugin', 'list', '--format', 'json']):\n"
        "    try: app(words)\n"
        "    except SystemExit as leaving: assert not leaving.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
