"""Options as text and JSON: their types, ranges, presets and variants."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench import Method, Options
from adbench.api.method import Preset, real_overrides, resolve
from adbench.api.options import (
    BackboneOptions,
    Count,
    Positive,
    Range,
    check,
    from_json,
    naming,
    option_text,
    option_types,
    parse,
    to_json,
    type_name,
)
from adbench.results.records import variant_name
from adbench.util.errors import OptionError, UnknownNameError


@dataclass(frozen=True)
class Chosen(Options):
    lr: float = 1e-4
    epochs: int = 3
    layers: tuple[int, ...] = (1, 2)
    rotate: bool = False
    kind: Literal["avg", "max"] = "avg"
    weights: str | None = None
    rate: Positive = 0.5
    parts: tuple[Count, ...] = (2,)
    share: Annotated[float, Range(0, 1, above=True)] | None = None


METHOD = Method(
    "mine",
    "",
    lambda options, device: None,
    Chosen,
    {"big": Preset(Chosen(epochs=9), per_class={"mvtec/transistor": {"size": (128, 128)}})},
)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("lr", "1e-3", 1e-3),
        ("epochs", "12", 12),
        ("layers", "2,3,4", (2, 3, 4)),
        ("rotate", "yes", True),
        ("rotate", "off", False),
        ("kind", "MAX", "max"),
        ("weights", "none", None),
        ("weights", "w.pt", "w.pt"),
        ("size", "256x640", (256, 640)),
        ("size", "224", (224, 224)),
        ("amp", "bf16", "bf16"),
        ("rate", "2", 2.0),
        ("parts", "1,5,8", (1, 5, 8)),
        ("parts", "(7,)", (7,)),
        ("parts", "[7, 9]", (7, 9)),
        ("size", "96 x 32", (96, 32)),
        ("share", "1", 1.0),
        ("share", "none", None),
    ],
)
def test_text_becomes_typed(key, text, expected):
    """The text after -o KEY= gets the type that the options class declares."""
    assert parse(Chosen, key, text, owner="mine") == expected


@pytest.mark.parametrize(
    ("key", "text", "wanted"),
    [
        ("lr", "fast", "a number"),
        ("lr", "nan", "a number"),
        ("lr", "inf", "a number"),
        ("rate", "0", "a number, above 0 up"),
        ("rate", "-1", "a number, above 0 up"),
        ("parts", "2,0", "a whole number, from 1 up or several"),
        ("share", "1.5", "a number, above 0 to 1, or none"),
        ("batch_size", "0", "a whole number, from 1 up"),
        ("epochs", "1.5", "a whole number"),
        ("rotate", "maybe", "true or false"),
        ("kind", "min", "one of avg, max"),
        ("size", "1x2x3", "HxW"),
        ("size", "96x", "HxW"),
        ("size", "x96", "HxW"),
        ("size", "96xx32", "HxW"),
        ("size", "x", "HxW"),
        ("parts", "2,,5", "a whole number, from 1 up or several"),
        ("parts", ",2", "a whole number, from 1 up or several"),
        ("parts", "2, ", "a whole number, from 1 up or several"),
        ("parts", "(2,,)", "a whole number, from 1 up or several"),
        ("layers", "1,a", "a whole number"),
    ],
)
def test_a_bad_value_says_what_was_wanted(key, text, wanted):
    """The message names the option, the given text and the wanted type."""
    with pytest.raises(OptionError, match=wanted) as caught:
        parse(Chosen, key, text, owner="mine")
    assert key in str(caught.value)
    assert f"'{text}'" in str(caught.value)


def test_an_unknown_option_offers_the_nearest():
    """A mistyped key gets a suggestion."""
    with pytest.raises(UnknownNameError, match="Did you mean 'epochs'"):
        parse(Chosen, "epoch", "3", owner="mine")


def test_presets_classes_and_changes_stack():
    """A class's own values beat the preset's, and the user's beat both."""
    assert resolve(METHOD, "big", {}, "mvtec", "bottle").size == (256, 256)
    assert resolve(METHOD, "big", {}, "mvtec", "transistor").size == (128, 128)
    assert resolve(METHOD, "big", {"size": (64, 64)}, "mvtec", "transistor").size == (64, 64)
    assert resolve(METHOD, "big", {}, "mvtec", "bottle").epochs == 9
    assert resolve(METHOD, "paper", {}, "mvtec", "bottle").epochs == 3


