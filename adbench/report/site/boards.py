"""The boards: one for each data set and setting, with charts of speed and of mean ranks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...results.records import Result
from ...results.variants import Board, Variant, boards
from ..leaderboard import leaderboard
from ..page import ranks, speed
from ..page.ranks import Ranks
from ..page.speed import Speed
from ..tables import AnyTable
from . import places
from .facets import Facets
from .library import Library, setting_of


@dataclass(frozen=True)
class About:
    """What the page adds to a row: a link in the column ``key``, further links below it, and tokens of facets."""

    key: str
    href: str = ""
    more: tuple[tuple[str, str], ...] = ()
    facets: str = ""


@dataclass(frozen=True)
class Linked:
    """A table, with what the page adds to each of its rows."""

    table: AnyTable
    about: tuple[About, ...]


@dataclass(frozen=True)
class BoardPart:
    """One board of the first page; ``whole`` has its variants and ``runs`` their runs."""

    anchor: str
    dataset: str
    synthetic: bool
    setting: str
    whole: Board
    runs: tuple[Result, ...]
    ranking: Linked
    speed: Speed | None
    latency: Speed | None
    ranks: Ranks

    @property
    def title(self) -> str:
        """The data set and the setting."""
        return f"{self.dataset}, {self.setting}"


def of_library(library: Library, found: Sequence[Board], facets: Facets, metric: str) -> Iterator[BoardPart]:
    """All boards, by data set and setting.

    Args:
        library: all runs.
        found: a board for each data set, with all settings.
        facets: of the runs.
        metric: the field of ``Metrics`` that ranks.
    """
    for board in found:
        own = [run for run in library.counting if board.holds(run)]
        settings = sorted({setting_of(run) for run in own}, key=lambda name: (name != "one-class", name))
        for setting in settings:
            runs = tuple(run for run in own if setting_of(run) == setting)
            every = [each for each in library.runs.values() if board.holds(each.result)]
            remarks = library.remarks_on(each for each in every if setting_of(each.result) == setting)
            yield _part(library, runs, setting, facets, metric, remarks)


def _part(
    library: Library, runs: Sequence[Result], setting: str, facets: Facets, metric: str,
    remarks: Mapping[str, Sequence[str]],
) -> BoardPart:  # fmt: skip
    (whole,) = boards(runs, remarks, library.names)
    tables = leaderboard(
        runs, metric=metric, confidence=library.confidence, remarks=remarks, names=library.names,
        latencies=library.latencies,
    )  # fmt: skip
    by_label = {variant.label: variant for variant in whole.variants}
    anchor = places.anchor(whole.name, setting)
    about = [
        About(
            "variant", f"{places.method_page(variant.method)}#{variant_anchor(whole.name, setting, variant)}",
            facets=facets.of(map(library.of, variant.all_runs)),
        )
        for variant in (by_label[str(label)] for label in tables[0].column("variant"))
    ]  # fmt: skip
    return BoardPart(
        anchor, whole.name, whole.synthetic, setting, whole, tuple(runs), Linked(tables[0], tuple(about)),
        speed.throughput(tables, metric), speed.latency(tables, metric),
        ranks.of_boards([whole], metric, "classes"),
    )  # fmt: skip


def over_datasets(parts: Iterable[BoardPart], metric: str) -> list[tuple[str, Ranks]]:
    """The mean ranks over data sets, for each setting that several boards share."""
    by_setting: dict[str, list[Board]] = {}
    for part in parts:
        by_setting.setdefault(part.setting, []).append(part.whole)
    return [
        (setting, ranks.of_boards(several, metric, "datasets"))
        for setting, several in by_setting.items()
        if len(several) > 1
    ]


def variant_anchor(dataset: str, setting: str, variant: Variant) -> str:
    """The fragment of a variant on its method's page."""
    return places.anchor(dataset, setting, variant.label)
