"""What the pages can be filtered by: the facets of runs, as short tokens in the rows of their tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...results.variants import Board
from .library import Library, Stored, setting_of

NO_LABEL = "no label"

_TITLES = ("method", "data set", "setting", "preset", "device", "label", "state")


@dataclass(frozen=True)
class Facet:
    """A property of runs, and its values with their tokens; ``key`` stands in addresses."""

    key: str
    title: str
    values: tuple[tuple[str, str], ...]


class Facets:
    """The facets of all runs.

    Args:
        library: all runs.
        boards: of the counting runs; their names are those of the data sets.
    """

    def __init__(self, library: Library, boards: Sequence[Board]) -> None:
        self._boards = boards
        runs = list(library.runs.values())
        self._readers: Mapping[str, Callable[[Stored], str]] = {
            "method": lambda each: each.result.method,
            "data set": self._dataset,
            "setting": lambda each: setting_of(each.result),
            "preset": lambda each: each.result.preset,
            "device": lambda each: each.result.environment.device_name,
            "label": lambda each: each.result.label or NO_LABEL,
            "state": lambda each: each.standing.state,
        }
        self._tokens: dict[tuple[str, str], str] = {}
        for number, title in enumerate(_TITLES):
            values = sorted({self._readers[title](each) for each in runs})
            self._tokens |= {(title, value): f"{'mdspvlt'[number]}{place}" for place, value in enumerate(values)}

    def shown(self) -> list[Facet]:
        """The facets with several values, by which there is something to filter."""
        found = []
        for title in _TITLES:
            values = tuple((value, token) for (of, value), token in self._tokens.items() if of == title)
            if len(values) > 1:
                found.append(Facet(title.replace(" ", ""), title, values))
        return found

    def of(self, runs: Iterable[Stored]) -> str:
        """The tokens of some runs, each once, with blanks between them."""
        several = list(runs)
        return " ".join(
            dict.fromkeys(self._tokens[title, self._readers[title](each)] for title in _TITLES for each in several)
        )

    def _dataset(self, each: Stored) -> str:
        return next((board.name for board in self._boards if board.holds(each.result)), each.result.dataset)
