"""How figures look and are written: fonts embedded, readable in grey, and the same bytes for the same input."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...util import files
from ...util.errors import ResultError, UsageError, reason
from ...util.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".pdf")

COLOURS = ("#0072b2", "#c44e00", "#007a56", "#a03e80", "#7d6000")
"""Of the report, too: they differ for colour-blind people (after Okabe and Ito, 2008)."""

DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (8, 2)))

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Each series has its own colour, dash and marker, so that figures can be read in grey."""

GREY = "#6b7785"

_SETTINGS: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with Matplotlib, so that every machine draws the same
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.linewidth": 0.4,
    "grid.color": "#d9dde2",
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "text.parse_math": False,  # a name may have dollar signs
    "svg.fonttype": "path",  # letters as outlines: no reader needs the font
    "svg.hashsalt": "adbench",  # else the names of parts are random
    "pdf.fonttype": 42,  # TrueType, embedded; publishers refuse Matplotlib's default, Type 3
    "savefig.dpi": 300,
}


def require() -> None:
    """Check that Matplotlib is there. Raises ``UsageError`` with the line that installs it."""
    try:
        import matplotlib  # noqa: F401 - is it there?
    except ImportError as error:
        raise UsageError("figures", found="no Matplotlib", hint='pip install -e ".[figures]"') from error


def suffix_of(path: Path) -> str:
    """The format of a file by its suffix: "svg" or "pdf". Raises ``UsageError`` for any other."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"-o {path}", found=f"'{path.suffix}'" if suffix else "no suffix", wanted=" or ".join(SUFFIXES)
        )
    return suffix[1:]


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """Draw with these settings, whatever the user's own say."""
    require()
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def new_figure(width: float, height: float, *, layout: str | None = None) -> Figure:
    """An empty figure of a size in inches, on which texts can be measured."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=288, layout=layout)
    FigureCanvasAgg(figure)  # attaches itself
    return figure


def shown(text: str) -> str:
    """A name as it is drawn: control characters as escapes."""
    return printable(text)


def write(figure: Figure, path: Path) -> list[str]:
    """Write a figure as SVG or PDF, within ``settings``.

    Returns:
        Warnings for people: letters that the font lacks.

    Raises:
        UsageError: the suffix is neither ``.svg`` nor ``.pdf``.
        ResultError: the file can't be written.
    """
    kind = suffix_of(path)
    metadata = {"Date": None} if kind == "svg" else {"CreationDate": None}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            files.write(path, lambda stream: figure.savefig(stream, format=kind, metadata=metadata))
    except OSError as error:
        raise ResultError(
            f"{path} can't be written", found=reason(error), hint="Choose another file with -o"
        ) from error
    missing = any("missing from font" in str(each.message) for each in caught)
    return ["The figure's font, DejaVu Sans, lacks some letters of the names: they are boxes."] if missing else []
