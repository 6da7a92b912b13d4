"""The report: one page of stored results, safe with any names, and working in a real browser."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_results import make_audit, make_result
from pages import SCORES, Reader, put, record, write
from runs import TINY, adbench, run_tiny

from adbench.api import registry
from adbench.api.scores import Threshold
from adbench.report import page
from adbench.report.page import figures, templates
from adbench.report.tables import Column, Table
from adbench.results import run_files, store
from adbench.run import gallery, overlay
from adbench.run.audit import Audited
from adbench.run.reopen import Reopener
from adbench.util.errors import ResultError

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)


NASTY = "<script>alert('x')</script>&\"_nuts"


@pytest.fixture(scope="module")
def written(results, tiny_data, tmp_path_factory) -> Path:
    """The page of these runs."""
    out = tmp_path_factory.mktemp("page")
    done = adbench("report", "-o", out, "--results", results, "--plugin", TINY, "--data-root", tiny_data)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == str(out / "index.html")
    return out / "index.html"


# ---------------------------------------------------------------- what it holds


def test_the_page_holds_everything_and_asks_for_nothing(written):
    """Leaderboard, charts, galleries, protocol and environment are there, and no external address."""
    read = Reader(written.read_text(encoding="utf-8"))
    for words in ("ranked by image AUROC", "Speed and accuracy", "ROC", "Precision and recall", "Scores: tiny:cpu",
                  "Worst misses", "Worst false alarms", "P1: ", "64x64 by stretch", "Python", "one seed"):  # fmt: skip
        assert words in read.text
    assert [each["id"] for each in read.all("details")] == ["c0-0", "c0-1"]
    addresses = [value for _, attributes in read.found for key, value in attributes.items() if key in ("src", "href")]
    assert {address[:10] for address in addresses if address[0] != "#"} == {"data:image"}
    assert len(read.all("img")) == 2 * 2 * 7 * 2  # classes, methods, images, each with its map
    policy = next(each for each in read.all("meta") if each.get("http-equiv"))["content"]
    assert "default-src 'none'" in policy
    assert [path.name for path in written.parent.iterdir()] == ["index.html"]


def test_the_same_results_give_the_same_page(results, written, tiny_data, tmp_path):
    """The page doesn't depend on the clock or on chance."""
    words = ("report", "-o", tmp_path, "--results", results, "--plugin", TINY, "--data-root", tiny_data)
    assert adbench(*words).exit_code == 0
    assert (tmp_path / "index.html").read_bytes() == written.read_bytes()


def test_no_name_becomes_markup(tmp_path):
    """Names of classes, options, images and defects and the command line are text, whatever their characters."""
    result = make_result(class_name=NASTY, overrides={"note": NASTY})
    put(tmp_path, replace(result, command=NASTY), [replace(each, defect=NASTY, path=NASTY) for each in SCORES])
    read = write(tmp_path, tmp_path / "out", *store.read_all(tmp_path).results)
    assert len(read.all("script")) == 1
    assert NASTY in read.text


def test_what_is_missing_is_said_and_the_rest_stands(results, tiny_data, tmp_path):
    """If images, pixel curves, checkpoints or scores are missing, a sentence says so."""
    copied = tmp_path / "results"
    shutil.copytree(results, copied)
    for path in (*copied.rglob("last.pt"), *copied.rglob("evidence.npz")):
        path.unlink()
    for path in (*copied.glob("folder/nuts/random/*/scores.csv"), *copied.glob("folder/bolts/*/*/evidence.npz")):
        path.unlink()
    runs = store.read_all(copied).results
    read = write(copied, tmp_path / "a", *runs, reopener=Reopener(registry.load([TINY]), [tiny_data], "cpu"))
    assert "No images here. checkpoint" in read.text
    assert "scores.csv: found no such file" in read.text
    assert "No curves over pixels" in read.text
    assert not read.all("img")
    lost = [replace(run, data_root=None) for run in runs]
    elsewhere = write(results, tmp_path / "b", *lost, reopener=Reopener(registry.load([TINY]), [], "cpu"))
    assert "Give --data-root DIR" in elsewhere.text
    assert "Worst misses" not in write(results, tmp_path / "c", *runs).text


@pytest.fixture(scope="module")
def lines(results, tmp_path_factory) -> int:
    """The number of curves on the page of undamaged results without images."""
    return len(write(results, tmp_path_factory.mktemp("whole"), *store.read_all(results).results).all("path", "line"))


