"""The hook of MkDocs: navigation and tables, and the whole site, built without warnings."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from doc_blocks import ROOT

from adbench.api import registry
from adbench.cli.main import app
from docsite import hook, methods


def test_every_page_is_in_the_navigation_once():
    """Pages that are named stay where they are; commands and methods join their parts, and all others the guides."""
    nav = [{"Start": ["index.md", "faq.md"]}, {"Guides": []}, {"Commands": ["commands/index.md"]},
           {"Methods": ["methods/README.md"]}]  # fmt: skip
    made = ["commands/index.md", "commands/run.md", "methods/random.md", "hooks.md"]
    parts = {title: pages for part in hook.completed(nav, made) for title, pages in part.items()}
    assert parts["Start"] == ["index.md", "faq.md"]
    assert parts["Commands"] == ["commands/index.md", "commands/run.md"]
    assert parts["Methods"][0] == "methods/README.md"
    assert {"methods/padim.md", "methods/random.md"} <= set(parts["Methods"])
    assert {"speed.md", "hooks.md"} <= set(parts["Guides"])
    everything = [page for pages in parts.values() for page in pages]
    assert len(everything) == len(set(everything))


def test_bars_in_code_lose_their_backslash_in_tables_alone():
    r"""``\|`` in code within a row of a table is a bar; elsewhere it stays."""
    assert hook.bars("| `a\\|b` | c\\|d |\n`e\\|f`\n") == "| `a|b` | c\\|d |\n`e\\|f`\n"


def test_methods_have_one_page_each():
    """A method with a hand-written page is not made a second time."""
    known = registry.load()
    made = {page.path for page in hook.made(known)}
    for method in methods.own(known):
        is_written = (ROOT / "docs" / "methods" / f"{method.name}.md").exists()
        assert (f"methods/{method.name}.md" in made) != is_written


class Addresses(HTMLParser):
    """Collects what a page loads or links to."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        is_loaded = tag in ("script", "img", "iframe") or (tag == "link" and values.get("rel") != "canonical")
        self.loaded += [values[key] or "" for key in ("src", "href") if is_loaded and key in values]


CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--virtual-time-budget=5000",
]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built as CI builds it."""
    if find_spec("material") is None:
        pytest.skip('the site needs pip install -e ".[docs]"')
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)], cwd=ROOT,
        capture_output=True, text=True, encoding="utf-8", check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_a_page_for_everything(site):
    """Commands, methods and data sets have their pages, and README is the first one."""
    for name in app.commands:
        assert (site / "commands" / f"{name}.html").exists()
    for method in methods.own(registry.load()):
        text = (site / "methods" / f"{method.name}.html").read_text(encoding="utf-8")
        assert "Published numbers" in text
    assert "What you can trust" in (site / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_site_needs_no_network(site):
    """No page loads anything from elsewhere, and what it loads is there."""
    for page in site.rglob("*.html"):
        parser = Addresses()
        parser.feed(page.read_text(encoding="utf-8"))
        for address in parser.loaded:
            parts = urlsplit(address)
            assert not parts.netloc, f"{page.name} loads {address}"
            if parts.path and not parts.scheme:
                place = (
                    site / parts.path.lstrip("/") if parts.path.startswith("/") else page.parent / unquote(parts.path)
                )
                assert place.exists(), f"{page.name}: {address}"


@pytest.mark.slow
def test_the_search_knows_the_pages(site):
    """The index of the search has the options of commands and the facts of methods."""
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"].partition("#")[0]: "" for entry in index["docs"]}
    for entry in index["docs"]:
        found[entry["location"].partition("#")[0]] += re.sub(r"<[^>]+>", "", entry["text"])
    assert "--target-false-alarms" in found["commands/run.html"]
    assert "dimensions" in found["methods/padim.html"]


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_the_search_works_from_disk(site, tmp_path):
    """A browser that opened a page from disk, without a server, finds the pages with a word."""
    address = f"{(site / 'index.html').as_uri()}?q=false-alarms"
    done = subprocess.run(
        [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path}", "--dump-dom", address], capture_output=True, text=True,
        encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert re.search(r"[1-9]\d* matching documents", done.stdout), done.stderr[-2000:]
    assert re.search(r'href="[^"]*thresholds\.html[^"]*" class="md-search-result__link"', done.stdout)
