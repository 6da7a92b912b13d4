"""The schema of run files says what the parser and the methods take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from adbench.api import registry as plugins
from adbench.api.options import option_types
from adbench.run.run_file import DATA_KEYS, KEYS, METHOD_KEYS
from adbench.run.run_file_schema import schema


@pytest.fixture(scope="module")
def registry() -> plugins.Registry:
    return plugins.load()


@pytest.fixture(scope="module")
def found(registry) -> dict[str, Any]:
    return schema(registry, {"preset": {"type": "string"}})


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """All objects of a JSON document."""
    if isinstance(node, dict):
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(each)


def tables(found: dict[str, Any], part: str) -> dict[str, dict[str, Any]]:
    """The tables of methods or data sets by name."""
    _, *each = found["definitions"][part]["anyOf"]
    return {table["properties"]["name"]["const"]: table["properties"] for table in each}


def test_it_has_the_keys_that_the_parser_knows(found):
    """No key is missing and none is made up, at the top and in tables."""
    assert set(found["properties"]) == {*KEYS, "preset"}
    assert all(set(table) == set(METHOD_KEYS) for table in tables(found, "method").values())
    assert all(set(table) == set(DATA_KEYS) for table in tables(found, "data").values())
    assert all(found["properties"][key]["description"] == meaning for key, meaning in KEYS.items())


def test_every_method_has_its_own_options_and_presets(found, registry):
    """Those of one method are not offered for another one."""
    made = tables(found, "method")
    assert set(made) == set(registry.methods)
    for name, method in registry.methods.items():
        assert set(made[name]["options"]["properties"]) == set(option_types(method.options))
        assert made[name]["preset"]["enum"] == list(method.presets)


def option(found: dict[str, Any], method: str, key: str) -> dict[str, Any]:
    name = tables(found, "method")[method]["options"]["properties"][key]["$ref"].rpartition("/")[2]
    return found["definitions"][name]


def test_options_have_types_ranges_and_meanings(found):
    """A count starts at 1, a list of values is a grid, and the text below an option is shown."""
    dimensions = option(found, "padim", "dimensions")
    one = {"type": "integer", "minimum": 1}
    assert dimensions["anyOf"] == [one, {"type": "array", "items": one, "minItems": 1}]
    assert option(found, "padim", "amp")["anyOf"][0] == {"enum": ["auto", "off", "bf16", "fp16"]}
    assert "Height and width" in option(found, "padim", "size")["description"]


def test_every_reference_leads_somewhere_and_it_is_small(found):
    """It is JSON that an editor reads at once."""
    references = {node["$ref"] for node in nodes(found) if "$ref" in node}
    assert references
    assert references == {f"#/definitions/{name}" for name in found["definitions"]}
    assert len(json.dumps(found)) < 150_000