def test_mean_ranks_are_drawn_where_there_are_enough_classes_or_data_sets(tmp_path):
    """Two methods on two data sets have a diagram over data sets; one class each has a sentence instead."""
    runs = [make_result(method, dataset=name) for method in "ab" for name in ("one", "two")]
    for each in runs:
        put(tmp_path, each, SCORES)
    text = write(tmp_path, tmp_path / "out", *runs).text
    assert "Over all data sets" in text
    assert "Mean ranks by image AUROC over 2 data sets" in text
    assert "it needs two variants on the same two classes at least" in text
    alone = write(tmp_path, tmp_path / "one", *[run for run in runs if run.dataset == "one"]).text
    assert "Over all data sets" not in alone


@pytest.mark.parametrize(
    ("name", "damage", "found"),
    [
        ("scores.csv", lambda text: text + text.split("\n", 1)[1], "doesn't fit its result"),
        pytest.param("scores.csv", lambda text: "", "doesn't fit its result", marks=pytest.mark.slow),
        ("epochs.csv", lambda text: text.replace("tiny", "x")[:-9], "doesn't fit its result"),
    ],
)
def test_a_file_that_does_not_fit_its_result_costs_its_curves_alone(results, lines, tmp_path, name, damage, found):
    """One sentence on the page and one on standard error name it; all other curves are drawn."""
    copied = tmp_path / "results"
    shutil.copytree(results, copied)
    for path in copied.glob(f"folder/nuts/tiny/*seed0*/{name}"):
        path.write_text(damage(path.read_text()))
    done = adbench("report", "-o", tmp_path / "out", "--results", copied, "--no-images")
    assert done.exit_code == 0, done.stderr
    read = Reader((tmp_path / "out" / "index.html").read_text(encoding="utf-8"))
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("Warning: ")]  # beside progress
    assert f"{name} {found}" in line
    assert read.text.count(f"{name} {found}") == 1
    fewer = lines - len(read.all("path", "line"))
    assert fewer == (2 if name == "scores.csv" else len(figures.MAIN_METRICS) + 1)


@pytest.mark.parametrize("cell", ["nan", "inf", "x" * 200_000])
def test_one_bad_cell_leaves_the_page(tmp_path, cell):
    """The page of all runs is written, even if results have no digest to check."""
    good, bad = (put(tmp_path, make_result(class_name=name), SCORES) for name in ("a", "b"))
    path = run_files.folder_of(tmp_path, bad).path / "scores.csv"
    path.write_text(path.read_text().replace("0.5", cell))
    said: list[str] = []
    read = write(tmp_path, tmp_path / "out", good, replace(bad, files={}), warn=said.append)
    assert "scores.csv can't be read" in read.text
    assert len(said) == 1
    assert "scores.csv can't be read" in said[0]
    assert "Scores: msflow" in read.text


def test_numbers_that_are_missing_from_a_result_leave_the_page(tmp_path):
    """NaN, which is null in JSON, is not drawn."""
    result = make_result(oracle={"image_auroc": 0.9})
    result = replace(
        result,
        threshold=Threshold(float("nan"), "a rule", None, None),
        oracle=tuple(replace(best, value=float("nan")) for best in result.oracle),
        timing=replace(result.timing, fit=float("nan"), images_per_second=float("nan")),
    )
    epochs = (record(1, 0.5, 900.0), record(2, 0.9, 30.0))
    read = write(tmp_path, tmp_path / "out", put(tmp_path, result, SCORES, epochs))
    assert "No chart of speed" in read.text
    assert not read.all("path", "oracle")
    assert not read.all("path", "threshold")


def test_parts_of_killed_reports_are_swept(tmp_path, results):
    """The next report removes only what a killed one left."""
    out = tmp_path / "out"
    out.mkdir()
    (out / f".index.html-{'0a' * 16}.tmp").write_text("half a page")
    (out / "mine.html").write_text("a user's file")
    write(results, out, *store.read_all(results).results)
    assert {path.name for path in out.iterdir()} == {"index.html", "mine.html"}


def test_a_page_that_fails_leaves_nothing(tmp_path, results, monkeypatch):
    """A full disk is an error, and no part of the page stays."""

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultError, match=r"index\.html can't be written: found No space left on device"):
        write(results, tmp_path / "out", *store.read_all(results).results)
    assert not list((tmp_path / "out").iterdir())


