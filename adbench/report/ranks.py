"""Ranks of variants over many data sets or classes, with Friedman's test and Nemenyi's critical difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..api.scores import merit
from ..results.variants import TITLES, Board, Variant, mean
from ..util.errors import ResultError
from ..util.text import in_letters, plural
from .confidence import SIGNIFICANT
from .tables import Column, Table

if TYPE_CHECKING:
    from ..stats.ranks import Ranking

Unit = Literal["datasets", "classes"]
"""What counts once: a data set with its mean over classes, or each class."""

FEWEST_METHODS, FEWEST_BLOCKS = 3, 5
"""Below these numbers of methods and of data sets or classes, the notes say that the test can hardly find anything."""


@dataclass(frozen=True)
class RankRow:
    """A variant, its mean rank and the letters of the groups that it is in."""

    label: str
    rank: float
    groups: str


@dataclass(frozen=True)
class Ranked:
    """Variants by their mean ranks, best first: what a critical-difference diagram shows.

    Attributes:
        title: what is ranked, over what.
        rows: the variants.
        bars: the first and the last row of each largest group whose mean ranks don't differ significantly.
        critical_difference: Nemenyi's, of mean ranks.
        p_value: of Friedman's test that all are equally good.
        notes: what is said below.
    """

    title: str
    rows: tuple[RankRow, ...]
    bars: tuple[tuple[int, int], ...]
    critical_difference: float
    p_value: float
    notes: tuple[str, ...]


def values(boards: Sequence[Board], metric: str, unit: Unit) -> Mapping[str, Mapping[str, float]]:
    """The merit of each variant by data set or class; those that a variant lacks are missing.

    Args:
        boards: of all data sets.
        metric: a field of ``Metrics``.
        unit: what counts once. A data set counts with the mean over those classes that every variant on it has.
    """
    found: dict[str, dict[str, float]] = {}
    for board in boards:
        classes = _common(board.variants)
        for variant in board.variants:
            single = {name: variant.metric(name, metric) for name in variant.runs}
            if unit == "classes":
                named = {f"{board.name}/{name}": value for name, value in single.items()}
            else:
                common = [single[name] for name in classes]
                named = {board.name: None if None in common or not common else mean(common)}
            known = {name: merit(metric, value) for name, value in named.items() if value is not None}
            found.setdefault(variant.label, {}).update(known)
    return found


def ranked(boards: Sequence[Board], metric: str, unit: Unit) -> Ranked:
    """Mean ranks, and which of them differ significantly.

    Of the variants with the same data sets or classes, those that give the largest table; the notes name all others.

    Args:
        boards: of all data sets.
        metric: a field of ``Metrics``.
        unit: what counts once.

    Raises:
        ResultError: fewer than two variants share two data sets or classes.
    """
    known = values(boards, metric, unit)
    blocks = _largest(known)
    counting = {label: each for label, each in known.items() if set(blocks) <= set(each)} if blocks else {}
    if len(counting) < 2 or len(blocks) < 2:
        what = "data sets" if unit == "datasets" else "classes"
        found = f"{plural(len(counting), 'variant')} on {len(blocks)} {what}"
        raise ResultError("ranks", found=found, wanted=f"two variants on the same two {what} at least")
    from ..stats import ranks

    labels = list(counting)
    ranking = ranks.rank([[counting[label][block] for label in labels] for block in blocks])
    rows = sorted(_rows(labels, ranking), key=lambda row: row.rank)
    places = {row.label: place for place, row in enumerate(rows)}
    bars = [sorted(places[labels[each]] for each in clique) for clique in ranking.cliques]
    what = "data set" if unit == "datasets" else "class"
    left_out = [label for label in known if label not in counting]
    left_out += sorted({block for each in known.values() for block in each} - set(blocks))
    return Ranked(
        f"Mean ranks by {TITLES[metric]} over {_count(len(blocks), what)}", tuple(rows),
        tuple((bar[0], bar[-1]) for bar in bars), ranking.critical_difference, ranking.p_value,
        tuple(_notes(ranking, len(labels), what, left_out)),
    )  # fmt: skip


def table(boards: Sequence[Board], metric: str, unit: Unit) -> Table[RankRow]:
    """The mean ranks as a table, with letters for the groups. Raises ``ResultError`` as ``ranked`` does."""
    return table_of(ranked(boards, metric, unit))


def table_of(found: Ranked) -> Table[RankRow]:
    """Mean ranks as a table, with letters for the groups."""
    columns: tuple[Column[RankRow], ...] = (
        Column("variant", "variant", lambda row: row.label, role="key"),
        Column("mean_rank", "mean rank", lambda row: row.rank, "score", role="main"),
        Column("group", "group", lambda row: row.groups, role="main"),
    )
    return Table(found.title, columns, found.rows, found.notes)


def _largest(known: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The data sets or classes with which the most cells of a table of at least two variants are full."""
    own = [frozenset(each) for each in known.values()]
    candidates = {one & other for number, one in enumerate(own) for other in own[:number]}

    def cells(blocks: frozenset[str]) -> tuple[int, int, list[str]]:
        return len(blocks) * sum(blocks <= each for each in own), len(blocks), sorted(blocks)

    best: frozenset[str] = max(candidates, key=cells) if candidates else frozenset()
    return sorted(best)


def _common(variants: Sequence[Variant]) -> list[str]:
    first, *others = variants
    return [name for name in first.runs if all(name in other.runs for other in others)]


def _rows(labels: Sequence[str], ranking: Ranking) -> list[RankRow]:
    letters = dict.fromkeys(range(len(labels)), "")
    cliques = ranking.cliques
    for number, clique in enumerate(cliques):
        for each in clique:
            letters[each] += in_letters(number)
    return [RankRow(label, float(ranking.mean_ranks[number]), letters[number]) for number, label in enumerate(labels)]


def _notes(ranking: Ranking, methods: int, what: str, left_out: Sequence[str]) -> list[str]:
    notes = [
        f"Rank 1 is the best; each {what} counts once (Demsar, JMLR 2006). Friedman's test that all are equally good: "
        f"p = {ranking.p_value:.3g}.",
        f"Critical difference (Nemenyi, 5 %): {ranking.critical_difference:.2f}. Variants that share a letter, or a "
        "bar, differ by less; the family is every pair of them.",
    ]
    if ranking.p_value >= SIGNIFICANT:
        notes.append("Friedman's test rejects nothing, so take no difference here for more than chance.")
    if ranking.datasets < FEWEST_BLOCKS or methods < FEWEST_METHODS:
        notes.append(f"With {_count(ranking.datasets, what)} and {plural(methods, 'variant')} this test finds little.")
    if left_out:
        notes.append(f"Left out, since not all have the same: {', '.join(left_out)}.")
    return notes


def _count(number: int, what: str) -> str:
    if what == "class":
        return "1 class" if number == 1 else f"{number} classes"
    return plural(number, what)


def lanes(found: Ranked) -> list[int]:
    """A lane for each bar of a diagram, from 0, so that bars of one lane share no variant."""
    ends: list[int] = []
    chosen = []
    for first, last in found.bars:
        lane = next((number for number, end in enumerate(ends) if end < first), len(ends))
        ends[lane : lane + 1] = [last]
        chosen.append(lane)
    return chosen
