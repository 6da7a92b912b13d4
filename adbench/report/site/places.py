"""Where the pages lie in the site: names that every file system and every host takes, and relative links."""

from __future__ import annotations

import hashlib
import re

from ...results.records import Result
from .library import key_of

INDEX, RUNS = "index.html", "runs.html"
STYLE, SCRIPT = "assets/site.css", "assets/site.js"

FOLDERS = ("assets", "methods", "runs")
"""All folders of a site."""

_LONGEST = 40
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")


def method_page(name: str) -> str:
    """The page of a method, below the site's folder."""
    return f"methods/{_file_name(name)}.html"


def run_page(result: Result) -> str:
    """The page of a run, below the site's folder."""
    key = key_of(result)
    return f"runs/{_plain('-'.join(key[:3]))}-{_digest(*key)}.html"


def from_folder(place: str) -> str:
    """A link to a page, seen from a page in one of the folders."""
    return f"../{place}"


def anchor(*parts: str) -> str:
    """A fragment's name for some texts, which differs for other texts."""
    return f"{_plain('-'.join(parts))}-{_digest(*parts)}"


def _file_name(name: str) -> str:
    """The name itself where it is plain; else with a digest, so that no two names share a file in any case."""
    plain = _plain(name)
    return plain if plain == name and not _RESERVED.fullmatch(plain) else f"{plain}-{_digest(name)}"


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST].strip("-") or "x"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:12]
