"""Tables of the data commands: which data sets there are and where they lie, and what is wrong with one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..api.data import GOOD
from ..api.facts import Counts, Facts
from ..run.data_health import UNREADABLE_CLASS
from .tables import Audience, Column, Table

if TYPE_CHECKING:
    from ..run.data_health import Finding, Health, Understood
    from ..run.data_places import Listed
    from ..run.data_reading import FolderRead

UNKNOWN = "not stated"
NO_FACTS = Facts()

MOST_FOLDERS = 40
"""Rows of folders that people see; a published data set with many classes has the layout that is expected."""


def published(facts: Facts) -> Counts:
    """The published numbers of a whole data set: its own, or the sums over its classes where all are known."""
    if "" in facts.counts:
        return facts.counts[""]
    known = [facts.counts[name] for name in facts.classes if name in facts.counts]
    if not known or len(known) < len(facts.classes):
        return Counts()
    totals = [each.total for each in known if each.total is not None]
    total = None if len(totals) < len(known) else (sum(each[0] for each in totals), sum(each[1] for each in totals))
    return Counts(
        train=_sum([each.train for each in known]), validation=_sum([each.validation for each in known]),
        good=_sum([each.good for each in known]), bad=_sum([each.bad for each in known]), total=total,
    )  # fmt: skip


def _sum(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def _count(read: Callable[[Counts], int | None]) -> Callable[[Listed], int | None]:
    return lambda each: read(published(each.dataset.facts or NO_FACTS))


def _good(counts: Counts) -> int | None:
    if counts.total is not None:
        return counts.total[0]
    parts = (counts.train, counts.validation or 0, counts.good)
    return _sum(parts)


def _bad(counts: Counts) -> int | None:
    return counts.bad if counts.total is None else counts.total[1]


def listed(found: Sequence[Listed]) -> Table[Listed]:
    """A table of all data sets: published numbers, licence, and where each was found."""

    def facts(each: Listed) -> Facts:
        return each.dataset.facts or NO_FACTS

    columns: tuple[Column[Listed], ...] = (
        Column("dataset", "data set", lambda each: each.dataset.name, role="key", whole=True),
        Column("classes", "classes", lambda each: len(facts(each).classes) or None, "count", role="main"),
        Column("good", "good", _count(_good), "count", role="main"),
        Column("bad", "defective", _count(_bad), "count", role="main"),
        Column("train", "for training", _count(lambda counts: counts.train), "count", audience="programs"),
        Column("licence", "licence", lambda each: facts(each).licence or None, role="main"),
        Column("found", "found in", lambda each: each.found or None, role="main"),
        Column("citation", "citation", lambda each: facts(each).citation, audience="programs"),
        Column("page", "page", lambda each: facts(each).page or each.dataset.source, audience="programs"),
    )
    notes = (
        "Numbers of images are the published ones. adbench data list NAME shows classes, citation and archives.",
        "Folders are searched below --data-root DIR (ADBENCH_DATA). adbench data get NAME fetches one.",
    )
    return Table("Data sets", columns, tuple(found), notes)


@dataclass(frozen=True)
class _Fact:
    """One fact of a data set."""

    name: str
    value: str


def facts_of(found: Listed) -> Table[_Fact]:
    """All that is known of one data set."""
    dataset, facts = found.dataset, found.dataset.facts or NO_FACTS
    counts = published(facts)
    numbers = {
        "good for training": counts.train, "good for validation": counts.validation, "good for testing": counts.good,
        "good": None if counts.total is None else counts.total[0], "defective": _bad(counts),
    }  # fmt: skip
    archives = [
        f"{each.name} ({each.url or 'its page asks for a form or an account first'})" for each in facts.archives
    ]
    rows = [
        ("summary", dataset.summary),
        ("classes", f"{len(facts.classes)}: {', '.join(facts.classes)}" if facts.classes else "your own"),
        ("images", ", ".join(f"{number} {name}" for name, number in numbers.items() if number is not None)),
        ("masks", facts.masks),
        ("licence", facts.licence or UNKNOWN),
        ("citation", facts.citation),
        ("page", facts.page or dataset.source),
        *(("archive", text) for text in archives),
        *(("note", text) for text in facts.notes),
        ("found in", found.found or "none of the given folders"),
    ]
    columns: tuple[Column[_Fact], ...] = (
        Column("fact", "fact", lambda row: row.name, role="key", whole=True),
        Column("value", "value", lambda row: row.value, role="main"),
    )
    return Table(f"Data set {dataset.name}", columns, tuple(_Fact(*row) for row in rows if row[1]))


def health(found: Health) -> list[Table[Any]]:
    """How each class was understood, and what is wrong: for people a line for each kind, for programs for each file."""
    tables: list[Table[Any]] = []
    if found.classes:
        tables.append(_understood(found))
    if found.classes and len(found.folders) <= MOST_FOLDERS:
        tables.append(_folders(found, "people"))
    tables += [_grouped(found), _every(found)]
    return [*tables, _folders(found, "programs")] if found.classes else tables


def _folders(found: Health, audience: Audience) -> Table[FolderRead]:
    """Which folders were read as what; the last table for programs, since it was added last."""
    alone = len(found.classes) == 1
    columns: tuple[Column[FolderRead], ...] = (
        Column("class", "class", lambda each: each.class_name, role="key", audience="programs" if alone else "all"),
        Column("folder", "folder", lambda each: each.folder, role="key" if alone else "main"),
        Column("taken_for", "taken for", _taken_for, role="main", audience="people"),
        Column("split", "split", lambda each: each.split, audience="programs"),
        Column("defect", "defect", lambda each: each.kind, audience="programs"),
        Column("images", "images", lambda each: each.images, "count", role="main"),
        Column("masks", "masks", lambda each: each.masks_text or None, role="main"),
    )
    whose = f" of {found.classes[0].class_name}" if alone else ""
    return Table(f"How the folders{whose} were read", columns, found.folders, audience=audience, prose=True)


def _taken_for(each: FolderRead) -> str:
    kind = each.kind if each.kind == GOOD else f"defect {each.kind}" if each.kind else "no label"
    return f"{each.split}: {kind}"


def _understood(found: Health) -> Table[Understood]:
    many = len(found.folders) > MOST_FOLDERS
    columns: tuple[Column[Understood], ...] = (
        Column("class", "class", lambda each: each.class_name, role="key"),
        Column("layout", "layout", lambda each: each.layout or None, role="main"),
        Column("images", "images", lambda each: _counted(each.splits), role="main"),
        Column(
            "defects",
            "defects",
            lambda each: _counted(each.defects) or None,
            role="main",
            audience="all" if many else "programs",
        ),
        Column("masks", "masks", lambda each: each.masks, "count", role="main"),
        Column("sizes", "size", lambda each: _counted({_size(size): n for size, n in each.sizes.items()}), role="main"),
        Column("modes", "pixels", _pixels, role="main", audience="people"),
        Column("modes", "pixels", lambda each: _counted(each.modes), audience="programs"),
        Column("range", "black:white", lambda each: each.levels.text if each.levels else None, audience="programs"),
        Column("turned", "turned", lambda each: each.turned, "count", audience="programs"),
    )
    notes = ("--class NAME shows how each folder of a class was read.",) if many else ()
    return Table(f"{found.dataset} in {found.root}", columns, found.classes, notes, prose=True)


def _pixels(each: Understood) -> str:
    """Kinds of pixels, with the range of those of more than 8 bits and what is turned."""
    levels = f" (black:white {each.levels.text})" if each.levels else ""
    return _counted(each.modes) + levels + (f", {each.turned} turned" if each.turned else "")


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _counted(counts: dict[str, int], most: int = 6) -> str:
    """Names with their numbers, "12 train, 3 test good"; a single name needs none."""
    names = sorted(counts, key=lambda name: -counts[name])[:most] if len(counts) > most else list(counts)
    more = f", {len(counts) - most} more" if len(counts) > most else ""
    return ", ".join(f"{counts[name]} {name}" for name in names) + more


@dataclass(frozen=True)
class _Kind:
    """All findings of one kind in one class."""

    level: str
    class_name: str
    what: str
    first: Finding
    count: int

    @property
    def example(self) -> str:
        """The first of them: file, what was found, what to do."""
        parts = [part for part in (self.first.path, self.first.detail) if part]
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        remedy = f". {self.first.remedy}." if self.first.remedy else ""
        return ": ".join(parts) + more + (remedy if parts else remedy.removeprefix(". "))


def _grouped(found: Health) -> Table[_Kind]:
    groups: defaultdict[tuple[str, str, str, str], list[Finding]] = defaultdict(list)
    for each in found.findings:
        is_missing = each.what == UNREADABLE_CLASS  # one row, though all classes may be missing
        said = "" if each.path or is_missing else each.detail  # what is about no file is said in full
        groups[each.level, "" if is_missing else each.class_name, each.what, said].append(each)
    rows = tuple(
        _Kind(level, name or _some_classes(each), what, each[0], len(each))
        for (level, name, what, _), each in groups.items()
    )
    columns: tuple[Column[_Kind], ...] = (
        Column("level", "it", lambda row: row.level, role="key", whole=True),
        Column("class", "class", lambda row: row.class_name or None, role="key"),
        Column("what", "what", lambda row: row.what, role="main"),
        Column("example", "found", lambda row: row.example, role="main"),
    )
    stops = sum(each.level == "stops" for each in found.findings)
    title = "Nothing stands in the way" if not rows else f"Findings: {len(found.findings)}, of which {stops} stop a run"
    notes = ("--format csv or json has each file.",) if any(row.count > 1 for row in rows) else ()
    return Table(title, columns, rows, notes, audience="people", prose=True)


def _some_classes(found: Sequence[Finding], most: int = 1) -> str:
    names = list(dict.fromkeys(each.class_name for each in found if each.class_name))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _every(found: Health) -> Table[Finding]:
    columns: tuple[Column[Finding], ...] = (
        Column("dataset", "data set", lambda _: found.dataset),
        Column("level", "it", lambda each: each.level),
        Column("class", "class", lambda each: each.class_name),
        Column("what", "what", lambda each: each.what),
        Column("path", "file", lambda each: each.path),
        Column("detail", "found", lambda each: each.detail),
        Column("remedy", "what to do", lambda each: each.remedy),
    )
    return Table(f"Findings on {found.dataset}", columns, found.findings, audience="programs")
