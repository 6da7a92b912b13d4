"""HTML and SVG as Python values: text is escaped unless it is markup already."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

Attribute = str | int | float | bool | None

_VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


class Html(str):
    """Text that is markup and goes into a page as it stands."""

    __slots__ = ()


def tag(name: str, attributes: Mapping[str, Attribute] | None = None, *children: str) -> Html:
    """Write one element with its children; a child that isn't ``Html`` is escaped.

    An attribute of None or False is left out, one of True stands without a value.
    """
    head = name + "".join(_attribute(key, value) for key, value in (attributes or {}).items())
    if name in _VOID:
        return Html(f"<{head}>")
    return Html(f"<{head}>{join(*children)}</{name}>")


def join(*children: str) -> Html:
    """Put pieces one after the other; text among them is escaped."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children))


def breakable(text: str) -> Html:
    """Escape text, and let lines break after the marks inside a variant's name or a path."""
    return Html(re.sub(r"(?<=[,:/])(?=[^\s,:/])", "<wbr>", escape(text, quote=False)))


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    return f" {key}" if value is True else f' {key}="{escape(str(value))}"'
