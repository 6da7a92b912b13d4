"""The site: what its pages say and link to, with any names, and that the same results give the same bytes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_histograms import LABELS, histograms
from made_results import make_audit, make_result
from pages import SCORES, Reader, put
from runs import TINY

from adbench import report
from adbench.api import registry
from adbench.metrics.metrics import evaluate
from adbench.report import confidence, site
from adbench.results import audits, speeds, store
from adbench.results.audits import Check
from adbench.results.records import Identity
from adbench.results.run_files import folder_of
from adbench.results.speeds import Latency, Speed
from adbench.util.errors import ResultError, UsageError

NASTY = "<script>alert('x')</script>&\"_\x1b]0;ä/.."


@pytest.fixture(scope="module")
def tiny_registry():
    """The installed plugins, and the method of the stored runs."""
    return registry.load([TINY])


@pytest.fixture(scope="module")
def stored(ran, tmp_path_factory) -> Path:
    """Two methods on two classes with two seeds; only one run has its histograms: intervals of all would take long."""
    place = tmp_path_factory.mktemp("stored") / "results"
    shutil.copytree(ran, place)
    for path in place.rglob("evidence.npz"):
        if "seed0" not in str(path) or "bolts/tiny" not in path.as_posix():
            path.unlink()
    return place


@pytest.fixture(scope="module")
def built(stored, tiny_registry, tmp_path_factory) -> Path:
    """The site over these runs."""
    place = tmp_path_factory.mktemp("site")
    assert site.build([stored], place, registry=tiny_registry).runs == 8
    return place


def pages(place: Path) -> dict[str, Reader]:
    """Every page, by its path; an XML parser reads each of them, too."""
    found = {}
    for path in sorted(place.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>").strip())
        found[path.relative_to(place).as_posix()] = Reader(text)
    return found


def made(place: Path, *results, tmp: Path, **words) -> dict[str, Reader]:
    """The pages over some results, which are put into a folder first."""
    for each in results:
        put(place, each, SCORES)
    site.build([place], tmp, registry=registry.load(), **words)
    return pages(tmp)


def test_every_link_leads_to_a_page_of_the_site(built):
    """All links are relative, their files exist, and so do their fragments; nothing is asked for from outside."""
    found = pages(built)
    ids = {path: {each["id"] for _, each in read.found if "id" in each} for path, read in found.items()}
    count = 0
    for path, read in found.items():
        for tag, attributes in read.found:
            address = attributes.get("href") or attributes.get("src")
            if address is None:
                continue
            assert ":" not in address
            file, _, fragment = address.partition("#")
            target = ((built / path).parent / file.partition("?")[0]).resolve() if file else (built / path).resolve()
            assert target.is_file(), (path, address)
            place = target.relative_to(built.resolve()).as_posix()
            assert not fragment or fragment in ids[place], (path, address)
            count += tag == "a"
    assert count > 60
    assert len(found) == 2 + 2 + 8


def test_the_pages_hold_boards_methods_and_runs(built):
    """The ranking, each class with its runs, and all facts of a run."""
    found = pages(built)
    for words in ("ranked by image AUROC", "Speed and accuracy", "Critical difference", "tiny:cpu"):
        assert words in found["index.html"].text
    method = found["methods/tiny.html"].text
    for words in ("bolts seed 0 seed 1", "check-method", "no published numbers of tiny", "Not measured"):
        assert words in method
    runs = [read.text for path, read in found.items() if path.startswith("runs/folder-bolts-tiny")]
    for words in ("ROC", "Scores: tiny:cpu", "protocol", "environment", "Command", "Options", "evidence.npz"):
        assert any(words in run for run in runs)
    assert sum("PRO" in run.partition("Facts")[0].split() for run in runs) == 1  # the one with histograms


def test_the_page_of_a_method_has_its_audit(tmp_path):
    """With its checks; another method's says that there is none. Texts of other people are escaped."""
    audits.write(tmp_path / "results", make_audit(NASTY, checks=(Check(NASTY, "failed", NASTY),)))
    found = made(tmp_path / "results", make_result(NASTY), make_result("b"), tmp=tmp_path / "site")
    nasty = next(read.text for path, read in found.items() if path.startswith("methods/") and path != "methods/b.html")
    assert "audited on 2026-01-02 with code that is not at hand: 1 of 1 check failed" in nasty
    assert "a processor" in nasty
    assert "not audited: adbench check-method b tests" in found["methods/b.html"].text


