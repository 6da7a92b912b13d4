"""Files that count for a run: those of linked folders, and images that are read or left out."""

from __future__ import annotations

import json

import numpy as np

from adbench.data import decode, image_files
from adbench.run.identity import auxiliary_digest
from adbench.util.digests import Digests


def test_files_of_linked_folders_count(tmp_path):
    """A method may follow a link to a folder of images; a link to a folder above is no trouble."""
    folder, other = tmp_path / "aux", tmp_path / "other"
    for each in (folder, other):
        each.mkdir()
        (each / "a.png").write_bytes(b"1")
    plain = auxiliary_digest("images", folder, Digests())
    (folder / "link").symlink_to(other)
    (folder / "circle").symlink_to(tmp_path)
    linked = auxiliary_digest("images", folder, Digests())
    (other / "a.png").write_bytes(b"22")
    assert len({plain, linked, auxiliary_digest("images", folder, Digests())}) == 3


def facts(place) -> list[tuple[int, list[str]]]:
    """How many images each stored run trained on, and what it left out."""
    stored = [json.loads(path.read_text()) for path in place.results.glob("*/*/*/*/result.json")]
    return sorted((each["train_images"], [text.partition(": ")[0] for text in each["skipped"]]) for each in stored)


def test_a_limit_of_pixels_makes_another_run_where_it_decides_on_an_image(place):
    """A result without a large image isn't that of a run which reads it, and the other way round."""
    place.run("--max-megapixels", "1", "--skip-bad")
    assert facts(place) == [(4, [])]  # no image is that large, so the stored run is used again
    place.write("train/good", 9, np.full((900, 1200, 3), 100, np.uint8))
    place.run("--max-megapixels", "1", "--skip-bad")
    place.run("--skip-bad")
    place.run()
    assert facts(place) == [(4, []), (4, ["bolts/train/good/9.bmp"]), (5, [])]
    place.run("--max-megapixels", "1", "--skip-bad")
    assert len(facts(place)) == 3


def test_a_result_without_an_image_that_can_be_read_now_is_computed_again(place, monkeypatch):
    """Pillow may have been built without its format. Neither a strict run nor another one uses the result again."""

    def run_without_the_format(*words):
        with monkeypatch.context() as patch:
            original = image_files.values_of

            def refuse(path, data):
                if path.name == "9.bmp":
                    raise image_files.BadError(path, "a format that can't be read", "Save it as PNG")
                return original(path, data)

            patch.setattr(image_files, "values_of", refuse)
            patch.setattr(decode, "values_of", refuse, raising=False)
            return place.run(*words)

    place.write("train/good", 9, np.full((64, 64, 3), 100, np.uint8))
    run_without_the_format("--skip-bad")
    left_out = (4, ["bolts/train/good/9.bmp"])
    assert facts(place) == [(4, []), left_out]
    assert "already there" in run_without_the_format("--skip-bad").stderr
    done = place.run()
    assert "computed again, since other images can be read now than in run" in done.stderr
    assert facts(place) == [(4, []), (5, [])]
    assert "already there" in place.run("--skip-bad").stderr