def test_a_page_with_any_names_is_well_formed(tmp_path, tiny_data):
    """With escape sequences and other control characters in every name, an XML parser reads the whole page."""
    name = "\x1b[31m<b>\x00\x07\x9b&\udcff\ufffe\u202e'\""
    scores = [replace(each, defect=name, path=f"{name}{number}") for number, each in enumerate(SCORES)]
    result = replace(make_result(class_name=name, overrides={"note": name}), command=name)
    epochs = (record(1, 0.5, 9.0), record(2, 0.9, 3.0))
    stored = put(tmp_path, result, scores, epochs)
    shown = gallery.Gallery(
        tuple(gallery.Entry(each, b"image", b"map", (((0, 0), (1, 1), (1, 0), (0, 0)),), (4, 4))
              for each in gallery.choose(run_files.read_scores(run_files.folder_of(tmp_path, stored), stored))),
        overlay.Scale(0.0, 1.0),
    )  # fmt: skip
    made = page.write([stored], tmp_path / "out", stored=tmp_path, galleries={gallery.run_key(stored): shown})
    text = made.read_text(encoding="utf-8")
    outside = re.sub(r"(<(style|script)>).*?(</\2>)", r"\1\3", text, flags=re.DOTALL)
    words = "".join(ElementTree.fromstring(outside).itertext())
    assert words.count("\\x1b[31m<b>\\x00\\x07\\x9b&\\xff\\ufffe\\u202e'\"") > 10
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ufffe]", text)


def test_methods_have_their_audits(tmp_path):
    """A line for each method, with or without one."""
    for name in ("a", "b"):
        put(tmp_path, make_result(name), SCORES)
    found = {"a": [Audited(make_audit(), "current")]}
    made = page.write(store.read_all(tmp_path).results, tmp_path / "out", stored=tmp_path, audits=found)
    text = Reader(made.read_text(encoding="utf-8")).text
    assert "a audited on 2026-01-02 with this code: 1 check passed, 1 skipped (works on a GPU) b not audited" in text


def test_synthetic_data_is_labelled(tmp_path):
    """Only a synthetic data set has a badge in its heading."""
    for name, synthetic in (("demo", True), ("folder", False)):
        put(tmp_path, make_result(dataset=name, synthetic=synthetic), SCORES)
    read = write(tmp_path, tmp_path / "out", *store.read_all(tmp_path).results)
    assert len(read.all("span", "synthetic")) == 1
    assert "demo synthetic" in read.text


def test_a_page_that_cannot_be_written_is_a_mistake(tmp_path, results):
    """A file in place of the folder is named, with a hint."""
    (tmp_path / "out").write_text("")
    done = adbench("report", "-o", tmp_path / "out", "--results", results, "--no-images")
    assert done.exit_code == 2
    assert "index.html can't be written" in done.stderr


def test_run_report_writes_the_page_of_that_run(tiny_data, tmp_path):
    """The page is below the results, is named on standard error, and shows only this run."""
    assert run_tiny(tiny_data, tmp_path, "-c", "nuts", "-o", "epochs=1").exit_code == 0
    done = run_tiny(tiny_data, tmp_path, "-c", "bolts", "-o", "epochs=1", "--report")
    assert done.exit_code == 0, done.stderr
    place = tmp_path / "report" / "index.html"
    assert f"Report: {place}" in done.stderr
    text = Reader(place.read_text(encoding="utf-8")).text
    assert "bolts" in text
    assert "nuts" not in text
    assert len(store.read_all(tmp_path).results) == 2  # the page doesn't pass for a result


def test_a_report_that_fails_leaves_the_run_as_it_is(tiny_data, tmp_path):
    """If the page can't be written there is a warning, and the leaderboard follows."""
    (tmp_path / "report").write_text("")
    done = run_tiny(tiny_data, tmp_path, "-c", "bolts", "-o", "epochs=1", "--report")
    assert done.exit_code == 0
    assert "Warning: " in done.stderr
    assert "bolts" in done.stdout


# ---------------------------------------------------------------- tables


def test_a_table_gives_numbers_to_the_script_and_notes_to_people():
    """Cells have the full number or nothing; columns for programs are left out."""
    table = Table(
        "t < u",
        (
            Column("variant", "variant", lambda row: row[0]),
            Column("secret", "secret", lambda row: row[1], audience="programs"),
            Column("v", "value", lambda row: row[2], "percent"),
        ),
        (("a", "x", 1 / 3), ("b", "y", None)),
        ("a note",),
        (("mean", "z", 1 / 3),),
    )
    read = Reader(templates.table_html(table))
    assert [each["data-value"] for each in read.all("td")] == [repr(1 / 3), "", repr(1 / 3)]
    assert [each["aria-sort"] for each in read.all("th") if "aria-sort" in each] == ["none", "none"]
    assert "secret" not in read.text
    assert "33.33" in read.text
    assert "a note" in read.text
    assert len(read.all("tfoot")) == 1


