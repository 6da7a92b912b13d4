"""Groups of commands that answer an unknown command, also one that other suites have, with the right one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import click

from ..util.errors import UsageError


@dataclass(frozen=True)
class Elsewhere:
    """The command for what another suite calls differently, what it does, and an example of its arguments."""

    command: str
    does: str
    arguments: str = ""

    @property
    def example(self) -> str:
        """A whole command line."""
        return f"{self.command} {self.arguments}".strip()


_TRAIN = Elsewhere("adbench run", "trains and evaluates", "-m padim -d demo -p cpu")
_SEVERAL = Elsewhere("adbench run", "trains several methods and ranks them", "-m padim,patchcore -d demo -p cpu")
_TEST = Elsewhere(
    "adbench test", "scores the test images with a stored run", "-m padim -d demo --checkpoint demo/brick/padim"
)
_SCORE = Elsewhere("adbench predict", "scores new images with a stored run", "demo/brick/padim new/")
_REMOVE = Elsewhere("adbench rm", "removes stored runs", "demo/brick/padim")
_SHOW = Elsewhere("adbench show", "shows one stored run", "demo/brick/padim")
_RUNS = Elsewhere("adbench list runs", "lists stored runs")

ELSEWHERE: Mapping[str, Elsewhere] = {
    "train": _TRAIN,
    "fit": _TRAIN,
    "eval": _TEST,
    "validate": _TEST,
    "val": _TEST,
    "benchmark": _SEVERAL,
    "bench": _SEVERAL,
    "inference": _SCORE,
    "infer": _SCORE,
    "rank": Elsewhere("adbench leaderboard", "ranks stored runs"),
    "remove": _REMOVE,
    "delete": _REMOVE,
    "info": _SHOW,
    "ls": _RUNS,
}
"""Commands that people of other suites type, with the one that does it here."""


class CommandGroup(click.Group):
    """Answers an unknown command with the nearest one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names. Raises ``UsageError`` for an unknown one."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            raise self.unknown(ctx, name)
        return super().resolve_command(ctx, args)

    def unknown(self, ctx: click.Context, name: str) -> UsageError:
        """The answer to an unknown command: the nearest ones."""
        near = get_close_matches(name.lower(), [each for each, found in self.commands.items() if not found.hidden])
        hint = "Did you mean " + " or ".join(f"'{each}'" for each in near) + "?" if near else ""
        return UsageError(f"unknown command '{name}'", hint=hint or f"See {ctx.command_path} --help")


class TopGroup(CommandGroup):
    """Knows the commands of other suites as well."""

    def unknown(self, ctx: click.Context, name: str) -> UsageError:
        """The answer to an unknown command: what another suite's is called here, or the nearest ones."""
        here = ELSEWHERE.get(name.lower())
        if here is None:
            return super().unknown(ctx, name)
        return UsageError(f"unknown command '{name}': {here.command} {here.does}", hint=f"Example: {here.example}")
