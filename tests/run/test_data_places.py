"""Data sets are found below the given folders."""

from __future__ import annotations

from layout_files import touch

from adbench.api import registry
from adbench.run import data_places

BOTTLE = ("bottle/train/good/0.png", "bottle/test/good/0.png", "bottle/test/cut/0.png", "bottle/ground_truth/cut/0.png")


def test_a_data_set_is_found_below_a_common_folder(tmp_path):
    """The folder of its name is found from the one above it, with the classes that are there and that lack."""
    touch(tmp_path / "mvtec", *BOTTLE)
    dataset = registry.load().dataset("mvtec")
    found = data_places.find(dataset, [tmp_path])
    (place,) = found.places
    assert (place.root, place.classes, place.images, len(place.lacking)) == (tmp_path, ("bottle",), 3, 14)
    assert found.found == f"{tmp_path} (1 of 15 classes)"
    assert data_places.find(dataset, [tmp_path / "mvtec", tmp_path / "none"]).places[0].root == tmp_path / "mvtec"


def test_what_has_no_published_classes_is_found_nowhere(tmp_path):
    """Any folder of images would do for the reader of own images, so it claims none; nor does a made data set."""
    touch(tmp_path, *BOTTLE)
    datasets = registry.load()
    assert [data_places.find(datasets.dataset(name), [tmp_path]).places for name in ("folder", "demo", "visa")] == [
        (), (), (),
    ]  # fmt: skip
