"""Maps and masks compared at other sizes than the input's: every pixel that the method saw counts."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from runs import brightness, job_for, made_method, metrics_of, only_run, run_one, run_tiny
from sklearn.metrics import average_precision_score, roc_auc_score

from adbench import Epoch
from adbench.api.data import Sample
from adbench.data.framing import Framing
from adbench.data.ground_truth import GroundTruth, Resized, open_ground_truth
from adbench.data.image_store import Store, open_store
from adbench.metrics import curves
from adbench.metrics.metrics import evaluate, evaluate_ground_truth
from adbench.results import serialization
from adbench.results.records import Protocol
from adbench.util.errors import DataError, TaskError

# ---------------------------------------------------------------- metrics of several sizes


@st.composite
def ragged_cases(draw: st.DrawFn):
    """Masks and tied scores of a few images of different sizes."""
    sizes = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks = [rng.random(size) < draw(st.sampled_from((0.1, 0.5))) for size in sizes]
    flat = np.concatenate([mask.ravel() for mask in masks])
    assume(flat.any() and not flat.all())
    maps = [(rng.integers(0, draw(st.sampled_from((2, 5, 1000))), size)).astype(np.float32) for size in sizes]
    labels = np.arange(len(sizes)) % 2
    return labels, masks, maps


@settings(max_examples=60, deadline=None)
@given(ragged_cases(), st.sampled_from((1, 20, 1 << 24)))
def test_pixels_of_images_of_several_sizes_count_alike(case, group):
    """The metrics are those of all pixels together, however many images are in memory at once."""
    labels, masks, maps = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "_GROUP", group)
        found = evaluate_ground_truth(GroundTruth.of_sizes(labels, masks), image_scores=labels, maps=maps)
    ground_truth, scores = (np.concatenate([each.ravel() for each in part]) for part in (masks, maps))
    assert found.pixel_auroc == pytest.approx(roc_auc_score(ground_truth, scores), abs=1e-12)
    assert found.pixel_ap == pytest.approx(average_precision_score(ground_truth, scores), abs=1e-12)
    assert found.image_auroc == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from((2, 1000)))
def test_of_one_size_both_ways_are_equal(seed, levels):
    """Images that happen to have one size have exactly the usual metrics, including AUPRO."""
    rng = np.random.default_rng(seed)
    masks = rng.random((3, 8, 6)) < 0.2
    assume(masks.any())
    maps, other = rng.integers(0, levels, (2, 3, 8, 6)).astype(np.float32)
    case = {"image_scores": np.arange(3), "maps": maps, "region_maps": other}
    plain = evaluate(labels=[0, 1, 1], masks=masks, **case)
    assert vars(evaluate_ground_truth(GroundTruth.of_sizes([0, 1, 1], masks), **case)) == pytest.approx(
        vars(plain), abs=1e-12
    )


@pytest.mark.parametrize(
    ("maps", "text"),
    [
        ([np.zeros((2, 3))], "1 maps"),
        ([np.zeros((2, 3)), np.zeros((4, 4))], r"maps of image 1: found shape \(4, 4\)"),
        ([np.zeros((2, 3)), np.full((4, 5), np.nan)], "maps of image 1: found NaN"),
    ],
)
def test_maps_that_do_not_fit_their_masks_are_refused(maps, text):
    """A missing map, another size, or a value that is not finite is an error that names the image."""
    ground_truth = GroundTruth.of_sizes([0, 1], [np.zeros((2, 3)), np.eye(4, 5)])
    with pytest.raises(TaskError, match=text):
        evaluate_ground_truth(ground_truth, image_scores=[0, 1], maps=maps)
    with pytest.raises(TaskError, match="masks"):
        GroundTruth.of_sizes([0, 1], [np.zeros((2, 3))])


def test_large_images_are_never_in_memory_at_once():
    """Forty maps of a megapixel take 160 MB; only a few of them are in memory at once."""
    count, side = 40, 1000
    masks = (np.pad(np.ones((20, 20)), ((0, side - 20), (0, side - 20))) for _ in range(count))
    ground_truth = GroundTruth.of_sizes(np.ones(count), masks)
    maps = Resized(torch.rand(count, 16, 16), ((side, side),) * count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "_GROUP", 2 * side * side)
        tracemalloc.start()
        evaluate_ground_truth(ground_truth, image_scores=np.zeros(count), maps=maps)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 60e6


def test_maps_are_resized_between_pixel_centres():
    """Twice as large, a ramp stays a ramp with constant ends; at the same size the map stays the same."""
    ramp = torch.arange(4.0).expand(1, 4, 4)
    assert Resized(ramp, ((2, 8),))[0][0].tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    assert np.array_equal(Resized(ramp, ((4, 4),))[0], ramp[0].numpy())


# ---------------------------------------------------------------- masks at their own size


def make_images(root: Path) -> tuple[Sample, ...]:
    """A good image of 40 x 60, and defective ones of 50 x 100 and 30 x 30 with a square in the centre."""
    samples = []
    for number, (height, width) in enumerate(((40, 60), (50, 100), (30, 30))):
        path = root / f"{number}.png"
        image = np.full((height, width, 3), 90, np.uint8)
        mask = np.zeros((height, width), np.uint8)
        mask[height // 2 - 5 : height // 2 + 5, width // 2 - 5 : width // 2 + 5] = 255
        image[mask > 0] = 220 if number else 90
        Image.fromarray(image).save(path)
        ground_truth = root / f"{number}_mask.png" if number else None
        if ground_truth:
            Image.fromarray(mask).save(ground_truth)
        samples.append(Sample(path, int(number > 0), "spot" if number else "good", ground_truth))
    return tuple(samples)


@pytest.fixture
def stored(tmp_path) -> Store:
    return open_store(make_images(tmp_path), root=tmp_path, framing=Framing((32, 32)))


def test_native_is_each_images_own_size(stored):
    """Good images have a size without a mask, and every mask pixel in the files counts."""
    ground_truth = open_ground_truth(stored, Framing((32, 32)), eval_size="native")
    assert ground_truth.sizes == ((40, 60), (50, 100), (30, 30))
    assert ground_truth.region_sizes.tolist() == [100, 100]
    assert ground_truth.positions[0] == 40 * 60 + 20 * 100 + 45


def test_a_crop_is_evaluated_alone(stored, tmp_path):
    """Parts that the method never saw don't count: masks are cropped like the images."""
    cropped = open_store(make_images(tmp_path), root=tmp_path, framing=Framing((32, 32), "crop"))
    ground_truth = open_ground_truth(cropped, Framing((32, 32), "crop"), eval_size="native")
    assert ground_truth.sizes == ((40, 40), (50, 50), (30, 30))
    assert ground_truth.region_sizes.tolist() == [100, 100]
    assert ground_truth.positions[0] == 40 * 40 + 20 * 50 + 20


