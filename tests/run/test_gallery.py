"""The images that a gallery shows of a run, scored again by its own checkpoint."""

from __future__ import annotations

import io
import os
import shutil
from dataclasses import replace

import pytest
import torch
from conftest import make_class
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import make_result
from PIL import Image
from runs import ONE, TINY, job_for, made_method, posix_only, registry_of, run_one, run_tiny

from adbench import Epoch, Scores, UsageError
from adbench.api import registry as plugins
from adbench.results import run_files, store
from adbench.results.store import ImageScore
from adbench.results.variants import Names
from adbench.run import gallery
from adbench.run.reopen import Reopener
from adbench.util.errors import CheckpointError, DataError


def made(*rows: tuple[str, float]) -> list[ImageScore]:
    return [ImageScore(f"{number}.png", int(kind != "good"), kind, score) for number, (kind, score) in enumerate(rows)]


@pytest.fixture(scope="module")
def run(tiny_data, tmp_path_factory):
    """A stored run of the tiny method, with its folder and scores."""
    results = tmp_path_factory.mktemp("results")
    done = run_tiny(tiny_data, results, "-c", "bolts", "-p", "cpu")
    assert done.exit_code == 0, done.stderr
    (result,) = store.read_all(results).results
    folder = run_files.folder_of(results, result)
    return result, folder, run_files.read_scores(folder, result)


@pytest.fixture(scope="module")
def registry(run):
    return plugins.load([TINY])


# ---------------------------------------------------------------- chosen


def test_the_worst_of_both_kinds_come_first():
    """Misses are the defective images scored lowest, false alarms the good ones scored highest."""
    scores = made(*[("hole", 0.1 * each) for each in range(10)], *[("good", 0.05 * each) for each in range(10)])
    chosen = gallery.choose(scores)
    misses = [each.score.score for each in chosen if each.heading == gallery.MISSES]
    alarms = [each.score.score for each in chosen if each.heading == gallery.FALSE_ALARMS]
    assert misses == pytest.approx([0, 0.1, 0.2, 0.3])
    assert alarms == pytest.approx([0.45, 0.4, 0.35, 0.3])


def test_a_choice_says_how_many_of_the_other_kind_score_lower():
    """A defect above two of three good images is one that only the third hides."""
    chosen = gallery.choose(made(("hole", 0.5), ("good", 0.1), ("good", 0.2), ("good", 0.9)))
    assert [(each.beaten, each.others) for each in chosen] == [(2, 3), (1, 1), (0, 1), (0, 1)]


KINDS = st.sampled_from(["good", "hole", "scratch", "stain"])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(KINDS, st.integers(0, 5).map(float)), max_size=40))
def test_no_image_is_shown_twice_and_every_type_is_shown(rows):
    """Whatever the scores, each type of defect appears, and the choice doesn't depend on the order of the rows."""
    scores = made(*rows)
    chosen = gallery.choose(scores)
    paths = [each.score.path for each in chosen]
    assert len(paths) == len(set(paths))
    assert {each.score.defect for each in chosen} == {each.defect for each in scores}
    assert chosen == gallery.choose(scores[::-1])


# ---------------------------------------------------------------- reopened and drawn


def test_images_scored_again_get_the_scores_that_are_stored(run, registry, tiny_data):
    """The run's own checkpoint, options and images are found by the run's command or a given root."""
    result, folder, scores = run
    reopener = Reopener(registry, [tiny_data], "cpu")
    samples = reopener.samples(result, [each.path for each in scores])
    found = reopener.score(result, folder, samples)
    assert found.image == pytest.approx([each.score for each in scores], rel=1e-4)
    assert found.maps.shape == (len(scores), 64, 64)
    assert found.store.masks.any(axis=(1, 2)).tolist() == [bool(each.label) for each in scores]
    older = replace(result, data_root=None)
    said = replace(older, command=f"adbench run --data-root '{tiny_data}' -m tiny")
    assert Reopener(registry, [], "cpu").task(said).root == tiny_data
    assert Reopener(registry, [], "cpu").task(replace(older, command=f"x --data-root={tiny_data}")).root == tiny_data


