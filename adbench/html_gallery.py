"""A gallery as HTML: each picture beside its map, with the true outline drawn over both."""

from __future__ import annotations

import base64
from itertools import groupby

from .gallery import Entry, Gallery
from .markup import Html, breakable, join, tag
from .overlay import HIGH_PERCENTILE, INFERNO, LOW_PERCENTILE, Polygon, Scale


def to_html(gallery: Gallery, label: str) -> Html:
    """Write one run's gallery under its label, heading by heading."""
    parts = [tag("h5", None, breakable(label))]
    if gallery.scale is not None:
        parts.append(_scale(gallery.scale))
    if gallery.remark:
        parts.append(tag("p", {"class": "note"}, gallery.remark))
    for heading, entries in groupby(gallery.entries, key=lambda entry: entry.choice.heading):
        figures = [_figure(entry) for entry in entries]
        parts += [tag("h6", None, heading), tag("div", {"class": "gallery"}, *figures)]
    if gallery.left_out:
        parts.append(tag("p", {"class": "note"}, f"{gallery.left_out} more left out, to keep this page small."))
    return join(*parts)


def _scale(scale: Scale) -> Html:
    """The colour bar of all maps below it."""
    colours = ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in INFERNO)
    bar = tag("span", {"class": "ramp", "style": f"background: linear-gradient(to right, {colours})"})
    what = (
        f"one scale for all maps here: the {LOW_PERCENTILE:g}th to the {HIGH_PERCENTILE:g}th percentile of their pixels"
    )
    return tag("p", {"class": "scale"}, f"{scale.low:.3g} ", bar, f" {scale.high:.3g}", tag("span", None, what))


def _figure(entry: Entry) -> Html:
    score = entry.choice.score
    panes = [_pane(entry, entry.picture, f"{score.path}: the picture")]
    if entry.heat is not None:
        panes.append(_pane(entry, entry.heat, f"{score.path}: its anomaly map"))
    kind = "good" if score.label else "defective"
    name = score.path.rpartition("/")[2]
    where = f"{score.defect} / {name}"
    beaten = f"above {entry.choice.beaten} of {entry.choice.others} {kind}"
    caption = tag(
        "figcaption", {"title": score.path}, tag("b", None, f"score {score.score:.5g}"), f", {beaten}",
        tag("span", {"class": "where"}, where),
    )  # fmt: skip
    return tag("figure", {"class": "entry"}, tag("div", {"class": "panes"}, *panes), caption)


def _pane(entry: Entry, picture: bytes, alt: str) -> Html:
    height, width = entry.size
    data = base64.b64encode(picture).decode("ascii")
    image = tag("img", {"src": f"data:image/webp;base64,{data}", "alt": alt, "width": width, "height": height,
                        "decoding": "async"})  # fmt: skip
    drawn = [_outline(entry.outline, width, height)] if entry.outline else []
    return tag("div", {"class": "pane"}, image, *drawn)


def _outline(polygons: tuple[Polygon, ...], width: int, height: int) -> Html:
    data = "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in polygon[:-1]) + "Z" for polygon in polygons)
    lines = [tag("path", {"d": data, "class": kind}) for kind in ("halo", "edge")]
    box = {"class": "outline", "viewBox": f"0 0 {width} {height}", "preserveAspectRatio": "none", "aria-hidden": "true"}
    return tag("svg", box, *lines)
