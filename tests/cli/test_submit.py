"""``adbench submit``: maps of MVTec AD 2's private tests for its server, from stored runs."""

from __future__ import annotations

import io
import json
import shutil

import made_submissions as made
import numpy as np
import pytest
import tifffile
from PIL import Image
from runs import TINY, adbench

ROOT = "tiny-maps"


@pytest.fixture(scope="module")
def ad2(tmp_path_factory):
    """All eight objects."""
    return made.write_data(tmp_path_factory.mktemp("ad2"))


def run(data, results, *words):
    done = adbench("run", "-m", "tiny", "--plugin", TINY, "-d", "mvtec_ad2", "--data-root", data, "--results", results,
                   "-o", "epochs=1", "-o", "size=32", *words)  # fmt: skip
    assert done.exit_code == 0, done.stderr
    return results


@pytest.fixture(scope="module")
def stored(ad2, tmp_path_factory):
    """A run of each object."""
    return run(ad2, tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def archive(ad2, stored, tmp_path_factory):
    path = tmp_path_factory.mktemp("archives") / f"{ROOT}.tar.gz"
    done = submit(ad2, stored, "-m", "tiny", "-o", path, "--format", "json", "--threads", "2")
    assert done.exit_code == 0, done.stderr
    return path, done


def submit(data, results, *words):
    return adbench("submit", "--plugin", TINY, "--data-root", data, "--results", results, *words)


def test_the_archive_has_every_map_at_the_image_s_size(ad2, archive):
    """Names, tree, types and sizes are the server's; a map is above 0 exactly where the thresholded one is white."""
    path, done = archive
    files = made.entries(path)
    wanted = {}
    for image in ad2.glob("*/test_private*/*.png"):
        name, split = image.parts[-3:-1]
        for folder, suffix in (("anomaly_images", "tiff"), ("anomaly_images_thresholded", "png")):
            wanted[f"{ROOT}/{folder}/{name}/{split}/{image.stem}.{suffix}"] = Image.open(image).size[::-1]
    assert set(files) == set(wanted)
    for name, size in wanted.items():
        if name.endswith("tiff"):
            values = tifffile.imread(io.BytesIO(files[name]))
            other = files[name.replace("anomaly_images", "anomaly_images_thresholded").replace("tiff", "png")]
            above = np.asarray(Image.open(io.BytesIO(other)))
            assert (values.shape, values.dtype, above.shape, above.dtype) == (size, np.float16, size, np.uint8)
            assert np.isfinite(values).all()
            assert np.array_equal(above, np.where(values > 0, 255, 0))
    (table,) = json.loads(done.stdout[: done.stdout.rindex("]") + 1])
    assert [row["class"] for row in table["rows"]] == list(made.OBJECTS)
    assert {row["images"] for row in table["rows"]} == {3}
    assert (
        "than the server wants (in brackets): can/test_private 2 (321), can/test_private_mixed 1 (321)" in done.stderr
    )


@pytest.mark.parametrize(
    "words",
    [
        ("--eval-size", "native"),
        pytest.param(("--tile", "32x32", "--overlap", "8", "--eval-size", "native"), marks=pytest.mark.slow),
    ],
)
def test_its_threshold_is_the_run_s_by_ad2_s_rule(ad2, tmp_path, words):
    """Where maps were compared at the images' own size, it is the threshold of SegF1; so with tiles."""
    results = run(ad2, tmp_path / "results", *words)
    path = tmp_path / "native.tar.gz"
    done = submit(ad2, results, "-m", "tiny", "-o", path, "--format", "json")
    assert done.exit_code == 0, done.stderr
    (table,) = json.loads(done.stdout[: done.stdout.rindex("]") + 1])
    for row in table["rows"]:
        (result,) = (results / "mvtec_ad2" / row["class"]).glob("*/*/result.json")
        assert row["threshold"] == pytest.approx(json.loads(result.read_text())["segf1_threshold"], rel=1e-9)


def test_the_same_runs_give_the_same_bytes(ad2, stored, archive, tmp_path):
    """With as many threads, on which torch's last digits depend; the name of the file is in it, so it is the same."""
    again = tmp_path / f"{ROOT}.tar.gz"
    assert submit(ad2, stored, "-m", "tiny", "-o", again, "--threads", "2").exit_code == 0
    assert again.read_bytes() == archive[0].read_bytes()


def test_check_accepts_it_and_needs_the_images_for_sizes(ad2, stored, archive, tmp_path):
    """With the images at hand, from --data-root or a stored run; without them by the published numbers."""
    path = archive[0]
    done = adbench("submit", "--check", path, "--data-root", ad2)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "24 images, each with its map and thresholded map. Nothing is wrong." in done.stderr
    done = adbench("submit", "--check", path, "--results", stored)
    assert done.exit_code == 0
    done = adbench("submit", "--check", path, "--results", tmp_path, "--format", "json")
    assert done.exit_code == 1  # two images are not the published 321
    assert "sizes are not compared" in done.stderr
    (table,) = json.loads(done.stdout)
    assert {row["found"] for row in table["rows"]} == {"missing"}
    assert len(table["rows"]) == 32


def test_check_refuses_a_damaged_one(ad2, archive, tmp_path):
    """Exit code 1, and a table of what is wrong where."""
    files = made.entries(archive[0])
    name = f"{ROOT}/anomaly_images/can/test_private/001_regular.tiff"
    path = made.pack({**files, name: made.tiff(np.full((36, 44), np.nan, np.float16))}, tmp_path / f"{ROOT}.tar.gz")
    done = adbench("submit", "--check", path, "--data-root", ad2)
    assert done.exit_code == 1
    assert "NaN" in done.stdout
    assert "001_regular.tiff" in done.stdout


def test_a_missing_class_and_several_variants_are_named(ad2, stored, tmp_path):
    """Exit code 2, and nothing is written."""
    results = tmp_path / "results"
    shutil.copytree(stored, results)
    shutil.rmtree(results / "mvtec_ad2" / "vial")
    shutil.rmtree(results / "mvtec_ad2" / "rice")
    path = tmp_path / f"{ROOT}.tar.gz"
    done = submit(ad2, results, "-m", "tiny", "-o", path)
    assert done.exit_code == 2
    assert "found no run of rice, vial, wanted one of each of the 8 classes of mvtec_ad2" in done.stderr
    wanted = f"adbench run -m tiny -d mvtec_ad2 -c rice,vial -p paper --data-root {ad2} --seed 0 -o epochs=1 -o size=32"
    assert wanted in done.stderr
    run(ad2, results, "-c", "can", "-o", "lr=0.1")
    run(ad2, results, "-c", "can", "--seed", "3")
    done = submit(ad2, results, "-m", "tiny", "-o", path)
    assert done.exit_code == 2
    assert (
        "found 2 variants: 'tiny:epochs=1,lr=0.1,size=32x32', 'tiny:epochs=1,size=32x32', wanted one of" in done.stderr
    )
    done = submit(ad2, results, "-m", "tiny:epochs=1,size=32x32", "-o", path)
    assert done.exit_code == 2
    assert "found those of seeds 0, 3, wanted one seed" in done.stderr
    done = submit(ad2, results, "-m", "tiny:epochs=1,size=32x32", "--seed", "3", "-o", path)
    assert done.exit_code == 2
    assert "seed 3: found no run of fabric, fruit_jelly, rice" in done.stderr
    assert not path.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "found no --method NAME"),
        (("-m", "tiny"), "found no -o FILE"),
        (("-m", "tiny", "-o", "x.zip"), "wanted NAME.tar.gz"),
        (("-m", "tiny", "-o", "nowhere/x.tar.gz"), "nowhere/x.tar.gz: found no such folder"),
        (("-m", "nothing", "-o", "x.tar.gz"), "unknown method or variant among the results of mvtec_ad2 'nothing'"),
        (("-m", "tiny", "-p", "cpu", "-o", "x.tar.gz"), "--preset cpu: found runs of tiny with paper"),
        (
            ("-m", "tiny", "--seed", "7", "-o", "x.tar.gz"),
            "--seed 7: found runs of tiny:epochs=1,size=32x32 with seed 0",
        ),
        (("-d", "demo", "-m", "tiny", "-o", "x.tar.gz"), "data set demo: found no server"),
        (("--check", "nowhere.tar.gz"), "found no such file"),
        (("--check", "x.tar.gz", "-m", "tiny"), "--check: found -o or --method beside it"),
    ],
)
def test_mistakes_are_one_message(ad2, stored, words, said):
    """Exit code 2."""
    done = submit(ad2, stored, *words)
    assert done.exit_code == 2, done.stderr
    assert said in done.stderr


def test_a_class_without_its_checkpoint_or_its_images_is_named(ad2, stored, tmp_path):
    """Before anything is scored."""
    results, data = tmp_path / "results", tmp_path / "data"
    shutil.copytree(stored, results)
    (checkpoint,) = (results / "mvtec_ad2" / "rice").glob("*/*/last.pt")
    checkpoint.unlink()
    path = tmp_path / "x.tar.gz"
    done = submit(ad2, results, "-m", "tiny", "-o", path)
    assert done.exit_code == 2
    assert "class rice: found no last.pt" in done.stderr
    shutil.copytree(ad2, data)
    (data / "can" / "test_private" / "000_regular.png").rename(data / "can" / "test_private" / "002_regular.png")
    done = submit(data, stored, "-m", "tiny", "-o", path)
    assert done.exit_code == 2
    assert "mvtec_ad2/can/test_private: found no image 000_regular" in done.stderr
    assert list(tmp_path.glob("*.tar.gz")) == []