def test_the_same_results_give_the_same_bytes(built, stored, tiny_registry, tmp_path):
    """Another folder gets the same files, and a second build there writes none."""
    place = tmp_path / "again"
    site.build([stored], place, registry=tiny_registry)
    files = {path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert files == {path.relative_to(built): path.read_bytes() for path in built.rglob("*") if path.is_file()}
    assert site.build([stored], place, registry=tiny_registry, curves=True).written == 0


def test_intervals_are_those_of_the_leaderboard(tmp_path):
    """The board and the method's page show them below the numbers."""
    found = histograms(1.5, 0)
    metrics = evaluate(labels=LABELS, image_scores=found.image_scores)
    result = replace(make_result("a"), metrics=metrics, test_images=60)
    folder = folder_of(tmp_path / "results", result)
    folder.path.mkdir(parents=True)
    folder.write_result(result, (), (), found)
    site.build([tmp_path / "results"], tmp_path / "site", registry=registry.load(), curves=False)
    (table,) = report.leaderboard([result], confidence=confidence.stored(tmp_path / "results", str))
    (limits,) = [column.cell(table.rows[0]) for column in table.columns if column.key == "image_auroc_interval"]
    read = pages(tmp_path / "site")
    assert f"{100 * metrics.image_auroc:.2f}{limits}" in read["index.html"].text
    assert limits in read["methods/a.html"].text


def test_no_name_becomes_markup(tmp_path):
    """Names of data sets, classes, methods and labels and the command are text on every page, whatever they hold."""
    result = make_result(NASTY, NASTY, dataset=NASTY, preset="cpu", overrides={"note": NASTY})
    result = replace(result, command=NASTY, label="<b>mine</b>")
    other = make_result("plain", NASTY, dataset=NASTY)
    found = made(tmp_path / "results", result, other, tmp=tmp_path / "site", title=NASTY)
    assert len(found) == 2 + 2 + 2
    for read in found.values():
        assert len(read.all("script")) == 1
        assert not read.all("b")
        assert "<script>alert('x')</script>&\"_\\x1b]0;ä/.." in read.text


def test_each_setting_has_a_board_of_its_own(tmp_path):
    """Runs of four training images don't rank among those of all images."""
    results = [make_result("a"), make_result("b", image=0.8), make_result("a", setting="few-shot", shots=4, image=0.7)]
    gone = replace(make_result("random", "bolts", seed=5), identity=Identity("d", "another code", 1))
    results.append(gone)
    read = made(tmp_path / "results", *results, tmp=tmp_path / "site")["index.html"]
    assert read.text.index("folder, one-class") < read.text.index("folder, few-shot=4")
    assert len(read.all("section", "board")) == 2
    assert read.text.count("1 stale run left out") == 1  # on the board of its own setting


def test_a_stale_run_is_listed_and_ranks_nowhere(tmp_path):
    """Its page says why; the filter finds it by its state."""
    gone = replace(make_result("random", "bolts", seed=5), identity=Identity("d", "another code", 1))
    found = made(tmp_path / "results", make_result("b"), gone, tmp=tmp_path / "site")
    assert [
        link for link in found["index.html"].all("a") if "#" in (link["href"] or "") and "random" in link["href"]
    ] == []
    assert "1 stale run left out" in found["index.html"].text
    page = next(read.text for path, read in found.items() if path.startswith("runs/folder-bolts-random"))
    assert "Stale, so no board has it: the method's code changed" in page
    assert "All runs of this method are stale" in found["methods/random.html"].text
    assert "stale" in [option.text for option in _options(tmp_path / "site" / "runs.html", "state")]


def _options(path: Path, name: str):
    root = ElementTree.fromstring(path.read_text(encoding="utf-8").removeprefix("<!DOCTYPE html>").strip())
    return root.findall(f".//select[@name='{name}']/option")


def test_the_newest_of_two_copies_counts(tmp_path):
    """Of a run in two folders with other numbers the newer one is shown, whatever their order, and a line says so."""
    old, new = make_result("a", image=0.5), make_result("a", image=0.75, finished="2025-01-01T00:00:00+00:00")
    for name, result in (("one", old), ("two", new)):
        put(tmp_path / name, result, SCORES)
    said, bytes_ = [], []
    for order in (("one", "two"), ("two", "one")):
        place = tmp_path / "-".join(order)
        site.build([tmp_path / name for name in order], place, registry=registry.load(), warn=said.append)
        bytes_.append((place / "index.html").read_bytes())
        assert "75.00" in pages(place)["index.html"].text
    assert bytes_[0] == bytes_[1]
    assert sum("has other numbers in" in line for line in said) == 2


def test_measured_speeds_and_published_numbers_stand_on_the_method(tmp_path):
    """The latency of adbench speed, and the gap to the paper of a method that ships numbers."""
    result = make_result("padim", "bottle", dataset="mvtec", options={"backbone": "resnet18"})
    put(tmp_path / "results", result, SCORES)
    latency = Latency((64, 64), 1, 0.0123, 0.02, 10, 1)
    speed = Speed("m", (64, 64), "torch 2", "cpu", "a processor", 2, "off", "2026", (latency,), (latency,))
    speeds.write(folder_of(tmp_path / "results", result).path, speed)
    site.build([tmp_path / "results"], tmp_path / "site", registry=registry.load())
    found = pages(tmp_path / "site")
    assert "12.3" in found["methods/padim.html"].text
    assert "padim gap" in found["methods/padim.html"].text
    assert "latency ms" in found["index.html"].text


def test_a_damaged_file_costs_its_curves_alone(stored, tiny_registry, tmp_path):
    """The page of the run says which file, and everything else stands."""
    copied = tmp_path / "results"
    shutil.copytree(stored, copied)
    (broken,) = [each for each in store.read_all(copied).results if each.seed == 0 and each.class_name == "nuts"
                 and each.method == "random"]  # fmt: skip
    (folder_of(copied, broken).path / "scores.csv").write_text("broken")
    said = []
    site.build([copied], tmp_path / "site", registry=tiny_registry, warn=said.append)
    assert [line for line in said if "doesn't fit its result" in line]
    texts = [read.text for path, read in pages(tmp_path / "site").items() if path.startswith("runs/folder-nuts-random")]
    assert sum("doesn't fit its result" in text for text in texts) == 1


def test_nothing_is_written_where_nothing_can_be_shown(tmp_path):
    """A missing folder and none at all are mistakes, and an existing site stays as it is."""
    with pytest.raises(ResultError, match="results folder"):
        site.build([tmp_path / "none"], tmp_path / "site", registry=registry.load())
    with pytest.raises(UsageError, match="no results folder"):
        site.build([], tmp_path / "site", registry=registry.load())
    assert not (tmp_path / "site").exists()
