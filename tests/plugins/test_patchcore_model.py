"""PatchCore's detector against the authors' program, anomalib and a plain computation, and the laws of its parts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from adbench_plugins.patchcore import PatchCoreOptions
from adbench_plugins.patchcore.model import STARTS, PatchCore
from flow_doubles import TinyBackbone, TinyBatch, TinyImages, assert_near, golden_file, tensors

from adbench import Epoch
from adbench.api.detector import Step
from adbench.util.errors import CheckpointError, TaskError

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SMALL = PatchCoreOptions(
    size=(32, 48), amp="off", batch_size=3, dimensions=6, target=6, projection=4, share=0.2, sigma=1.0
)


def make(options: PatchCoreOptions = SMALL, seed: int = 0) -> PatchCore:
    torch.manual_seed(seed)
    return PatchCore(options, CPU, TinyBackbone())


def fitted(options: PatchCoreOptions = SMALL, images: TinyImages | None = None) -> PatchCore:
    detector = make(options)
    torch.manual_seed(3)
    train_through(detector, images or TinyImages())
    return detector


def train_through(detector: PatchCore, images: object) -> list[Step]:
    """Drive ``fit`` to its end, and return its steps."""
    reports = list(detector.fit(images))
    assert reports[0] == Epoch(0, 1)
    assert reports[-1] == Epoch(1, 1)
    return reports[1:-1]


def some_images(count: int = 4, size: tuple[int, int] = (32, 48)) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(5))


# ---------------------------------------------------------------- golden numbers


class GoldenBatch:
    """Stored features of two layers."""

    def __init__(self, layers: dict[str, torch.Tensor], size: tuple[int, int]) -> None:
        self.layers, self.size = layers, size

    def features(self, backbone: object) -> list[torch.Tensor]:
        """Whatever the backbone."""
        return [self.layers["2"], self.layers["3"]]


def golden_scores(prefix: str, options: PatchCoreOptions) -> object:
    """The scores of the golden test features with the golden bank."""
    archive = golden_file("patchcore_small.npz")
    backbone = SimpleNamespace(channels=(8, 16), strides=(8, 16))
    detector = PatchCore(options, CPU, backbone)
    rows = torch.from_numpy(archive[f"{prefix}_train_embed"])
    detector.load_state_dict({"bank": rows[torch.from_numpy(archive[f"{prefix}_coreset"]).long()]})
    height, width = archive["off_size"].tolist()
    return detector.score(GoldenBatch(tensors(archive, "test_layer"), (height, width)))


def test_scores_and_maps_are_those_of_the_authors_program():
    """Squared distances; the map is enlarged and smoothed, the image score is that of the highest patch."""
    archive = golden_file("patchcore_small.npz")
    scores = golden_scores("off_a", PatchCoreOptions(dimensions=16, target=16))
    assert_near(archive["off_a_image_scores"], scores.image, 1e-5)
    assert_near(archive["off_a_map"], scores.map, 1e-5)


def test_three_neighbours_of_larger_patches_are_those_of_the_authors_program():
    """A patch's score is the mean of the three smallest squared distances."""
    archive = golden_file("patchcore_small.npz")
    scores = golden_scores("off_b", PatchCoreOptions(dimensions=16, target=16, patch=5, neighbours=3))
    assert_near(archive["off_b_image_scores"], scores.image, 1e-5)


@pytest.mark.parametrize("around", [1, 3, 9])
def test_weighted_scores_are_those_of_anomalib(around):
    """Equation 7 of the paper, with averaged patches and plain distances."""
    archive = golden_file("patchcore_small.npz")
    options = PatchCoreOptions(embedding="averaged", squared=False, reweighting=around)
    assert_near(archive[f"al_pred_score_b{around}"], golden_scores("al", options).image, 1e-5)


def test_patch_scores_are_those_of_anomalib():
    """Without enlarging and smoothing, a map is the grid of distances."""
    archive = golden_file("patchcore_small.npz")
    options = PatchCoreOptions(embedding="averaged", squared=False, sigma=0)
    detector = PatchCore(options, CPU, SimpleNamespace(channels=(8, 16), strides=(8, 16)))
    bank = torch.from_numpy(archive["al_train_embed"])[torch.from_numpy(archive["al_coreset"]).long()]
    detector.load_state_dict({"bank": bank})
    batch = GoldenBatch(tensors(archive, "test_layer"), archive["al_patch_scores"].shape[1:])
    assert_near(archive["al_patch_scores"], detector.score(batch).map, 1e-5)


