"""Requirements of a method besides images: messages if they are missing, and none otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from needy_method import TEACHER, TEXTURES, NeedyOptions

from adbench import Options, Package, Requirements, UsageError
from adbench.api.requirements import importing, require, require_packages, unmet
from adbench.util.errors import UnknownNameError

NEEDS = Requirements(auxiliary=(TEXTURES, TEACHER))


def test_what_is_missing_is_said_whole():
    """One error has method, purpose, source, licence, the cost of going without, and the option."""
    with pytest.raises(UsageError) as caught:
        require("needy", NEEDS, NeedyOptions(), {})
    assert str(caught.value) == (
        "needy needs textures: images that defects are painted from. "
        "Give --aux textures=DIR (https://www.robots.ox.ac.uk/~vgg/data/dtd/). Licence: for research only. "
        "Without it: -o textures=none paints defects of one colour, which costs some points."
    )


def test_the_options_decide_whether_it_is_needed(tmp_path):
    """Nothing is missing with an option that goes without, with the folder given, or only to score."""
    (tmp_path / "a.png").touch()
    require("needy", NEEDS, NeedyOptions(textures="none"), {})
    require("needy", NEEDS, NeedyOptions(), {"textures": tmp_path})
    require("needy", NEEDS, NeedyOptions(), {}, training=False)


def test_auxiliary_data_is_needed_unless_it_says_otherwise():
    """By default all options need it."""
    from adbench import Auxiliary

    with pytest.raises(UsageError, match=r"m needs teacher: its weights. Give --aux teacher=FILE"):
        require("m", Requirements(auxiliary=(Auxiliary("teacher", "its weights"),)), Options(), {})


@pytest.mark.parametrize("training", [True, False])
def test_unknown_names_are_refused_with_the_known_ones(training):
    """A misspelt name is an error."""
    with pytest.raises(UnknownNameError, match=r"'texture': wanted one of teacher, textures. Did you mean 'textures'"):
        require("needy", NEEDS, NeedyOptions(), {"texture": Path("x")}, training=training)
    with pytest.raises(UsageError, match="--aux textures: found no auxiliary data in plain"):
        require("plain", Requirements(), Options(), {"textures": Path("x")})


def test_a_path_must_be_there_and_of_its_kind(tmp_path):
    """A file in place of a folder, a folder in place of a file, and a missing path are refused."""
    file = tmp_path / "file"
    file.write_bytes(b"")
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    for given, found in (
        ({"textures": tmp_path / "empty"}, "found an empty folder, wanted a folder with files: images that"),
        ({"textures": file}, r"found a file, wanted a folder: images that"),
        ({"textures": tmp_path, "teacher": tmp_path}, "found a folder, wanted a file: weights of the teacher"),
        ({"textures": tmp_path / "gone"}, "found no such file or folder, wanted a folder"),
    ):
        with pytest.raises(UsageError, match=found):
            require("needy", NEEDS, NeedyOptions(), given)


def test_a_missing_package_is_named_with_what_pip_installs():
    """A missing package is refused in training and in scoring; an installed one is not imported for the check."""
    there, gone = Package("json", "json", "reads"), Package("no_such_one", "no-such>=2", "searches")
    for training in (True, False):
        with pytest.raises(UsageError, match=r'no_such_one: searches. Install it: pip install "no-such>=2"'):
            require("m", Requirements(packages=(there, gone)), Options(), {}, training=training)
    with pytest.raises(UsageError, match=r"no_such.inner"):
        require("m", Requirements(packages=(Package("no_such.inner", "x", "y"),)), Options(), {})


def test_what_is_unmet_is_said_in_a_few_words(tmp_path):
    """Missing packages and data are listed, as far as the options need them; what is there is not."""
    needs = Requirements((Package("json", "json", "reads"), Package("no_such_one", "x", "y")), (TEXTURES, TEACHER))
    assert unmet(needs, NeedyOptions(), {}) == ["the package no_such_one", "--aux textures=DIR"]
    assert unmet(NEEDS, NeedyOptions(textures="none"), {}) == []
    assert unmet(NEEDS, NeedyOptions(), {"textures": tmp_path}) == []


def test_a_folder_of_the_right_name_is_no_package(tmp_path, monkeypatch):
    """Trackers write folders named after themselves, and Python takes any folder for an empty package."""
    (tmp_path / "wanted_one").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=r'm needs the package wanted_one: logs. Install it: pip install "one>=1"'):
        require_packages("m", [Package("wanted_one", "one>=1", "logs")])
    (tmp_path / "wanted_one" / "__init__.py").touch()
    require_packages("m", [Package("wanted_one", "one>=1", "logs")])


def test_an_import_that_breaks_says_how_to_install_it_again():
    """A package that is there may be broken; other errors pass."""
    packages = [Package("numpy", "numpy>=2", "arrays")]
    wanted = r"^--track own: found ImportError: no symbol\. Install it again: pip install \"numpy>=2\"\.$"
    with pytest.raises(UsageError, match=wanted), importing("--track own", packages):
        raise ImportError("no symbol")
    with pytest.raises(ValueError, match="other"), importing("--track own", packages):
        raise ValueError("other")
