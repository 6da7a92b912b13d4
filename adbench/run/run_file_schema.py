"""The JSON schema of run files: editors complete and check keys, methods, options and their values with it.

It comes from the records that ``run_file`` reads by, and from the methods and data sets that are installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from math import inf
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from ..api.data import SETTINGS, Dataset
from ..api.marking import Marking
from ..api.method import Method
from ..api.option_meanings import option_meanings
from ..api.options import Options, Range, option_types
from ..api.registry import Registry
from .grid import is_tuple
from .run_file import ALL, DATA_KEYS, KEYS, LAST_SEED, METHOD_KEYS

DRAFT = "http://json-schema.org/draft-07/schema#"
"""The draft that editors of TOML know."""

Schema = dict[str, Any]
"""A JSON schema as ``json.dumps`` takes it."""

_PATHS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def schema(registry: Registry, others: Mapping[str, Schema]) -> Schema:
    """The schema of run files.

    Args:
        registry: methods and data sets.
        others: schemas of the keys for options of the command.
    """
    parts = _Parts()
    options = {method.name: _options(method.options, parts) for method in registry.methods.values()}
    every = _of_all(list(options.values()))
    methods = [_method(method, options[method.name]) for method in registry.methods.values()]
    datasets = [_dataset(dataset, parts) for dataset in registry.datasets.values()]
    data = parts.ref("data", {"anyOf": [{"enum": list(registry.datasets)}, *datasets]})
    method = parts.ref("method", {"anyOf": [{"enum": [ALL, *registry.methods]}, *methods]})
    properties: dict[str, Schema] = {
        "data": _some(data),
        "classes": _classes(),
        "methods": _some(method),
        "options": {"type": "object", "properties": every, "additionalProperties": False},
        "seeds": _list_of({"type": "integer", "minimum": 0, "maximum": LAST_SEED}),
        "setting": _some({"enum": list(SETTINGS)}),
        "shots": _some({"type": "integer", "minimum": 1}),
        "aux": _PATHS,
        **{key: found for key, found in every.items() if key in KEYS},
    }
    own = {
        key: {"allOf": [properties[key]], "description": meaning}  # beside a $ref nothing else counts
        for key, meaning in KEYS.items()
        if key in properties
    }
    return {
        "$schema": DRAFT,
        "title": "Run file of adbench",
        "description": "A suite of runs: adbench run FILE",
        "type": "object",
        "properties": {**own, **others},
        "additionalProperties": False,
        "definitions": parts.found,
    }


class _Parts:
    """Parts of the schema that stand in many places, each once."""

    def __init__(self) -> None:
        self.found: dict[str, Schema] = {}

    def ref(self, name: str, part: Schema) -> Schema:
        """A reference to a part, which gets a number if another one has the name."""
        names = (f"{name}{number or ''}" for number in count())
        chosen = next(each for each in names if self.found.get(each, part) == part)
        self.found[chosen] = part
        return {"$ref": f"#/definitions/{chosen}"}


def _list_of(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


def _some(item: Schema) -> Schema:
    """One value, or several in a list."""
    return {"anyOf": [item, _list_of(item)]}


def _classes() -> Schema:
    return _some({"type": "string"})


def _table(properties: Mapping[str, Schema], meanings: Mapping[str, str], title: str) -> Schema:
    described = {key: {**properties[key], "description": meanings[key]} for key in meanings}
    return {
        "title": title, "type": "object", "properties": described, "required": ["name"], "additionalProperties": False,
    }  # fmt: skip


def _dataset(dataset: Dataset, parts: _Parts) -> Schema:
    options = _options(Marking, parts)
    if dataset.options is not None:
        options |= _options(type(dataset.options), parts)
    properties: dict[str, Schema] = {
        "name": {"const": dataset.name},
        "root": {"type": "string"},
        "classes": _classes(),
        "options": {"type": "object", "properties": options, "additionalProperties": False},
        "range": {"type": "string"},
        "test_split": {"type": "string"},
        "eval_size": {"type": ["string", "integer"]},
        "skip_bad": {"type": "boolean"},
    }
    return _table(properties, DATA_KEYS, dataset.summary)


def _method(method: Method, options: Mapping[str, Schema]) -> Schema:
    auxiliary = {each.name: {"type": "string"} for each in method.requirements.auxiliary}
    properties: dict[str, Schema] = {
        "name": {"const": method.name},
        "options": {"type": "object", "properties": dict(options), "additionalProperties": False},
        "preset": {"enum": list(method.presets)},
        "aux": {"type": "object", "properties": auxiliary, "additionalProperties": False},
    }
    return _table(properties, METHOD_KEYS, method.summary)


def _of_all(methods: Sequence[Mapping[str, Schema]]) -> dict[str, Schema]:
    """The options of all methods; where they differ, any of the forms."""
    found: dict[str, list[Schema]] = {}
    for options in methods:
        for key, each in options.items():
            if each not in found.setdefault(key, []):
                found[key].append(each)
    return {key: forms[0] if len(forms) == 1 else {"anyOf": forms} for key, forms in found.items()}


def _options(kind: type[Any], parts: _Parts) -> dict[str, Schema]:
    """The options of a class with their meanings; those of a method may have several values."""
    meanings = option_meanings(kind)
    found = {}
    for key, each in option_types(kind).items():
        one = _value(each)
        both = _some(one) if issubclass(kind, Options) else one
        found[key] = parts.ref(key, {**both, "description": meanings[key]} if meanings[key] else both)
    return found


def _value(kind: Any) -> Schema:
    """One value of an option's type, as a run file has it."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *extras = get_args(kind)
        return _within(_value(inner), [extra for extra in extras if isinstance(extra, Range)])
    if origin in (Union, UnionType):
        forms = [_value(each) for each in get_args(kind) if each is not type(None)]
        none: list[Schema] = [{"const": "none"}] if type(None) in get_args(kind) else []
        return {"anyOf": [*forms, *none]}
    if origin is Literal:
        return {"enum": list(get_args(kind))}
    if is_tuple(kind):
        items = [each for each in get_args(kind) if each is not Ellipsis]
        one = _value(items[0])
        return {"anyOf": [{"type": "array", "items": one}, {"type": "string"}, one]}
    return {"type": {int: "integer", float: "number", bool: "boolean"}.get(kind, "string")}


def _within(found: Schema, ranges: list[Range]) -> Schema:
    """Bounds for numbers."""
    for each in ranges:
        if each.low != -inf:
            found = {**found, "exclusiveMinimum" if each.above else "minimum": each.low}
        if each.high != inf:
            found = {**found, "maximum": each.high}
    return found
