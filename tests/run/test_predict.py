"""New images are scored as the test images were, whatever form they come in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from runs import job_for, made_method, registry_of, run_one

import adbench
from adbench import Epoch, Scores
from adbench.api.data import Problem
from adbench.data.sources import find
from adbench.results.run_files import read_scores
from adbench.run.predict import Predictor, load
from adbench.util.errors import DataError, UsageError


@pytest.fixture(scope="module")
def ran(tiny, tiny_data, tmp_path_factory):
    """A run of the tiny method: its result and its folder."""
    return run_one(tiny, job_for(tiny, tiny_data, tmp_path_factory.mktemp("results"), epochs=2))


@pytest.fixture(scope="module")
def predictor(ran, tiny) -> Predictor:
    """Its model."""
    return load(ran[1].path, registry=registry_of(tiny), device="cpu")


def test_files_get_the_scores_and_verdicts_of_the_run(ran, predictor, tiny_data):
    """What the run stored of a test image is predicted for its file, and the threshold is the run's."""
    result, folder = ran
    stored = read_scores(folder, result)
    found = predictor.predict([tiny_data / each.path for each in stored])
    np.testing.assert_allclose([each.score for each in found], [each.score for each in stored], rtol=1e-5)
    value = result.threshold.value
    assert [each.threshold for each in found] == [value] * len(stored)
    assert [each.defective for each in found] == [each.score > value for each in found]
    assert {each.verdict for each in found} <= {"good", "defective"}
    assert all(each.map.shape == predictor.model.size for each in found)


def test_each_form_of_an_image_is_scored_alike(predictor, tiny_data):
    """A path, an image of Pillow, an array, a float array, a tensor and a batch of one are the same image."""
    path = tiny_data / "bolts/test/spot/000.png"
    image = Image.open(path).convert("RGB")
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    forms = [path, str(path), image, array, array / np.float32(255), tensor, tensor / 255]
    scores = [each.score for each in predictor.predict(forms)]
    for batch in (array[None], tensor[None]):
        scores += [each.score for each in predictor.predict(batch)]
    assert scores == pytest.approx([scores[0]] * len(scores), rel=1e-6)
    assert [each.path for each in predictor.predict([image, path])] == ["image 0", str(path)]


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"shape \(4, 4, 2\)"),
        (np.zeros((0, 4), np.uint8), r"shape \(0, 4\)"),
        (np.full((4, 4), 2.0), "floats from 2 to 2"),
        (np.full((4, 4), np.nan), "floats from nan to nan"),
        (np.zeros((4, 4), np.int64), "int64"),
        ({"a": 1}, "dict"),
    ],
)
def test_what_is_no_image_is_refused(predictor, image, found):
    """One message says what was found and what is wanted."""
    with pytest.raises(UsageError, match=f"image 0: found .*{found}.*, wanted"):
        predictor.predict([image])


def test_a_tensor_in_bfloat16_is_an_image(predictor):
    """NumPy lacks the type; 0 and 1 are exact in it."""
    image = torch.zeros(3, 20, 30, dtype=torch.bfloat16)
    image[:, 5:9, 5:9] = 1
    half, whole = predictor.predict([image, image.float()])
    assert half.score == whole.score


def test_an_unreadable_file_stops_predict_and_not_stream(predictor, tiny_data, tmp_path):
    """From Python it is an error; in a stream it is told in its place, and the others are scored."""
    (tmp_path / "a.png").write_bytes(b"broken")
    good = tiny_data / "bolts/test/good/000.png"
    with pytest.raises(DataError, match=r"a\.png: found no image"):
        predictor.predict([good, tmp_path / "a.png"])
    found = list(predictor.stream(find([str(good), str(tmp_path / "a.png"), str(tmp_path / "gone.png")]).images))
    assert [isinstance(each, Problem) for each in found] == [False, True, True]
    assert found[0].score == predictor.predict(good)[0].score


def test_a_threshold_of_ones_own_counts(ran, tiny, tiny_data):
    """It takes the place of the run's."""
    own = load(ran[1].checkpoint("last"), registry=registry_of(tiny), threshold=1e9, device="cpu")
    (found,) = own.predict(tiny_data / "bolts/test/spot/000.png")
    assert (found.threshold, found.defective) == (1e9, False)


def test_the_full_map_has_the_shape_of_the_image(tiny, tiny_data, tmp_path):
    """Of an image that was cropped to a square, the map lies on the part that was seen; the rest is lowest."""
    _, folder = run_one(tiny, job_for(tiny, tiny_data, tmp_path, epochs=1, resize="crop"))
    cropping = load(folder.path, registry=registry_of(tiny), device="cpu")
    wide = np.full((40, 100, 3), 90, np.uint8)
    wide[10:14, 40:60] = 250
    (found,) = cropping.predict([wide])
    full = found.full_map()
    assert full.shape == (40, 100)
    assert (full[:, :29] == found.map.min()).all()
    assert (full[:, 71:] == found.map.min()).all()
    row, column = np.unravel_index(full.argmax(), full.shape)
    assert (8 <= row <= 16, 38 <= column <= 62) == (True, True)
    assert found.full_map((20, 50)).shape == (20, 50)


def test_a_method_without_maps_and_threshold_predicts_scores(tiny_data, tmp_path):
    """There is no map and no verdict; the text of the verdict is empty."""

    def fit(self, images):
        yield Epoch(1, 1)

    plain = made_method(fit, lambda self, batch: Scores(image=torch.zeros(len(batch))))
    _, folder = run_one(plain, job_for(plain, tiny_data, tmp_path))
    (found,) = load(folder.path, registry=registry_of(plain), device="cpu").predict(
        tiny_data / "bolts/test/good/000.png"
    )
    assert (found.score, found.map, found.full_map(), found.defective, found.verdict) == (0.0, None, None, None, "")


def test_load_is_a_public_name():
    """``adbench.load`` is what the README says."""
    assert adbench.load is load