def test_an_unknown_preset_is_named():
    """An unknown preset is an error that names the method's presets."""
    with pytest.raises(UnknownNameError, match="wanted one of big, paper"):
        resolve(METHOD, "cpu", {}, "mvtec", "bottle")


def test_a_change_that_changes_nothing_is_no_variant():
    """-o epochs=9 on a preset with 9 epochs is the preset; a size that some class changes is kept."""
    assert real_overrides(METHOD, "big", {"epochs": 9}) == {}
    assert real_overrides(METHOD, "big", {"epochs": 8}) == {"epochs": 8}
    assert real_overrides(METHOD, "big", {"size": (256, 256)}) == {"size": (256, 256)}


def test_variants_are_named_by_what_differs():
    """The paper preset has only the method's name; any other option is in the name."""
    assert variant_name("m", "paper", {}) == "m"
    assert variant_name("m", "cpu", {}) == "m:cpu"
    assert variant_name("m", "paper", {"size": (256, 640), "lr": 0.1}) == "m:size=256x640,lr=0.1"
    assert variant_name("m", "paper", {"layers": (2, 3)}) == "m:layers=2,3"


@pytest.mark.parametrize(
    "options",
    [
        Chosen(size=(16, 64)),
        Chosen(batch_size=0),
        Chosen(lr=float("nan")),
        Chosen(rate=0.0),
        Chosen(parts=(1, 0)),
        Chosen(share=2.0),
    ],
)
def test_impossible_options_are_refused(options):
    """Sizes below a backbone's last stride and numbers out of range are refused before any file is opened."""
    with pytest.raises(OptionError, match="of mine"):
        check(options, owner="mine")


@settings(deadline=None)
@given(
    st.builds(
        Chosen,
        lr=st.floats(allow_nan=False, allow_infinity=False),
        epochs=st.integers(),
        layers=st.lists(st.integers(1, 4)).map(tuple),
        rotate=st.booleans(),
        kind=st.sampled_from(["avg", "max"]),
        weights=st.none() | st.text(),
        size=st.tuples(st.integers(32, 9999), st.integers(32, 9999)),
    )
)
def test_options_survive_json(options):
    """Any options are equal after a round trip through JSON text."""
    assert from_json(Chosen, json.loads(json.dumps(to_json(options))), owner="mine") == options


@settings(deadline=None)
@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_what_python_prints_is_parsed_back(value):
    """The str() of a number or a bool is always valid after -o."""
    key = {int: "epochs", float: "lr", bool: "rotate"}[type(value)]

    assert parse(Chosen, key, str(value), owner="mine") == value


def test_every_base_option_can_be_given_as_text():
    """The command line can parse the type of every option of the base class."""
    texts = {"size": "64", "resize": "crop", "resize_to": "96x80", "interpolation": "bicubic"}
    texts |= {"batch_size": "2", "amp": "off", "tile": "64x96", "overlap": "8"}

    assert set(texts) == set(option_types(Options))
    for key, text in texts.items():
        parse(Options, key, text, owner="any")


