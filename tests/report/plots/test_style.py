"""How figures are written: the same bytes for the same input, fonts embedded, whatever the user's settings."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from adbench.report.plots import style
from adbench.util.errors import ResultError, UsageError

matplotlib = pytest.importorskip("matplotlib")

DRAWING = """
import sys
from pathlib import Path
from matplotlib.figure import Figure
from adbench.report.plots import style
with style.settings():
    figure = Figure(figsize=(2, 1))
    axes = figure.add_subplot()
    axes.plot([1, 2], [3, 4], "o-", label="a $b$")
    axes.legend()
    axes.fill_between([1, 2], [3, 4], hatch="//", clip_on=True)
    for suffix in ("svg", "pdf"):
        style.write(figure, Path(sys.argv[1]) / f"f.{suffix}")
"""


def drawn(folder: Path, title: str = "a title") -> list[str]:
    """Write a small figure in both formats, and return what was warned of."""
    from matplotlib.figure import Figure

    with style.settings():
        figure = Figure(figsize=(2, 1))
        figure.add_subplot().set_title(title)
        return [each for suffix in ("svg", "pdf") for each in style.write(figure, folder / f"f.{suffix}")]


@pytest.mark.slow
def test_the_same_figure_gives_the_same_bytes_in_another_process(tmp_path, monkeypatch):
    """Neither the time nor the hash seed nor the random names of Matplotlib's parts are in a file."""
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
    command = [sys.executable, "-c", DRAWING, str(tmp_path / "there")]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "7"}, cwd=tmp_path)
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path / "here")])
    exec(DRAWING, {})
    for name in ("f.svg", "f.pdf"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def test_fonts_are_embedded(tmp_path):
    """Letters are outlines in SVG; in PDF they are TrueType, and never Type 3, which publishers refuse."""
    assert drawn(tmp_path) == []
    image = ElementTree.parse(tmp_path / "f.svg")
    assert not [each for each in image.iter() if each.tag.endswith("}text")]
    data = (tmp_path / "f.pdf").read_bytes()
    assert b"/FontFile2" in data
    assert b"/Type3" not in data
    assert b"CreationDate" not in data


def test_settings_of_the_user_change_nothing_and_come_back(tmp_path):
    """A matplotlibrc of another font or size makes no other figure."""
    (tmp_path / "own").mkdir()
    (tmp_path / "plain").mkdir()
    drawn(tmp_path / "plain")
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False}):
        drawn(tmp_path / "own")
        assert matplotlib.rcParams["font.size"] == 30
    assert (tmp_path / "own" / "f.svg").read_bytes() == (tmp_path / "plain" / "f.svg").read_bytes()


def test_letters_that_the_font_lacks_are_reported(tmp_path):
    """They are boxes in the figure, which a person should know."""
    assert any("lacks some letters" in each for each in drawn(tmp_path, "零件"))


@pytest.mark.parametrize(("name", "found"), [("f.png", "found '.png'"), ("f", "found no suffix")])
def test_other_formats_are_a_mistake(tmp_path, name, found):
    """Papers take vectors."""
    with pytest.raises(UsageError, match=rf"{found}, wanted \.svg or \.pdf"):
        style.suffix_of(tmp_path / name)


def test_a_file_that_cannot_be_written_is_a_mistake(tmp_path):
    """A file in place of the folder is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match=r"f\.svg can't be written"):
        drawn(tmp_path / "file")


def test_without_matplotlib_the_line_to_install_it_is_said(monkeypatch):
    """Asked for but not installed is a mistake of the user, and no traceback."""
    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r'found no Matplotlib. pip install -e "\.\[figures\]"'):
        style.require()