def test_a_part_of_a_resized_image_is_evaluated_alone(tmp_path):
    """Of 40 x 40 pixels to which images were stretched, the central 32 x 32 are compared: four fifths each way."""
    framing = Framing((32, 32), resize_to=(40, 40))
    cut = open_store(make_images(tmp_path), root=tmp_path, framing=framing)
    ground_truth = open_ground_truth(cut, framing, eval_size="native")
    assert ground_truth.sizes == ((32, 48), (40, 80), (24, 24))
    assert ground_truth.region_sizes.tolist() == [100, 100]
    assert ground_truth.positions[0] == 32 * 48 + (20 - 5) * 80 + 45 - 10


@pytest.mark.parametrize(
    "framing",
    [
        Framing((24, 32)),
        Framing((24, 32), "crop"),
        Framing((24, 32), resize_to=(30, 36)),
        Framing((24, 32), "crop", (30, 36), "bicubic"),
    ],
)
def test_the_inputs_size_asked_for_is_the_inputs_size(stored, tmp_path, framing):
    """Masks read again at the input's size are those of the store, cropped or not."""
    store = open_store(make_images(tmp_path), root=tmp_path, framing=framing)
    plain = open_ground_truth(store, framing)
    again = open_ground_truth(store, framing, eval_size=(24, 32))
    assert np.array_equal(plain.positions, again.positions)
    assert again.sizes == ((24, 32),) * 3


