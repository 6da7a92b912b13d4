"""The plugin guide agrees with the code, and its sample works: as a file, and installed."""

from __future__ import annotations

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

from adbench.api import registry
from adbench.cli import main

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "docs" / "sample_plugin"
SAMPLE = PACKAGE / "adbench_sample.py"
SAMPLE_0_1 = ROOT / "tests" / "plugin_0_1" / "adbench_sample.py"
"""The sample of adbench 0.1, which still works."""

GUIDE = (ROOT / "docs" / "plugin-guide.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w+\n(.*?)^```$", GUIDE, flags=re.DOTALL | re.MULTILINE)

RUN = ("run", "--method", "sample", "--dataset", "folder", "--preset", "cpu", "-o", "size=64", "-o", "amp=off")


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


@pytest.mark.slow
def test_it_is_found_when_installed(installed, tiny_data, tmp_path):
    """After installation its entry point alone makes it a method like any other."""
    found = adbench(
        installed, *RUN, "--class", "nuts", "--data-root", str(tiny_data), "--results", str(tmp_path), "--device", "cpu"
    )

    assert found.returncode == 0, found.stderr
    (result,) = stored(tmp_path)
    assert (result["method"], result["class_name"]) == ("sample", "nuts")
    assert result["method_package"] == "adbench-sample 0.1.0"


def test_installed_and_given_as_a_file_is_an_error(installed):
    """The message about the clash names both places."""
    found = adbench(installed, "list", "methods", "--plugin", str(SAMPLE))

    assert found.returncode == 2
    assert "adbench-sample" in found.stderr
    assert "adbench_sample.py" in found.stderr


@pytest.fixture(scope="module")
def as_files(tiny_data, tmp_path_factory) -> dict[str, list[dict[str, object]]]:
    """Results of today's sample and of that of 0.1, each given as a file, on both classes."""
    found = {}
    for name, file in (("now", SAMPLE), ("0.1", SAMPLE_0_1)):
        results = tmp_path_factory.mktemp("results")
        words = [*RUN, "--plugin", str(file), "--data-root", str(tiny_data), "--results", str(results)]
        done = CliRunner().invoke(main.app, words)
        assert done.exit_code == 0, done.output
        found[name] = sorted(stored(results), key=lambda result: str(result["class_name"]))
    return found


@pytest.mark.parametrize("version", ["now", "0.1"])
def test_it_works_as_a_file(as_files, version):
    """--plugin FILE needs no packaging, and a bright square on noise is found, also with a plugin of 0.1."""
    assert [result["class_name"] for result in as_files[version]] == ["bolts", "nuts"]
    for result in as_files[version]:
        assert result["metrics"]["image_auroc"] > 0.9
        assert result["metrics"]["pixel_auroc"] > 0.9


def test_it_gives_the_numbers_of_0_1(as_files):
    """Both samples are one method, written for two versions of the contract."""
    now, then = ([result["metrics"] for result in as_files[version]] for version in ("now", "0.1"))
    assert now == then


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


def test_an_image_alone_scores_as_in_a_batch():
    """The guide's own test, that scores don't depend on the batch, holds for its method."""
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
    """The guide shows exactly the tested code."""
    assert (PACKAGE / name).read_text(encoding="utf-8") in BLOCKS