# ---------------------------------------------------------------- fit


@pytest.mark.parametrize("coreset", ["approximate", "exact"])
@pytest.mark.parametrize("embedding", ["program", "averaged"])
def test_the_bank_is_that_of_a_plain_loop_over_all_vectors(coreset, embedding):
    """Two passes find the vectors that the plain loop picks from all of them, in their order."""
    options = replace(SMALL, coreset=coreset, embedding=embedding)
    bank = fitted(options).state_dict()["bank"]

    torch.manual_seed(3)  # the same draws
    width = 6 if embedding == "program" else 19
    projection = torch.empty(4, width).uniform_(-(width**-0.5), width**-0.5)
    detector, images = make(options), TinyImages()
    torch.manual_seed(3)
    torch.empty(4, width).uniform_()
    vectors = torch.cat([detector.embed(each).flatten(0, 2) for each in images.features(detector.backbone)])
    reduced = (vectors @ projection.T).double()
    distances = torch.cdist(reduced, reduced)
    nearest = distances.norm(dim=1)
    if coreset == "approximate":
        nearest = distances[:, torch.randperm(len(vectors))[:STARTS]].mean(1)
    picks = []
    for _ in range(int(0.2 * len(vectors))):
        picks.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, distances[picks[-1]])
    torch.testing.assert_close(bank, vectors[picks], rtol=1e-5, atol=1e-6)


def test_the_coresets_picks_are_reported_as_steps():
    """They count to the size of the bank."""
    detector = make()
    steps = train_through(detector, TinyImages())
    done = [step.done for step in steps]
    assert done == sorted(set(done))
    assert {step.total for step in steps} == {done[-1]} == {len(detector.state_dict()["bank"])}


def test_short_vectors_are_not_projected():
    """A projection to as many dimensions or more would only lose precision; 0 means none."""
    assert make(replace(SMALL, projection=6))._projection() is None
    assert make(replace(SMALL, projection=0))._projection() is None
    assert make(replace(SMALL, projection=5))._projection().shape == (5, 6)


def test_the_draw_of_the_order_does_not_depend_on_the_two_passes():
    """After a fit, random numbers go on as after one pass, the projection and the starts."""
    fitted()
    after = torch.rand(1)
    torch.manual_seed(3)
    torch.empty(4, 6).uniform_()
    torch.randperm(6)
    torch.randperm(6 * 8 * 12)
    assert torch.equal(after, torch.rand(1))


def test_images_that_come_in_another_order_are_noticed():
    """The second pass would put vectors of other patches into the bank."""

    class Reordered(TinyImages):
        passes = 0

        def features(self, backbone: TinyBackbone) -> Iterator[list[torch.Tensor]]:
            self.passes += 1
            return (backbone(self.images[chosen]) for chosen in torch.arange(6).roll(self.passes).split(2))

    with pytest.raises(TaskError, match="other patches in the second pass"):
        train_through(make(), Reordered())


def test_one_training_image_is_enough():
    """In few-shot training, its own patches score 0 if the bank keeps all of them."""
    images = TinyImages(1)
    detector = fitted(replace(SMALL, share=1.0), images)
    assert len(detector.state_dict()["bank"]) == 8 * 12
    scores = detector.score(TinyBatch(images.images))
    assert float(scores.image) == 0
    assert float(detector.score(TinyBatch(some_images(1))).image) > 0.01


@pytest.mark.parametrize("coreset", ["approximate", "exact"])
def test_images_without_content_leave_a_bank_of_few_rows(coreset):
    """Black images have few different patches: the bank has each of them once, and scores stay finite."""
    images = TinyImages(4)
    images.images = torch.zeros_like(images.images)
    detector = fitted(replace(SMALL, coreset=coreset, share=0.5, reweighting=9, squared=False), images)
    assert len(detector.state_dict()["bank"]) == 1
    assert float(detector.score(TinyBatch(images.images)).image.max()) == 0
    assert torch.isfinite(detector.score(TinyBatch(some_images())).image).all()