def test_a_gallery_holds_images_maps_outlines_and_the_stored_scores(run, registry, tiny_data):
    """Every chosen image is there, defective ones with an outline, and one scale covers all maps."""
    result, folder, scores = run
    reopener = Reopener(registry, [tiny_data], "cpu")
    shown = gallery.make(result, folder, scores, reopener, side=32, limit=10**6)
    assert len(shown.entries) == len(scores)
    assert all(entry.image[:4] == entry.heat[:4] == b"RIFF" for entry in shown.entries)
    assert [bool(entry.outline) for entry in shown.entries] == [
        bool(entry.choice.score.label) for entry in shown.entries
    ]
    assert {entry.size for entry in shown.entries} == {(32, 32)}
    assert shown.scale.low < shown.scale.high
    assert shown.remark == ""
    assert {entry.choice.score for entry in shown.entries} == set(scores)


def test_images_keep_their_own_shape(tmp_path, registry):
    """The detector sees a square; people see the wide image, with as many pixels as a square one would have."""
    place = make_class(tmp_path / "data", "bolts", train=2, good=1, bad=1)
    for path in place.rglob("*.png"):
        Image.open(path).resize((320, 80), Image.Resampling.NEAREST).save(path)
    done = run_tiny(tmp_path / "data", tmp_path / "results", *ONE)
    assert done.exit_code == 0, done.stderr
    (result,) = store.read_all(tmp_path / "results").results
    folder = run_files.folder_of(tmp_path / "results", result)
    reopener = Reopener(registry, [tmp_path / "data"], "cpu")
    shown = gallery.make(result, folder, run_files.read_scores(folder, result), reopener, side=64, limit=10**6)
    for entry in shown.entries:
        assert entry.size == (32, 128)
        assert [Image.open(io.BytesIO(each)).size for each in (entry.image, entry.heat)] == [(128, 32)] * 2


def test_a_gallery_keeps_to_its_limit(run, registry, tiny_data):
    """Images that don't fit are left out and counted."""
    result, folder, scores = run
    reopener = Reopener(registry, [tiny_data], "cpu")
    whole = gallery.make(result, folder, scores, reopener, side=32, limit=10**6)
    sizes = [len(entry.image) + len(entry.heat) for entry in whole.entries]
    cut = gallery.make(result, folder, scores, reopener, side=32, limit=sum(sizes[:3]))
    assert (len(cut.entries), cut.left_out) == (3, len(sizes) - 3)


def test_a_machine_that_scores_otherwise_is_reported(run, registry, tiny_data):
    """The stored scores are shown, with a remark if they can't be reproduced."""
    result, folder, scores = run
    other = [replace(each, score=each.score + 1) for each in scores]
    shown = gallery.make(result, folder, other, Reopener(registry, [tiny_data], "cpu"), side=32, limit=10**6)
    assert "other scores, by up to 1" in shown.remark


def test_images_that_are_gone_or_changed_are_refused(run, registry, tiny_data, tmp_path):
    """Other images under the same name would show a wrong image beside a score."""
    result, _, _ = run
    unknown = replace(result, command="adbench run", data_root=None)
    with pytest.raises(DataError, match=r"no folder to look in.*--data-root"):
        Reopener(registry, [], "cpu").task(unknown)
    with pytest.raises(DataError, match="bolts"):
        Reopener(registry, [tmp_path / "nowhere"], "cpu").task(unknown)
    make_class(tmp_path, "bolts", bad=2)
    with pytest.raises(DataError, match="other images in"):
        Reopener(registry, [tmp_path], "cpu").task(unknown)
    with pytest.raises(DataError, match=r"image bolts/test/x\.png"):
        Reopener(registry, [tiny_data], "cpu").samples(result, ["bolts/test/x.png"])


def test_a_checkpoint_that_is_gone_or_foreign_is_refused(run, registry, tiny_data, tmp_path):
    """If last.pt is missing or has another content, there is a sentence and no traceback."""
    result, folder, _ = run
    copy = run_files.folder_of(tmp_path, result)
    shutil.copytree(folder.path, copy.path)
    (copy.path / "last.pt").unlink()
    reopener = Reopener(registry, [tiny_data], "cpu")
    with pytest.raises(CheckpointError, match="no such file"):
        reopener.model(copy)
    copy.save_checkpoint("last", {"something": 1})
    with pytest.raises(CheckpointError, match="found another program's, wanted adbench's"):
        reopener.model(copy)
    saved = torch.load(folder.checkpoint("last"), weights_only=True)
    copy.save_checkpoint("last", {**saved, "method": "nobody"})
    with pytest.raises(UsageError, match="nobody"):
        reopener.model(copy)


