"""The synthetic data set: always the same, with exact masks and separate splits."""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil

import numpy as np
import pytest
from adbench_datasets import demo, demo_images
from PIL import Image
from skimage import data

from adbench.util.errors import DataError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache folder in which two processes asked for the data set at the same moment."""
    root = tmp_path_factory.mktemp("demo")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=demo.load, args=(root, name)) for name in ("brick", "gravel")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    return root


def read(path):
    return np.asarray(Image.open(path))


def digest(folder):
    """Names and bytes of everything in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


@pytest.mark.slow
def test_two_processes_at_once_leave_one_whole_data_set(cache):
    """Nothing is left beside the folder of the first process to finish."""
    assert [path.name for path in cache.iterdir()] == [demo.FOLDER]
    assert demo.is_complete(cache / demo.FOLDER)


@pytest.mark.slow
def test_it_is_always_the_same(cache, tmp_path):
    """Another build gives the same files, byte for byte."""
    demo.build(tmp_path)

    assert digest(tmp_path) == digest(cache / demo.FOLDER)


@pytest.mark.parametrize("name", demo.CLASSES)
def test_each_class_has_its_images(cache, name):
    """60 for training; 20 good and 40 defective ones for testing, 8 of each kind, each with its mask."""
    task = demo.load(cache, name)

    assert (task.dataset, task.class_name, task.synthetic, task.problems) == ("demo", name, True, ())
    assert len(task.train) == 60
    kinds = [sample.defect for sample in task.test]
    assert {kind: kinds.count(kind) for kind in kinds} == {**dict.fromkeys(demo.DEFECTS, 8), "good": 20}
    assert all((sample.mask is not None) == (sample.label == 1) for sample in task.test)


def test_no_two_images_are_the_same(cache):
    """Every image is a crop of its own."""
    images = [entry for entry in digest(cache / demo.FOLDER) if "ground_truth" not in entry[0]]

    assert len({content for _, content in images}) == len(images) == 3 * (60 + 20 + 40)


def test_masks_are_exactly_what_was_covered(cache):
    """A mask has 0 and 255 at the image's size, and covers between 0.1 % and 15 % of it."""
    for name in demo.CLASSES:
        for sample in demo.load(cache, name).test:
            if sample.mask is not None:
                mask = read(sample.mask)
                assert mask.shape == read(sample.path).shape == (demo_images.SIDE, demo_images.SIDE)
                assert set(np.unique(mask)) == {0, 255}
                assert 0.001 < (mask > 0).mean() < 0.15


@pytest.mark.parametrize("defect", demo.DEFECTS)
@pytest.mark.parametrize("texture", demo.CLASSES)
def test_a_mask_is_where_the_image_changed(texture, defect):
    """Most of the change is in the mask, its pixels change far more, and none far from it changes."""
    for severity in (1.0, 0.0):
        made = demo_images.defective(texture, defect, 0, severity)
        change = np.abs(made.pixels.astype(float) - made.clean)
        inside = made.mask > 0
        near = np.asarray(Image.fromarray(made.mask).resize((32, 32), Image.Resampling.BOX).resize((256, 256))) > 0

        assert change[inside].sum() > 0.85 * change.sum()
        assert change[inside].mean() > 5
        assert change[~inside & ~near].max() == 0


def test_defects_go_from_plain_to_hard():
    """A defect's area shrinks with the severity, so that methods can differ."""
    for defect in demo.DEFECTS:
        plain, hard = (demo_images.defective("grass", defect, 1, severity).mask for severity in (1.0, 0.0))
        assert (plain > 0).sum() > 1.5 * (hard > 0).sum()


def test_train_and_test_share_no_pixel_of_the_photograph(monkeypatch):
    """The two regions don't overlap, and no crop shows a pixel of the other region."""
    train, test = demo_images.REGIONS["train"], demo_images.REGIONS["test"]
    assert train[1] <= test[0]

    def half_white():
        photograph = np.full((512, 512), 100, np.uint8)
        photograph[:, test[0] :] = 255
        return photograph

    monkeypatch.setattr(data, "brick", half_white)
    demo_images.region.cache_clear()
    try:
        images = {part: [demo_images.good("brick", part, n).clean for n in range(30)] for part in ("train", "test")}
    finally:
        demo_images.region.cache_clear()
    assert max(image.max() for image in images["train"]) <= 105
    assert min(image.min() for image in images["test"]) >= 245


def test_a_damaged_cache_is_built_anew(cache, tmp_path):
    """A deleted image returns with the next call, the same as before."""
    shutil.copytree(cache, tmp_path, dirs_exist_ok=True)
    before = demo.load(tmp_path, "grass").fingerprint
    next((tmp_path / demo.FOLDER / "grass" / "train" / "good").iterdir()).unlink()

    assert demo.load(tmp_path, "grass").fingerprint == before


def test_what_killed_runs_left_is_removed(cache, tmp_path):
    """The next look removes a half-made data set; a user's own hidden folders stay."""
    shutil.copytree(cache / demo.FOLDER, tmp_path / demo.FOLDER)
    (tmp_path / f".{demo.FOLDER}-{'0' * 32}.tmp" / "brick").mkdir(parents=True)
    (tmp_path / ".demo-notes").mkdir()

    demo.load(tmp_path, "grass")

    assert sorted(path.name for path in tmp_path.iterdir()) == [".demo-notes", demo.FOLDER]


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    """The message names the folder, and the variable that moves it."""
    (tmp_path / "cache").touch()

    with pytest.raises(DataError) as caught:
        demo.load(tmp_path / "cache", "brick")

    assert str(tmp_path / "cache") in str(caught.value)
    assert "ADBENCH_CACHE" in str(caught.value)


def test_the_kinds_of_defect_are_those_that_can_be_drawn():
    """The list that needs no NumPy equals the list of the drawing functions."""
    assert tuple(demo_images.DEFECTS) == demo.DEFECTS
    assert demo_images.TEXTURES == demo.CLASSES
