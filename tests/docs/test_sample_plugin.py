"""The plugin guide says what the code says, and its sample works: as a file, and installed for real."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from conftest import make_class

import adbench as public
from adbench import types
from adbench.api import hooks as hookspecs
from adbench.api import registry
from adbench.cli import main

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "docs" / "sample_plugin"
SAMPLE = PACKAGE / "adbench_sample.py"
SAMPLE_0_1 = ROOT / "tests" / "plugin_0_1" / "adbench_sample.py"
"""The sample as it stood in adbench 0.1, which goes on working."""

GUIDE = (ROOT / "docs" / "plugin-guide.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w+\n(.*?)^```$", GUIDE, flags=re.DOTALL | re.MULTILINE)

RUN = ("run", "--method", "sample", "--dataset", "folder", "--preset", "cpu", "-o", "size=64", "-o", "amp=off")
RECORDS = (
    *("Method", "BuildContext", "Requirements", "Package", "Auxiliary", "Options", "BackboneOptions", "Preset"),
    *("Epoch", "Step", "Scores", "Dataset", "Task", "Sample"),
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> dict[str, str]:
    """The environment of a Python that has the sample installed."""
    source, target = tmp_path_factory.mktemp("source") / "sample", tmp_path_factory.mktemp("target")
    shutil.copytree(PACKAGE, source)  # a build leaves folders behind
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target"]
    subprocess.run([sys.executable, *pip, str(target), str(source)], check=True, timeout=120)
    path = os.pathsep.join(filter(None, (str(target), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}


def stored(results: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in results.rglob("result.json")]


def adbench(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "adbench", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=120)


def test_it_is_found_when_installed(installed, tiny_data, tmp_path):
    """Installing makes it a method like any other, by its entry point alone."""
    found = adbench(
        installed, *RUN, "--class", "nuts", "--data-root", str(tiny_data), "--results", str(tmp_path), "--device", "cpu"
    )

    assert found.returncode == 0, found.stderr
    (result,) = stored(tmp_path)
    assert (result["method"], result["class_name"]) == ("sample", "nuts")
    assert result["method_package"] == "adbench-sample 0.1.0"


def test_installed_and_given_as_a_file_is_one_too_many(installed):
    """The clash names both places."""
    found = adbench(installed, "list", "methods", "--plugin", str(SAMPLE))

    assert found.returncode == 2
    assert "adbench-sample" in found.stderr
    assert "adbench_sample.py" in found.stderr


@pytest.mark.parametrize("file", [SAMPLE, SAMPLE_0_1], ids=["of the guide", "of 0.1"])
def test_it_works_as_a_file(file, tiny_data, tmp_path):
    """--plugin FILE needs no packaging, and a bright square on noise is found; the same with a plugin of 0.1."""
    found = CliRunner().invoke(
        main.app, [*RUN, "--plugin", str(file), "--data-root", str(tiny_data), "--results", str(tmp_path)]
    )

    assert found.exit_code == 0, found.output
    results = stored(tmp_path)
    assert len(results) == 2
    for result in results:
        assert result["metrics"]["image_auroc"] > 0.9
        assert result["metrics"]["pixel_auroc"] > 0.9


@pytest.mark.slow
def test_it_is_far_from_random_on_demo(tmp_path):
    """The first run of a newcomer's method shows that it works."""
    command = ["run", "--method", "sample,random", "--plugin", str(SAMPLE), "--dataset", "demo", "--preset", "cpu"]

    found = CliRunner().invoke(main.app, [*command, "--results", str(tmp_path)])

    assert found.exit_code == 0, found.output
    means = {}
    for metric in ("image_auroc", "pixel_auroc"):
        for method in ("sample", "random"):
            values = [result["metrics"][metric] for result in stored(tmp_path) if result["method"] == method]
            assert len(values) == 3
            means[method, metric] = sum(values) / 3
    assert means["sample", "image_auroc"] > means["random", "image_auroc"] + 0.2
    assert means["sample", "pixel_auroc"] > means["random", "pixel_auroc"] + 0.4


def test_a_image_alone_scores_as_in_a_batch():
    """The guide's own test of the first wall holds for the guide's own method."""
    from adbench.data.images import Batch

    method = registry.load([SAMPLE]).methods["sample"]
    detector = method.build(method.presets["cpu"].options, torch.device("cpu"))
    images = torch.rand(4, 3, 64, 96, generator=torch.Generator().manual_seed(0))

    class Images:
        def features(self, backbone):
            yield backbone(images)

    list(detector.fit(Images()))
    with torch.no_grad():
        together = detector.score(Batch.of(images))
        alone = detector.score(Batch.of(images[:1]))

    torch.testing.assert_close(alone.map[0], together.map[0], rtol=1e-4, atol=1e-3)