def test_a_method_without_maps_has_a_gallery_of_images(tiny_data, tmp_path):
    """Then there is no scale, and no map beside the image."""

    def fit(self, images):
        yield Epoch(1, 1)

    method = made_method(fit, lambda self, batch: Scores(image=batch.images.amax(dim=(1, 2, 3))))
    result, folder = run_one(method, job_for(method, tiny_data, tmp_path))
    reopener = Reopener(registry_of(method), [tiny_data], "cpu")
    shown = gallery.make(result, folder, run_files.read_scores(folder, result), reopener, side=32, limit=10**6)
    assert shown.scale is None
    assert all(entry.heat is None for entry in shown.entries)


@posix_only
def test_names_that_are_no_text_keep_their_images(tmp_path, registry):
    """File names may have any bytes, line breaks and formula signs; each image is found by its row."""
    make_class(tmp_path, "bolts")
    folder = os.fsencode(tmp_path / "bolts/test/spot")
    odd = [b"\xff\xfe.png", b"two\nlines.png", b"cut\rback.png", b"=1+1.png"]
    masks = tmp_path / "bolts/ground_truth/spot"
    for number, name in enumerate(odd):
        os.rename(folder + f"/{number:03d}.png".encode(), folder + b"/" + name)
        os.rename(masks / f"{number:03d}_mask.png", os.fsencode(masks) + b"/" + name.replace(b".png", b"_mask.png"))
    results = tmp_path / "results"
    done = run_tiny(tmp_path, results, *ONE)
    assert done.exit_code == 0, done.stderr
    (result,) = store.read_all(results).results
    run = run_files.folder_of(results, result)
    scores = run_files.read_scores(run, result)
    shown = gallery.make(result, run, scores, Reopener(registry, [tmp_path], "cpu"), side=32, limit=10**6)
    names = {entry.choice.score.path.rpartition("/")[2] for entry in shown.entries if entry.choice.score.label}
    assert names == {"\\udcff\\udcfe.png", "two\nlines.png", "cut\rback.png", "=1+1.png"}


def test_fifteen_classes_share_the_space_of_a_page(tmp_path, monkeypatch):
    """Each variant and class has one gallery, named as in tables; all together stay below the limit of bytes."""
    results = [make_result(class_name=f"class{number}", seed=seed) for number in range(15) for seed in (0, 1)]
    for result in results:
        folder = run_files.folder_of(tmp_path, result)
        folder.path.mkdir(parents=True)
        folder.write_result(result, made(("hole", 0.5), ("good", 0.1)), ())
    asked = []

    def make(result, folder, scores, reopener, *, side, limit):
        asked.append((side, limit))
        raise DataError("nothing here")

    monkeypatch.setattr(gallery, "make", make)
    stored, said = store.read_all(tmp_path).results, []
    names = Names([*stored, replace(stored[0], protocol=replace(stored[0].protocol, precision="bf16"))])
    found = gallery.of_results(stored, tmp_path, object(), names=names, watch=said.append)
    assert {line.rpartition(" ")[2] for line in said} == {names.of(stored[0])} != {stored[0].variant}
    assert len(asked) == len(found) == 15
    assert {each.reason for each in found.values()} == {"nothing here."}
    assert {side for side, _ in asked} == {256}
    assert sum(limit for _, limit in asked) * 4 / 3 < 28e6


def test_a_detector_that_breaks_costs_its_gallery_alone(tmp_path, monkeypatch, run, registry, tiny_data):
    """Whatever a plugin raises is the reason why there are no images."""
    result, folder, _ = run

    def score(self, result, folder, samples):
        raise ZeroDivisionError("by a plugin")

    monkeypatch.setattr(Reopener, "score", score)
    results = folder.path.parents[3]
    (made,) = gallery.of_results([result], results, Reopener(registry, [tiny_data], "cpu")).values()
    assert made == gallery.NoGallery("ZeroDivisionError: by a plugin")
