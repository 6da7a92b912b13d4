"""Renders dataclasses to HTML with the templates beside this module, which escape every text.

An XML parser can read the page, too: a test finds whatever is not well-formed.
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ...run.overlay import HIGH_PERCENTILE, INFERNO, LOW_PERCENTILE, WIDE, Polygon
from ...util.text import printable
from ..tables import AnyTable, Cell, Column, cell_text
from .charts import Chart, style_class


def page_html(page: object) -> str:
    """Render the whole document; ``page`` is a ``document.Page``, which this module must not import."""
    script = asset("shared.js") + asset("report.js")
    return environment().get_template("page.html.j2").render(page=page, style=asset("report.css"), script=script)


def table_html(table: AnyTable) -> str:
    """Render the columns that people see. Each cell carries its full number, by which the page's script sorts."""
    return _macro("table.html.j2", "table", table)


def chart_svg(chart: Chart) -> str:
    """Render a chart as an ``svg`` element."""
    return _macro("chart.svg.j2", "chart", chart)


def stacked(table: AnyTable) -> list[tuple[Column[Any], tuple[Column[Any], ...]]]:
    """The columns that people see, each with those that stand below its numbers, such as an interval.

    First comes what a row is about, then the ranked metric, so that a phone shows both.
    """
    found: list[tuple[Column[Any], tuple[Column[Any], ...]]] = []
    for column in table.columns_for("people"):
        if column.beside and found and found[-1][0].kind != "text":
            found[-1] = (found[-1][0], (*found[-1][1], column))
        else:
            found.append((column, ()))
    return sorted(found, key=lambda each: _place(each[0]))


def _place(column: Column[Any]) -> int:
    """Its group among the columns: what a row is about, the ranked metric, what is said of it, the rest."""
    main = 1 if column.kind != "text" else 2
    return {"key": 0, "main": main, "other": 3}[column.role]


def breakable(text: str) -> Markup:
    """Escape a text, and allow line breaks after the punctuation inside a variant's name or a path."""
    return Markup(re.sub(r"(?<=[,:/])(?=[^\s,:/])", "<wbr/>", str(escape(printable(text)))))


@cache
def environment(*packages: str) -> Environment:
    """The templates of the page, after those of other packages; all escape every text."""
    loaders = [PackageLoader(name) for name in (*packages, "adbench.report.page")]
    made = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined, finalize=_finalize,
    )  # fmt: skip
    made.filters.update(
        breakable=breakable, cell_text=cell_text, data_uri=_data_uri, number=_number, outline=_outline,
        stacked=stacked, style_class=style_class,
    )  # fmt: skip
    made.globals.update(
        ramp=", ".join(f"rgb({red} {green} {blue})" for red, green, blue in INFERNO),
        scale_meaning=f"the {LOW_PERCENTILE:g}th to the {HIGH_PERCENTILE:g}th percentile",
        wide=WIDE,
    )
    return made


def _macro(template: str, name: str, value: AnyTable | Chart) -> str:
    return str(getattr(environment().get_template(template).module, name)(value))


def _finalize(value: object) -> object:
    """Prepare every template expression before it is escaped; markup stays as it is."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value)


def _number(value: Cell) -> str:
    """A cell's full number for sorting; empty if it is no number."""
    return repr(value) if isinstance(value, (int, float)) and math.isfinite(value) else ""


def asset(name: str, package: str = "adbench.report.page") -> Markup:
    """A style sheet or script beside the templates."""
    return Markup((files(package) / "assets" / name).read_text(encoding="utf-8"))


def _data_uri(image: bytes) -> Markup:
    """An encoded WebP image as a data URI; as markup, since escaping megabytes takes time."""
    return Markup("data:image/webp;base64," + b64encode(image).decode("ascii"))


def _outline(polygons: Sequence[Polygon]) -> str:
    """Polygons as the data of an SVG path."""
    return "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in polygon[:-1]) + "Z" for polygon in polygons)
