"""What counts as a defect in a mask: kinds of files, and the rules that a user can give."""

from __future__ import annotations

import numpy as np
import pytest
from image_files import decode, refuse, save
from PIL import Image

from adbench.api.data import Sample
from adbench.api.marking import Marking
from adbench.data.decode import decode_sample
from adbench.data.framing import Framing
from adbench.data.masks import to_mask
from adbench.util.errors import OptionError

SIDE = 12
MARK = np.zeros((SIDE, SIDE), bool)
MARK[3:6, 4:9] = True


def rgba(background, mark) -> Image.Image:
    pixels = np.empty((SIDE, SIDE, 4), np.uint8)
    pixels[:], pixels[MARK] = background, mark
    return Image.fromarray(pixels)


def palette(*colours) -> Image.Image:
    image = Image.fromarray(MARK.astype(np.uint8), "L").convert("P")
    image.putdata(MARK.astype(np.uint8).reshape(-1))
    image.putpalette([value for colour in colours for value in colour] + [0] * (768 - 3 * len(colours)))
    return image


@pytest.mark.parametrize(
    "mask",
    [
        rgba((255, 255, 255, 0), (255, 255, 255, 255)),
        rgba((0, 0, 0, 0), (255, 0, 0, 255)),
        rgba((0, 0, 0, 255), (9, 0, 0, 255)),
        Image.fromarray(np.dstack([np.full((SIDE, SIDE), 255, np.uint8), MARK * np.uint8(255)])),
        palette((0, 0, 0), (0, 0, 7)),
        Image.fromarray((MARK * 0.9 + 1e-6).astype(np.float32)),
        Image.fromarray(MARK.astype(np.uint16) * 65535),
    ],
    ids=["white, transparent", "red on transparent", "opaque", "grey and alpha", "palette", "probabilities", "16 bits"],
)
def test_kinds_of_masks(mask):
    """The drawn pixels are marked, whatever the kind of the mask."""
    assert np.array_equal(to_mask(mask), MARK)


def test_a_tiff_of_16_bits_in_which_0_is_white():
    """Its values are read from black up, as viewers show them."""
    tifffile = pytest.importorskip("tifffile")
    import io

    stream = io.BytesIO()
    tifffile.imwrite(stream, np.where(MARK, 0, 65535).astype(np.uint16), photometric="miniswhite")
    assert np.array_equal(to_mask(Image.open(stream)), MARK)


def test_soft_edges_count_above_half():
    """With more than 16 values and a bright mark, edges count from half of white on."""
    values = np.zeros((SIDE, SIDE), np.uint8)
    values[:2] = np.linspace(5, 255, 2 * SIDE).reshape(2, SIDE)
    assert np.array_equal(to_mask(Image.fromarray(values)), values >= 128)


@pytest.mark.parametrize("values", [(1, 2, 9), (64, 128, 192), (20, 30, 120), tuple(range(1, 25))])
def test_numbers_of_classes_all_count(values):
    """A few values are numbers of classes, and so are any that stay in the darker half."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask.flat[: len(values)] = values
    assert to_mask(Image.fromarray(mask)).sum() == len(values)


@pytest.mark.parametrize(
    ("rule", "marked"),
    [("nonzero", 5), ("above:0", 5), ("above:100", 3), ("above:254", 1), ("inverted", 142), ("auto", 5)],
)
def test_a_users_rule(rule, marked):
    """Each rule marks what it says."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask.flat[:5] = 1, 100, 127, 200, 255
    assert to_mask(Image.fromarray(mask), rule=rule).sum() == marked


def test_the_rule_alpha_takes_transparency_alone():
    """Black strokes on a transparent ground are marked by it, and a mask without transparency is refused."""
    assert np.array_equal(to_mask(rgba((255, 255, 255, 0), (0, 0, 0, 255)), rule="alpha"), MARK)
    with pytest.raises(ValueError, match="without transparent pixels"):
        to_mask(Image.fromarray(MARK), rule="alpha")


@pytest.mark.parametrize(
    ("mask", "found"),
    [
        (Image.fromarray(~MARK[:, :1].repeat(SIDE, 1)), "the whole image"),
        (rgba((255, 255, 255, 255), (255, 0, 0, 255)), "the whole image"),
        (palette((68, 1, 84), (253, 231, 37)), "the whole image"),
    ],
    ids=["white", "white paper", "viridis"],
)
def test_a_mask_that_marks_nearly_all_is_refused(tmp_path, mask, found):
    """The message asks whether it is inverted, and names the option."""
    image = save(tmp_path / "a.png", np.zeros((SIDE, SIDE), np.uint8))
    problem = refuse(image, save(tmp_path / "m.png", mask))
    assert problem.found == f"a mask that marks {found}"
    assert "--mask-rule" in problem.hint


def test_an_inverted_mask_is_read_by_its_rule(tmp_path):
    """Refused by default; by the rule nonzero all that is white counts, by the rule inverted the mark."""
    values = np.full((40, 40), 255, np.uint8)
    values[3:6, 4:9] = 0
    image, mask = save(tmp_path / "a.png", np.zeros((40, 40), np.uint8)), save(tmp_path / "m.png", values)
    assert refuse(image, mask).found == "a mask that marks 99.1% of the image"
    marked = {}
    for rule in ("nonzero", "inverted"):
        sample = Sample(image, 1, "cut", mask, mask_rule=rule)
        marked[rule] = int(decode_sample(sample, Framing((40, 40))).mask.sum())
    assert marked == {"nonzero": 1585, "inverted": 15}


def test_large_defects_are_no_reason_to_refuse(tmp_path):
    """A defect on nine tenths of an image is one."""
    values = np.full((SIDE, SIDE), 255, np.uint8)
    values[0] = 0
    image = save(tmp_path / "a.png", np.zeros((SIDE, SIDE), np.uint8))
    mask = save(tmp_path / "m.png", values)
    assert decode(image, mask, framing=Framing((SIDE, SIDE))).mask.sum() == SIDE * (SIDE - 1)


@pytest.mark.parametrize("rule", ["", "none", "above", "above:", "above:255", "above:-1", "above:1.5", "AUTO "])
def test_an_unknown_rule_is_refused(rule):
    """The message lists the rules."""
    with pytest.raises(OptionError, match="auto, nonzero, above:N"):
        Marking(mask_rule=rule)


@pytest.mark.parametrize(
    ("name", "class_name"), [("f\u00fcr.png", "fu\u0308r"), ("fu\u0308r.png", "f\u00fcr"), ("a.png", "a")]
)
def test_an_ignore_mask_of_a_class_is_found_in_either_form_of_its_name(tmp_path, name, class_name):
    """Letters such as u with dots may be composed or not; a folder without the class's file has none for it."""
    (tmp_path / name).write_bytes(b"")
    marking = Marking(ignore_mask=str(tmp_path))
    assert marking.ignored_in(class_name) == tmp_path / name
    assert marking.ignored_in("other") is None