@dataclass(frozen=True)
class Texts(Options):
    """Options that are several texts, or two numbers."""

    names: tuple[str, ...] = ()
    pair: tuple[str, str] = ("a", "b")
    kernel: tuple[int, int] = (3, 3)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("names", "a,bc", ("a", "bc")),
        ("names", "Max, Box,x", ("Max", "Box", "x")),
        ("names", "(layer1, mixed)", ("layer1", "mixed")),
        ("names", "f(x)", ("f(x)",)),
        ("names", "", ()),
        ("pair", "Left,Right", ("Left", "Right")),
        ("kernel", "3x5", (3, 5)),
        ("kernel", "7", (7, 7)),
    ],
)
def test_several_texts_stay_as_they_are(key, text, expected):
    """Commas alone separate them: an x in a text is a letter, and capitals are kept. Numbers may use x."""
    assert parse(Texts, key, text, owner="mine") == expected


def test_one_text_is_not_two():
    """A single number is both sides of a square; a single text is one text too few."""
    with pytest.raises(OptionError, match="option pair of mine: found 'both'"):
        parse(Texts, "pair", "both", owner="mine")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", "big"), ("size", [64]), ("size", [64, 64.5]), ("size", [True, 64]), ("size", 64), ("epochs", "3"),
        ("epochs", 1.5), ("epochs", None), ("lr", "fast"), ("lr", True), ("layers", 3), ("layers", "1,2"),
        ("rotate", 1), ("kind", "min"), ("kind", ["avg"]), ("weights", 7), ("rate", 0), ("share", {}),
        ("parts", [2, 0]),
    ],
)  # fmt: skip
def test_json_of_other_hands_is_checked(key, value):
    """A value of a wrong type or out of range is refused with the wanted one."""
    with pytest.raises(OptionError, match=f"option {key} of mine: found"):
        from_json(Chosen, {**to_json(Chosen()), key: value}, owner="mine")


# ---------------------------------------------------------------- resize, then crop


def test_a_size_to_resize_to_is_read_and_written_like_a_size():
    """One number is a square; none, JSON and back; two numbers by a comma are two sizes."""
    assert parse(Options, "resize_to", "448", owner="m") == (448, 448)
    assert parse(Options, "resize_to", "none", owner="m") is None
    options = Options(size=(392, 392), resize_to=(448, 500))
    assert option_text("resize_to", options.resize_to) == "448x500"
    assert from_json(Options, to_json(options), owner="m") == options
    with pytest.raises(OptionError, match="For several sizes run once for each"):
        parse(Options, "resize_to", "448,500", owner="m")


@pytest.mark.parametrize("whole", [(391, 500), (500, 391)])
def test_a_crop_larger_than_the_image_is_refused(whole):
    """The message names the size that is to be cut out."""
    with pytest.raises(OptionError, match=r"option resize_to of m: found .*, wanted at least the size, 392x392"):
        check(Options(size=(392, 392), resize_to=whole), owner="m")


def test_options_of_0_1_keep_their_meaning():
    """Options that came later have the values by which 0.1 worked where they are missing, and are in no name then."""

    @dataclass(frozen=True)
    class Newer(Options):
        interpolation: Literal["lanczos", "bicubic"] = "bicubic"

    old = {"size": [256, 256], "resize": "stretch", "batch_size": 8, "amp": "off"}
    assert from_json(Newer, old, owner="m").interpolation == "lanczos"
    assert from_json(Options, old, owner="m") == Options(amp="off")
    assert set(naming(Options())) == set(old)
    assert naming(Newer())["interpolation"] == "bicubic"
    assert naming(Options(resize_to=(300, 300)))["resize_to"] == (300, 300)


def test_words_of_an_option_are_those_that_it_reads():
    """None and booleans are written as they are typed; a type with a comma in it is set off from "none"."""
    assert [option_text("key", value) for value in (None, True, False, 0.5, "None")] == [
        *("none", "true", "false", "0.5", "None")
    ]
    kinds = option_types(Options)
    assert type_name(kinds["resize_to"]) == "HxW, such as 256x640, or one number for a square, or none"
    assert type_name(option_types(BackboneOptions)["weights"]) == "a text or none"