def test_no_image_is_an_error():
    """The message says what is missing."""
    with pytest.raises(TaskError, match="no training image"):
        train_through(make(), TinyImages(0))


def test_the_same_seed_chooses_the_same_bank():
    """And another seed another one."""
    again, images = make(), TinyImages()
    torch.manual_seed(3)
    train_through(again, images)
    assert torch.equal(fitted().state_dict()["bank"], again.state_dict()["bank"])
    torch.manual_seed(4)
    other = make(seed=4)
    train_through(other, images)
    assert not torch.equal(other.state_dict()["bank"], again.state_dict()["bank"])


def test_fit_has_one_epoch_and_none_after_a_resume():
    """One epoch learns everything, and a state that holds it needs no other."""
    detector = make()
    detector.epoch = 1
    assert list(detector.fit(TinyImages())) == []


# ---------------------------------------------------------------- score


def test_an_image_alone_scores_as_in_a_batch():
    """No other image matters, with weights neither."""
    detector = fitted(replace(SMALL, reweighting=5))
    pixels = some_images()
    together = detector.score(TinyBatch(pixels))
    for number, image in enumerate(pixels):
        alone = detector.score(TinyBatch(image[None]))
        torch.testing.assert_close(alone.map[0], together.map[number], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(alone.image[0], together.image[number], rtol=1e-5, atol=1e-6)


def test_squares_are_squares():
    """Without smoothing and enlarging, the only difference of the two units is the square."""
    squared = fitted(replace(SMALL, sigma=0))
    plain = make(replace(SMALL, squared=False))
    plain.load_state_dict(squared.state_dict())
    batch = TinyBatch(some_images())
    torch.testing.assert_close(squared.score(batch).image, plain.score(batch).image.square())


def test_weights_are_those_of_equation_7():
    """In float64, patch by patch, from the distances to the rows around the nearest one."""
    detector = fitted(replace(SMALL, squared=False, reweighting=4))
    bank = detector.state_dict()["bank"].double()
    scores = detector.score(TinyBatch(some_images()))
    for image, score in zip(some_images(), scores.image, strict=True):
        distances = torch.cdist(detector.embed(detector.backbone(image[None])).flatten(0, 2).double(), bank)
        worst = int(distances.amin(1).argmax())
        nearest = int(distances[worst].argmin())
        around = torch.cdist(bank[nearest][None], bank)[0].topk(4, largest=False).indices
        weight = 1 - distances[worst].amin().exp() / distances[worst, around].exp().sum()
        assert float(score) == pytest.approx(float(weight * distances[worst].amin()), rel=1e-4)


@pytest.mark.parametrize("size", [(32, 32), (33, 50), (100, 40)])
def test_any_input_size_works(size):
    """Layers whose sizes are not multiples of each other still line up, and scoring may have another size."""
    detector = fitted(images=TinyImages(4, size=size))
    scores = detector.score(TinyBatch(some_images(2, (40, 56))))
    assert scores.map.shape == (2, 40, 56)
    assert torch.isfinite(scores.map).all()


# ---------------------------------------------------------------- state


def test_state_goes_into_a_fresh_detector():
    """The bank survives a file, which holds only tensors, and its size is known before."""
    detector = fitted()
    file = io.BytesIO()
    torch.save(detector.state_dict(), file)
    file.seek(0)
    fresh = make(seed=1)
    fresh.context = replace(fresh.context, train_images=6)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    batch = TinyBatch(some_images())
    assert torch.equal(detector.score(batch).map, fresh.score(batch).map)
    assert fresh.checkpoint_bytes() == detector.state_dict()["bank"].nbytes


def test_state_that_does_not_fit_is_refused():
    """A missing bank and one of another embedding are named."""
    with pytest.raises(CheckpointError, match=r"found no bank.*wanted rows of 6 numbers"):
        make().load_state_dict({})
    with pytest.raises(CheckpointError, match=r"found a bank of shape \(57, 6\).*wanted rows of 19 numbers"):
        make(replace(SMALL, embedding="averaged")).load_state_dict({"bank": torch.zeros(57, 6)})


def test_a_detector_that_was_not_fitted_says_so():
    """Scoring without a fit is an error, not zeros."""
    with pytest.raises(CheckpointError, match="fitted"):
        make().score(TinyBatch(some_images()))
