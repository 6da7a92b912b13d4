"""``adbench run --schema``: what editors need to know of run files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from .file_keys import schema_of

if TYPE_CHECKING:
    from ..api.registry import Registry


def print_schema(registry: Registry, others: Mapping[str, click.Option]) -> None:
    """Print the JSON schema of run files, with all methods and data sets that are installed."""
    from ..run.run_file_schema import schema

    found = schema(registry, {key: schema_of(option) for key, option in others.items()})
    click.echo(json.dumps(found, indent=2))