def test_a_mask_that_broke_meanwhile_is_named(stored, tmp_path):
    """The mask was intact when the store was made; now it is an error that names its file."""
    (tmp_path / "1_mask.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1_mask\.png"):
        open_ground_truth(stored, Framing((32, 32)), eval_size="native")


# ---------------------------------------------------------------- in a run


def one_epoch(detector, images):
    yield Epoch(1, 1)


def test_a_run_evaluates_at_the_images_own_size(tiny_data, tmp_path):
    """The metrics are those of the maps resized to 80 x 80, image by image, against the files' masks."""
    method = made_method(one_epoch)
    result, _ = run_one(method, job_for(method, tiny_data, tmp_path, eval_size="native"))
    folder = tiny_data / "bolts" / "test"
    paths = sorted(folder.glob("good/*.png")) + sorted(folder.glob("spot/*.png"))
    masks, maps = [], []
    for path in paths:
        small = Image.open(path).convert("RGB").resize((64, 64), Image.Resampling.LANCZOS)
        batch = type("Batch", (), {"images": torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 255})
        values = brightness(batch).map[:, None]
        maps.append(torch.nn.functional.interpolate(values, (80, 80), mode="bilinear")[0, 0].numpy())
        mask = folder.parent / "ground_truth" / "spot" / f"{path.stem}_mask.png"
        masks.append(np.asarray(Image.open(mask)) > 0 if path.parent.name == "spot" else np.zeros((80, 80), bool))
    labels = [int(path.parent.name == "spot") for path in paths]
    expected = evaluate(labels=labels, image_scores=labels, masks=np.stack(masks), maps=np.stack(maps))
    assert result.metrics.pixel_auroc == pytest.approx(expected.pixel_auroc, abs=1e-6)
    assert result.metrics.aupro == pytest.approx(expected.aupro, abs=1e-6)
    assert (result.protocol.mask_size, result.protocol.map_resampling) == ("native", "bilinear")


def test_the_command_names_such_a_run_and_takes_images_of_any_size(tiny_data, tmp_path):
    """--eval-size is in the run's name, allows images of several sizes, and the input's size adds nothing."""
    data = tmp_path / "data"
    shutil.copytree(tiny_data / "bolts", data / "bolts")
    image = data / "bolts/test/good/000.png"
    Image.open(image).resize((120, 50)).save(image)
    results = {}
    for words in ((), ("--eval-size", "64"), ("--eval-size", "native"), ("--eval-size", "40x50")):
        folder = tmp_path / "-".join(("results", *words))
        done = run_tiny(data, folder, "-o", "epochs=1", *words)
        assert done.exit_code == 0, done.stderr
        results[words[-1] if words else ""] = only_run(folder)
    assert results[""].name == results["64"].name
    assert "-native-" in results["native"].name
    assert "-40x50-" in results["40x50"].name
    pixel = {name: metrics_of(folder)["pixel_auroc"] for name, folder in results.items()}
    assert len(set(pixel.values())) == 3
    assert len({metrics_of(folder)["image_auroc"] for folder in results.values()}) == 1
    assert max(pixel.values()) - min(pixel.values()) < 0.05


@pytest.mark.parametrize("text", ["big", "0", "1x2x3", "-4", ""])
def test_a_size_that_is_none_is_refused(tiny_data, tmp_path, text):
    """The message says what was wanted."""
    done = run_tiny(tiny_data, tmp_path, f"--eval-size={text}")
    assert done.exit_code == 2
    assert "native, or HxW" in done.stderr


def test_both_kinds_of_sizes_survive_json_and_older_protocols_are_read():
    """A word and numbers survive; a protocol without the newer fields gets their defaults."""
    plain = Protocol((64, 64), "stretch", "lanczos", (64, 64), "nearest", "last", "anomaly map", None, None, "off")
    native = replace(plain, mask_size="native", map_resampling="bilinear", holdout=0.1)
    for protocol in (plain, native):
        assert serialization.from_text(Protocol, serialization.to_text(protocol)) == protocol
    older = json.loads(serialization.to_text(plain))
    del older["map_resampling"], older["holdout"]
    assert serialization.from_text(Protocol, json.dumps(older)) == plain
    with pytest.raises(ValueError, match="mask_size"):
        serialization.from_text(Protocol, serialization.to_text(native).replace('"native"', '"huge"'))