def test_it_is_short():
    """A whole method is under 60 lines, and its packaging is two."""
    assert len(SAMPLE.read_text(encoding="utf-8").splitlines()) < 60
    packaging = (PACKAGE / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points.adbench]\nsample = "adbench_sample"\n' in packaging


def test_it_imports_no_torch():
    """An installed plugin must not slow down `adbench list`."""
    command = "import sys, adbench_sample as s; s.adbench_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], cwd=PACKAGE, check=False).returncode == 0


@pytest.mark.parametrize("name", ["adbench_sample.py", "pyproject.toml"])
def test_the_guide_quotes_the_sample(name):
    """What a reader copies is what is tested."""
    assert (PACKAGE / name).read_text(encoding="utf-8") in BLOCKS


def functions(module: object) -> dict[str, str]:
    """The functions of a module or class as they are declared, without their bodies: name -> "def ..."."""
    source = Path(sys.modules[getattr(module, "__module__", None) or module.__name__].__file__)
    tree = ast.parse(source.read_text(encoding="utf-8"))
    if isinstance(module, type):
        (tree,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == module.__name__)
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            found[node.name] = f"def {node.name}({ast.unparse(node.args)}){returns}"
    return found


def fields(kind: type) -> list[str]:
    """The fields of a class as they are declared: "size: Size = (256, 256)"."""
    tree = ast.parse(Path(sys.modules[kind.__module__].__file__).read_text(encoding="utf-8"))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__)
    return [ast.unparse(node) for node in body if isinstance(node, ast.AnnAssign)]


def declaration(name: str) -> list[str]:
    """The lines below ``class name`` in the guide."""
    (found,) = re.findall(rf"^class {name}\b.*:\n((?:    .*\n)+)", "\n".join(BLOCKS), flags=re.MULTILINE)
    return [line.strip() for line in found.splitlines()]


def test_the_guide_shows_every_hook():
    """Each with its exact signature, and none that isn't there."""
    hooks = functions(hookspecs)
    shown = [line for block in BLOCKS for line in block.splitlines() if re.match(r"def adbench_\w+\(.*->", line)]
    assert sorted(shown) == sorted(hooks.values())
    assert len(hooks) == len([name for name in vars(hookspecs) if name.startswith("adbench_")])


@pytest.mark.parametrize("name", RECORDS)
def test_the_guide_shows_every_field(name):
    """The contracts are the code's, names, types and defaults."""
    if name == "Sample":  # a class of this name stands in the sample plugin as well
        shown = "\n".join(["class Sample:", *(f"    {line}" for line in fields(types.Sample))])
        assert shown.replace("'", '"') in GUIDE
    else:
        shown = [ast.unparse(ast.parse(line)) for line in declaration(name)]  # whichever quotes it is written with
        assert shown == fields(getattr(types, name, None) or getattr(public, name))


def test_the_guide_shows_a_detector():
    """Its two attributes, and every method that it has in public, but for the old name of one."""
    public = {name: line for name, line in functions(types.Detector).items() if name == "__init__" or name[0] != "_"}
    methods = [line for name, line in public.items() if name != "passes"]
    assert declaration("Detector") == [*fields(types.Detector), *methods]


def test_the_guides_data_set_can_be_read(tmp_path):
    """The reader that the guide prints loads as a plugin, and finds its images."""
    (source,) = (block for block in BLOCKS if "def adbench_datasets():" in block)
    plugin = tmp_path / "flat.py"
    plugin.write_text(source, encoding="utf-8")
    made = make_class(tmp_path / "made", "nuts", train=4, bad=2)
    flat = tmp_path / "data" / "nuts"
    flat.mkdir(parents=True)
    for prefix, part in (("ok", "train/good"), ("bad", "test/spot")):
        for path in (made / part).iterdir():
            shutil.copy(path, flat / f"{prefix}_{path.name}")

    dataset = registry.load([plugin]).datasets["flat"]
    task = dataset.load(tmp_path / "data", "nuts")

    assert dataset.classes(tmp_path / "data") == ["nuts"]
    assert [len(task.train), len(task.test), sum(sample.label for sample in task.test)] == [2, 4, 2]
