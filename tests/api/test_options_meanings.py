"""The meanings of options: the texts below them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, make_dataclass
from pathlib import Path

from runs import adbench

from adbench import Options
from adbench.api import registry as plugins
from adbench.api.data import Size
from adbench.api.option_meanings import option_meanings
from adbench.api.options import option_types

SAMPLE = Path(__file__).parents[2] / "docs" / "sample_plugin" / "adbench_sample.py"


@dataclass(frozen=True)
class Told(Options):
    """An option with a text of two lines, one without, and one that is declared anew."""

    told: int = 1
    """Something
    that takes two lines."""

    silent: int = 2
    size: Size = (64, 64)


def test_a_meaning_is_the_text_below_an_option():
    """A class that redeclares an option keeps its text; an option without a text has an empty one."""
    found = option_meanings(Told)
    assert found["told"] == "Something that takes two lines."
    assert found["silent"] == ""
    assert found["size"] == option_meanings(Options)["size"]


def test_options_without_a_source_have_no_meanings():
    """A class that is made at run time causes no error."""
    made = make_dataclass("Made", [("extra", int, 1)], bases=(Options,), frozen=True)
    assert option_meanings(made)["extra"] == ""
    assert option_meanings(made)["amp"]


def test_list_methods_shows_meanings():
    """``list methods NAME`` shows them to people and programs, beside type and presets."""
    table, *_ = json.loads(adbench("list", "methods", "padim", "--format", "json").stdout)
    rows = {row["option"]: row for row in table["rows"]}
    assert rows["sigma"]["meaning"] == option_meanings(plugins.load([]).method("padim").options)["sigma"]
    assert rows["sigma"]["meaning"] in adbench("list", "methods", "padim").stdout


def test_every_option_of_a_method_of_adbench_says_what_it_means():
    """Every option has a sentence, including inherited ones and those of the sample plugin."""
    registry = plugins.load([SAMPLE])
    for method in registry.methods.values():
        meanings = option_meanings(method.options)
        assert list(meanings) == list(option_types(method.options))
        for key, text in meanings.items():
            assert re.fullmatch(r"[A-Z0-9].*\.", text), (method.name, key, text)
