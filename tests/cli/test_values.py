"""``--method all``: what can be trained as things are; the others are named with what they lack."""

from __future__ import annotations

from dataclasses import replace

import needy_method
import pytest
from runs import adbench, registry_of

from adbench import Package, Requirements
from adbench.cli import run as command
from adbench.results import store


@pytest.fixture
def methods(tiny, monkeypatch):
    """tiny; needy, which needs a folder; packed, which needs a package; and one of another library."""
    (needy,) = needy_method.adbench_methods()
    packed = replace(tiny, name="packed", requirements=Requirements((Package("no_such_one", "no-such", "searches"),)))
    known = registry_of(tiny, needy, packed, replace(tiny, name="anomalib:tiny"))
    monkeypatch.setattr(command, "load_plugins", lambda files: known)
    return known


def run(data, results, *words):
    where = ("-d", "folder", "-c", "bolts", "--data-root", data, "--results", results)
    return adbench("run", *where, *words)


def ran(results) -> set[str]:
    return {result.method for result in store.read_all(results).results}


def test_all_leaves_out_what_lacks_something_and_says_what(methods, tiny_data, tmp_path):
    """One line names each method with its missing folder or package, and those that run only by name."""
    done = run(tiny_data, tmp_path, "-m", "all")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.splitlines()[0] == (
        "--method all leaves out needy (lacks --aux textures=DIR), packed (lacks the package no_such_one), "
        "anomalib:tiny (only where named). See adbench list methods NAME."
    )
    assert ran(tmp_path) == {"tiny"}


@pytest.mark.parametrize("words", [("-o", "needy.textures=none"), ("--aux", "textures=FOLDER")], ids=" ".join)
def test_all_has_a_method_whose_requirement_is_met(methods, words, tiny_data, tmp_path):
    """An option that does without the folder, or the folder itself, lets the method run with the others."""
    folder = tmp_path / "textures"
    folder.mkdir()
    (folder / "a").write_bytes(b"x")
    done = run(tiny_data, tmp_path / "results", "-m", "all", *(word.replace("FOLDER", str(folder)) for word in words))
    assert done.exit_code == 0, done.stderr
    assert ran(tmp_path / "results") == {"tiny", "needy"}
    assert "leaves out packed (lacks the package no_such_one), anomalib:tiny" in done.stderr


def test_all_leaves_out_methods_without_the_asked_setting(tiny, tiny_data, tmp_path, monkeypatch):
    """--shots trains the methods that learn from few images, and names the others; one that is named is refused."""
    single = replace(tiny, name="single", settings=("one-class",))
    monkeypatch.setattr(command, "load_plugins", lambda files: registry_of(tiny, single))
    assert "few-shot" in tiny.settings
    done = run(tiny_data, tmp_path, "-m", "all", "--shots", 2)
    assert done.exit_code == 0, done.stderr
    assert "--method all leaves out single (lacks the setting few-shot)" in done.stderr
    assert ran(tmp_path) == {"tiny"}
    refused = run(tiny_data, tmp_path, "-m", "tiny,single", "--shots", 2)
    assert refused.exit_code == 2
    assert "single does not support --setting few-shot" in refused.stderr


def test_all_is_silent_where_nothing_is_left_out(tiny, tiny_data, tmp_path, monkeypatch):
    """Without such methods there is no line."""
    monkeypatch.setattr(command, "load_plugins", lambda files: registry_of(tiny))
    done = run(tiny_data, tmp_path, "-m", "all")
    assert done.exit_code == 0
    assert "leaves out" not in done.stderr


def test_a_named_method_is_never_left_out(methods, tiny_data, tmp_path):
    """What lacks something is an error with a hint, exit code 2; another library's method runs."""
    refused = run(tiny_data, tmp_path, "-m", "tiny,needy")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "needy needs textures: images that defects are painted from. Give --aux textures=DIR" in refused.stderr
    assert run(tiny_data, tmp_path, "-m", "anomalib:tiny").exit_code == 0
    assert ran(tmp_path) == {"anomalib:tiny"}


@pytest.mark.parametrize(
    "words",
    [
        ("run", "-d", "demo", "-m", "random", "-c", "all,brick"), ("run", "-d", "demo", "-m", "all,random"),
        ("data", "check", "demo", "-c", "all,brick"), ("leaderboard", "-c", "all,bolts"),
    ],
)  # fmt: skip
def test_all_stands_alone(words, ran):
    """Beside other names it would be one too many or say nothing; every command says that in the same words."""
    results = () if words[0] == "data" else ("--results", ran)
    found = adbench(*words, *results)
    assert (found.exit_code, "found all, beside others, wanted all, or names of" in found.stderr) == (2, True)


def test_help_says_what_all_is():
    """The option's help names what is left out."""
    text = " ".join(adbench("run", "--help").stdout.split())
    assert "all: every method but those that lack a package, --aux or the setting, and those named anomalib:..." in text
