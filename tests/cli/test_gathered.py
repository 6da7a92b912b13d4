"""Options that a command gets as one argument."""

from __future__ import annotations

from dataclasses import dataclass

import click
from click.testing import CliRunner

from adbench.cli.gathered import gathered


@dataclass(frozen=True, kw_only=True)
class Place:
    """Two options."""

    street: str
    number: int | None


@click.command()
@click.option("--street", default="Main Street", help="Where.")
@click.option("--number", type=int)
@click.option("--loud", is_flag=True)
@gathered("place", Place)
def walk(loud: bool, place: Place) -> None:
    """Go somewhere."""
    click.echo(f"{place} {loud} {click.get_current_context().get_parameter_source('number').name}")


def test_options_arrive_as_one_argument() -> None:
    """The fields of the dataclass have the values of their options, also defaults; other options come as ever."""
    said = CliRunner().invoke(walk, ["--number", "3", "--loud"], catch_exceptions=False).output
    assert said == "Place(street='Main Street', number=3) True COMMANDLINE\n"
    said = CliRunner().invoke(walk, [], catch_exceptions=False).output
    assert said == "Place(street='Main Street', number=None) False DEFAULT\n"


def test_help_is_that_of_the_options() -> None:
    """Gathering changes neither the help of a command nor the order of its options."""
    said = CliRunner().invoke(walk, ["--help"]).output
    assert "Go somewhere." in said
    assert said.index("--street") < said.index("--number") < said.index("--loud")
