"""Laws of painting: mixtures, rotations, and changes of a texture."""

from __future__ import annotations

import pytest
import torch
from adbench_plugins import painting
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("one_thread")

CHANGES = (
    painting.gamma, painting.brightness, painting.scale_brightness, painting.contrast, painting.sharpness,
    painting.hue_and_saturation, painting.slight_hue_and_saturation, painting.solarize, painting.posterize,
    painting.invert, painting.autocontrast, painting.equalize, painting.grey, painting.mirror, painting.turn_over,
    painting.rotation,
)  # fmt: skip


def texture(height: int = 16, width: int = 24) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(20, 200, (3, height, width), generator=generator, dtype=torch.uint8)


@settings(max_examples=20)
@given(st.integers(1, 3), st.floats(0, 1), st.integers(0, 99))
def test_paint_mixes_within_masks_and_changes_nothing_else(count, kept, seed):
    """Outside it is the image bit for bit; inside, kept x image + (1 - kept) x texture."""
    generator = torch.Generator().manual_seed(seed)
    images, textures = torch.rand(2, count, 3, 4, 5, generator=generator)
    masks = (torch.rand(count, 1, 4, 5, generator=generator) > 0.5).float()
    found = painting.paint(images, textures, masks, torch.full((count,), kept))
    inside = masks.bool().expand_as(images)
    assert torch.equal(found[~inside], images[~inside])
    torch.testing.assert_close(found[inside], (kept * images + (1 - kept) * textures)[inside], rtol=1e-5, atol=1e-6)


def test_images_rotate_as_a_whole_and_each_by_its_own_angle() -> None:
    """A quarter turn of a square is exact, all channels turn alike, and corners come from outside."""
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = painting.rotate(images, torch.tensor([90.0, 0.0, 45.0]))
    quarters = [torch.rot90(images[0], turns, (1, 2)) for turns in (1, 3)]
    assert min((found[0] - each).abs().max() for each in quarters) < 1e-4
    torch.testing.assert_close(found[1], images[1], rtol=1e-4, atol=1e-5)
    assert (found[2, :, 0, 0] == 0).all()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_gives_another_texture_of_the_same_kind(change: painting.Change) -> None:
    """uint8 of the same shape, the input untouched, the same for the same seed, and different in some draws."""
    before = texture()
    found = []
    for seed in (*range(8), 0):
        torch.manual_seed(seed)
        found.append(change(before))
    assert all((each.shape, each.dtype) == (before.shape, torch.uint8) for each in found)
    assert torch.equal(before, texture())
    assert torch.equal(found[0], found[-1])
    assert any(not torch.equal(each, before) for each in found)


def test_three_different_changes_are_applied_in_random_order() -> None:
    """Of four changes that note their names, each triple is drawn without repetition, and orders differ."""
    noted: list[str] = []

    def noting(name: str) -> painting.Change:
        def change(texture: torch.Tensor) -> torch.Tensor:
            noted.append(name)
            return texture

        return change

    torch.manual_seed(0)
    for _ in range(40):
        painting.change_some(texture(), [noting(name) for name in "abcd"])
    triples = ["".join(noted[start : start + 3]) for start in range(0, 120, 3)]
    assert all(len(set(each)) == 3 for each in triples)
    assert len(set(triples)) > 12
    assert {each[0] for each in triples} == set("abcd")


def test_some_changes_by_their_definitions() -> None:
    """Inversion, mirrors and grey; brightness within its bounds; gamma that leaves black and white."""
    before = texture()
    assert torch.equal(painting.invert(before), 255 - before)
    assert torch.equal(painting.mirror(before), before.flip(2))
    assert torch.equal(painting.turn_over(before), before.flip(1))
    assert painting.grey(before).float().std(0).max() == 0
    flat = torch.full((3, 4, 4), 100, dtype=torch.uint8)
    assert all(50 <= value <= 150 for _ in range(20) for value in painting.brightness(flat).unique().tolist())
    ends = torch.tensor([0, 255], dtype=torch.uint8).expand(3, 1, 2)
    assert torch.equal(painting.gamma(ends), ends)
