from __future__ import annotations

import errno
import inspect
import os
import pickle

import pytest

from adbench.util import errors


def all_errors():
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.AdbenchError)]


def test_a_message_has_thing_found_wanted_and_hint():
    """The message has the four parts in that order, as short sentences."""
    error = errors.DataError("image a.png", found="12 bytes", wanted="an image", hint="Use --skip-bad")

    assert str(error) == "image a.png: found 12 bytes, wanted an image. Use --skip-bad."


@pytest.mark.parametrize(
    ("name", "expected"), [("msflw", "Did you mean 'msflow'?"), ("zzz", "wanted one of cflow, msflow")]
)
def test_an_unknown_name_offers_the_nearest(name, expected):
    """For a typo the message suggests a name, otherwise it lists the known ones."""
    assert expected in str(errors.UnknownNameError("method", name, ["msflow", "cflow"]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("auroc", "Did you mean 'image_auroc' or 'pixel_auroc'?"),
        ("AUPRO", "Did you mean 'aupro'?"),
        ("a", "wanted one of aupro, image_ap, image_auroc, pixel_auroc."),
        ("image_auc", "Did you mean 'image_auroc'?"),
    ],
)
def test_a_part_of_names_offers_all_of_them(name, expected):
    """What was typed may stand in several names, of which none is nearer; a single letter stands in too many."""
    known = ["image_auroc", "image_ap", "pixel_auroc", "aupro"]
    assert expected in str(errors.UnknownNameError("metric", name, known))


def test_every_error_survives_a_pickle():
    """An error raised in another process comes back with its type and message."""
    own = {errors.UnknownNameError: ("method", "x", ["y"]), errors.SizeError: ("a network", (30, 40), 14)}
    for kind in all_errors():
        error = kind(*own[kind]) if kind in own else kind("x", found="y")
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), str(back)) == (kind, str(error))


def test_exit_codes_follow_the_tree():
    """A user's mistake has 2 and everything else 1, as the tree of errors says."""
    for kind in all_errors():
        assert kind.exit_code == (2 if issubclass(kind, errors.UsageError) else 1)


def test_the_tree_at_the_top_of_the_module_is_complete():
    """The module's docstring shows every error class."""
    for kind in all_errors():
        assert kind.__name__ in errors.__doc__


@pytest.mark.parametrize(
    ("error", "line", "described"),
    [
        (ValueError("two\nlines"), "two", "ValueError: two"),
        (RuntimeError("\n  led in by a blank one"), "led in by a blank one", "RuntimeError: led in by a blank one"),
        (KeyError(), "KeyError", "KeyError"),
        (errors.TaskError("it", found="that"), "it: found that.", "it: found that."),
    ],
)
def test_an_error_in_one_line(error, line, described):
    """An error of any type is one line; those of adbench are sentences and need no type."""
    assert (errors.first_line(error), errors.described(error)) == (line, described)


def test_what_lies_where_something_else_is_wanted(tmp_path):
    """A path that exists as another kind is not called missing."""
    (tmp_path / "file").touch()
    assert errors.absent(tmp_path, "file") == "a folder"
    assert errors.absent(tmp_path / "file", "folder") == "a file"
    assert errors.absent(tmp_path / "other", "folder") == "no such folder"


@pytest.mark.parametrize(("value", "text"), [(1, "an int"), ([], "a list"), (None, "None"), (OSError(), "an OSError")])
def test_a_type_has_its_article(value, text):
    """Messages name a type as people would."""
    assert errors.type_text(value) == text


def test_the_reason_of_an_error_of_the_system_has_no_path():
    """The system's own words; else the first line of the message, else the name of the type."""
    assert errors.reason(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "a/path")) == os.strerror(
        errno.ENOENT
    )
    assert errors.reason(OSError("no number\nsecond line")) == "no number"
    assert errors.reason(KeyError()) == "KeyError"
