"""The pages in a real browser: filters, addresses, sorting, and no width that overflows."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from made_results import make_result
from pages import SCORES, put

from adbench.api import registry
from adbench.report import site
from adbench.report.site import render

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)

PROBE = """{
const found = {};
const seen = (kind) => [...document.querySelectorAll(kind)].filter((each) => each.offsetParent).length;
const box = document.querySelector(".filters");
if (box) {
  found.open = box.open;
  found.output = box.querySelector("output").textContent;
  box.open = true;
  const select = box.querySelector("select[name=method]");
  select.value = [...select.options].find((each) => each.textContent === "a").value;
  select.dispatchEvent(new Event("input", { bubbles: true }));
  found.rows = seen("tr[data-facets]");
  found.boards = seen(".board");
  found.said = box.querySelector("output").textContent;
  found.address = location.search;
}
const head = document.querySelector("th[aria-sort] button");
if (head) head.click();
found.sorted = head ? head.parentElement.getAttribute("aria-sort") : "";
document.querySelectorAll("details").forEach((each) => { each.open = true; });
found.fits = document.documentElement.scrollWidth <= innerWidth;
found.back = getComputedStyle(document.body).backgroundColor;
document.body.dataset.probe = JSON.stringify(found);
}"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The site of two methods on two data sets; one of them on one alone."""
    folder = tmp_path_factory.mktemp("made")
    long = "x" * 80
    results = [
        make_result("a", "bolts"), make_result("a", "nuts"), make_result("b", "bolts", image=0.8, seed=3),
        make_result("b", "bolts", dataset="other"), make_result("b", long, dataset="other", overrides={"note": long}),
    ]  # fmt: skip
    for each in results:
        put(folder / "results", replace(each, command=f"adbench run {long * 4}"), SCORES)
    site.build([folder / "results"], folder / "site", registry=registry.load())
    return folder / "site"


def probed(page: Path, tmp: Path, width: int, *, dark: bool = False, query: str = "") -> dict:
    """What the probe finds on a page in a window of a width; narrow ones are frames, since windows can't be."""
    copied = tmp / "copied"
    shutil.copytree(page.parents[1] if page.parent.name != "site" else page.parent, copied, dirs_exist_ok=True)
    place = copied / (page.name if page.parent.name == "site" else f"{page.parent.name}/{page.name}")
    (copied / "probe.js").write_text(PROBE, encoding="utf-8")
    root = "" if place.parent == copied else "../"
    text = place.read_text(encoding="utf-8").replace("</body>", f'<script src="{root}probe.js"></script></body>')
    place.write_text(text, encoding="utf-8")
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp / 'profile'}",
               f"--window-size={width},900", "--enable-logging=stderr", "--dump-dom",
               *(["--blink-settings=preferredColorScheme=0"] if dark else []), place.as_uri() + query]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=True)
    assert "CONSOLE" not in done.stderr
    return json.loads(html.unescape(re.search(r'data-probe="([^"]*)"', done.stdout).group(1)))


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine to open the pages in")
@pytest.mark.parametrize(("width", "dark"), [(1366, False), (500, True)])
def test_filters_hide_rows_and_boards_and_stand_in_the_address(made, tmp_path, width, dark):
    """Choosing a method leaves its rows and its boards; a phone's filters are closed at first; nothing overflows."""
    found = probed(made / "index.html", tmp_path, width, dark=dark)
    assert found["open"] == (width > 700)
    assert found["output"] == "4 variants"
    assert (found["rows"], found["boards"]) == (1, 1)
    assert found["said"].startswith("1 of 4 variants")
    assert found["address"] == "?method=a"
    assert found["sorted"] in ("ascending", "descending")
    assert found["fits"]
    assert found["back"] == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine to open the pages in")
def test_an_address_with_a_choice_shows_it(made, tmp_path):
    """Of five runs the three of method b are listed, and the filters are open on a phone as well."""
    found = probed(made / "runs.html", tmp_path, 500, query="?method=b")
    assert found["open"]
    assert found["output"].startswith("3 of 5 runs")
    assert found["fits"]


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine to open the pages in")
@pytest.mark.parametrize("kind", ["methods", "runs"])
def test_long_names_and_commands_fit_a_phone(made, tmp_path, kind):
    """The pages of a method and of a run are no wider than the window."""
    pages = sorted((made / kind).glob("*.html"))
    page = next(path for path in pages if "xxxx" in path.read_text(encoding="utf-8"))
    assert probed(page, tmp_path, 500)["fits"]


def test_style_and_script_ask_for_nothing():
    """Neither imports a file or a font, or fetches anything."""
    text = (render.style() + render.script()).decode()
    assert not re.search(r"@import|url\(|https?://(?!www\.w3\.org)|fetch\(|XMLHttpRequest|import\(", text)
    assert render.style() == render.style()