# ---------------------------------------------------------------- in a browser


PROBE = """
<script>
addEventListener("error", (event) => { window.broken = event.message; });
const table = document.querySelector("table"), heads = [...table.tHead.rows[0].cells];
const place = heads.findIndex((head) => head.textContent === "images/s");
const column = () => [...table.tBodies[0].rows].map((row) => Number(row.cells[place].dataset.value));
const found = { before: column(), sorts: [] };
for (let press = 0; press < 2; press++) {
  heads[place].querySelector("button").click();
  found.sorts.push([heads[place].getAttribute("aria-sort"), column()]);
}
location.hash = "#c0-1";
dispatchEvent(new HashChangeEvent("hashchange"));
found.opened = document.getElementById("c0-1").open;
document.querySelectorAll("details").forEach((each) => { each.open = true; });
found.wide = document.documentElement.scrollWidth;
found.window = innerWidth;
found.outlined = document.querySelectorAll(".outline").length;
const board = document.querySelector(".scroll");
found.board = [board.scrollWidth, board.clientWidth];
found.heads = [...board.querySelectorAll("th[scope=col]")].map((head) => head.textContent.trim());
found.ranked = board.querySelector("td[data-value]:nth-of-type(2)").getBoundingClientRect().right;
window.made = [];
URL.createObjectURL = (blob) => { window.made.push(blob.type); return "#"; };
HTMLAnchorElement.prototype.click = function () { window.made.push(this.download); };
const figures = [...document.querySelectorAll("figure.plot")];
const roc = figures.find((each) => each.dataset.title === "ROC");
roc.querySelector(".save").click();
found.saved = window.made;
found.names = figures.map(nameOf);
found.chart = standalone(roc.querySelector(".chart"));
document.getElementById("outlines").click();
found.hidden = getComputedStyle(document.querySelector(".outline")).display;
found.back = getComputedStyle(document.body).backgroundColor;
found.broken = window.broken || "";
const said = document.createElement("output");
said.id = "probe";
said.textContent = JSON.stringify(found);
document.body.append(said);
</script></body>"""


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine to open the page in")
@pytest.mark.parametrize(("width", "dark"), [(1366, False), (500, True)])
def test_the_page_works_in_a_browser(written, tmp_path, width, dark):
    """Sorting reverses, links open closed classes, outlines hide, nothing overflows, charts can be saved, no error."""
    probe = tmp_path / "probe.html"
    probe.write_text(written.read_text(encoding="utf-8").replace("</body>", PROBE), encoding="utf-8")
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
               f"--window-size={width},900", "--enable-logging=stderr", "--dump-dom",
               *(["--blink-settings=preferredColorScheme=0"] if dark else []), probe.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=True)
    assert "CONSOLE" not in done.stderr
    found = json.loads(html.unescape(re.search(r'<output id="probe">(.*?)</output>', done.stdout, re.DOTALL).group(1)))
    assert found["broken"] == ""
    down = sorted(found["before"], reverse=True)
    assert found["sorts"] == [["descending", down], ["ascending", down[::-1]]]
    assert found["opened"]
    assert found["wide"] <= found["window"] <= width
    assert found["outlined"] == 2 * 2 * 4  # classes, methods, defective images: over the map, not over the image
    assert found["heads"][:3] == ["rank", "variant", "image AUROC95 %sd"]
    assert found["ranked"] <= found["window"]
    assert width < 1366 or found["board"][0] <= found["board"][1]
    assert found["saved"] == ["image/svg+xml", "bolts-Images-ROC.svg"]
    named = ["folder-Speed-and-accuracy.svg", "folder-Critical-difference.svg", "bolts-Images-ROC.svg"]
    assert found["names"][:3] == named
    assert len(set(found["names"])) == len(found["names"])
    chart = ElementTree.fromstring(found["chart"])
    assert chart.tag == "{http://www.w3.org/2000/svg}svg"
    assert (chart.get("width"), chart.get("height")) == ("360", "250")
    assert not re.search(r"class=|var\(|url\(", found["chart"])
    lines = [each.get("stroke") for each in chart.iter() if each.tag.endswith("}path")]
    assert "rgb(0, 114, 178)" in lines  # of the light page, also where the page is dark
    assert found["hidden"] == "none"
    assert found["back"] == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")
