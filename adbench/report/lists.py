"""What there is to choose from, as tables: methods with their options, data sets, backbones."""

from __future__ import annotations

from typing import Any

from ..options import option_types, to_json, type_name
from ..plugins import Registry
from ..types import Method, option_text
from .tables import Column, Table


def methods(registry: Registry) -> Table:
    """All methods: name, presets, paper."""
    rows = [(m.name, m.summary, ", ".join(m.presets), m.paper) for m in registry.methods.values()]
    return _table("Methods", ("method", "summary", "presets", "paper"), rows, "adbench list methods NAME shows options")


def datasets(registry: Registry) -> Table:
    """All data sets, and where to get them."""
    rows = [
        (d.name, d.summary + (" (synthetic)" if d.synthetic else ""), d.source or "made on first use")
        for d in registry.datasets.values()
    ]
    return _table("Data sets", ("dataset", "summary", "source"), rows)


def backbones() -> Table:
    """All backbones that a method with a backbone can look through."""
    from ..backbone_table import describe

    rows = [(b.name, ", ".join(map(str, b.channels)), b.weights) for b in describe()]
    note = "Channels at strides 4, 8, 16 and 32. Any timm model: timm:NAME"
    return _table("Backbones", ("backbone", "channels", "weights"), rows, note)


def options_of(method: Method) -> Table:
    """A method's options: type, and the value in each preset; a star marks what some classes change."""
    presets = {name: (to_json(preset.options), preset.per_class) for name, preset in method.presets.items()}
    rows = [
        (key, type_name(kind), *(_value(values, changes, key) for values, changes in presets.values()))
        for key, kind in option_types(method.options).items()
    ]
    title = f"Options of {method.name}: {method.summary}"
    return _table(title, ("option", "type", *presets), rows, "* another value for some classes")


def _value(values: dict[str, Any], changes: Any, key: str) -> str:
    return option_text(key, values[key]) + ("*" if any(key in each for each in changes.values()) else "")


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]], *notes: str) -> Table:
    return Table(title=title, columns=tuple(Column(name, name) for name in columns), rows=tuple(rows), notes=notes)
