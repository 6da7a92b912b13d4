"""The tables of a reproduction, and its page in Markdown that can be sent in as evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..api.options import option_text
from ..results import serialization
from ..results.protocol_text import protocol_text
from ..results.records import setting_text
from ..results.variants import TITLES
from ..util import files
from ..util.errors import ResultError, reason
from ..util.text import plural, printable, stored_text
from ..util.threads import threads_text
from .ledger import Ledger, Row
from .oracle import NOTE as ORACLE_NOTE
from .published import MEAN, place_of
from .render import render
from .tables import AnyTable, Column, Table, constant

JSON, PAGE = "ledger.json", "ledger.md"

POINTS = "0.5"
"""``TOLERANCE`` in points."""

EPOCHS = {"last": "last", "oracle": "oracle", "unknown": "not stated"}
"""What people read for a policy; ``oracle.NOTE`` explains the second."""


def write(ledger: Ledger, folder: Path) -> Path:
    """Write ``ledger.json`` and the page ``ledger.md``, in place of older ones, and return the page's path.

    Raises:
        ResultError: a file can't be written.
    """
    page = folder / PAGE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in ((folder / JSON, serialization.to_text(ledger)), (page, to_markdown(ledger))):
            with files.NewFile(path) as stream:
                stream.write(stored_text(text).encode("utf-8"))
    except OSError as error:
        hint = "Permit writing there, or choose another folder with --output"
        raise ResultError(f"{folder} can't be written", found=reason(error), hint=hint) from error
    return page


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class _Comparison:
    """The rows of one metric and policy, and their mean."""

    ledger: Ledger
    mean: Row

    @property
    def rows(self) -> list[Row]:
        """The classes."""
        mean = self.mean
        return [row for row in self.ledger.rows if (row.metric, row.policy) == (mean.metric, mean.policy)]

    @property
    def above(self) -> str:
        """How many of the compared classes have a gap that is flagged: "3 of 15"."""
        compared = [row for row in self.rows if row.gap is not None]
        return f"{sum(row.flagged for row in compared)} of {len(compared)}"


def tables(ledger: Ledger) -> list[AnyTable]:
    """A summary with a row for each metric and policy, and a table of the classes for each of them."""
    compared = [_Comparison(ledger, row) for row in ledger.means]
    return [_summary(ledger, compared), *(_by_class(ledger, each) for each in compared)]


def _summary(ledger: Ledger, compared: Sequence[_Comparison]) -> Table[_Comparison]:
    devices = "; ".join(dict.fromkeys(each.device_name for each in ledger.environments))
    columns: tuple[Column[_Comparison], ...] = (
        Column("method", "method", lambda _: ledger.variant, role="key"),
        Column("dataset", "data set", lambda _: ledger.dataset),
        Column("setting", "setting", lambda _: setting_text(ledger.setting, ledger.shots) or ledger.setting),
        Column("metric", "metric", lambda each: each.mean.metric, audience="programs"),
        Column("metric", "metric", lambda each: TITLES[each.mean.metric], audience="people", role="key"),
        Column("policy", "epoch", lambda each: each.mean.policy, audience="programs"),
        Column("policy", "epoch", lambda each: EPOCHS[each.mean.policy], audience="people", role="key"),
        Column("classes", "classes", lambda each: each.mean.classes, "count"),
        Column("ours", "ours", lambda each: each.mean.ours, "percent"),
        Column("published", "published", lambda each: each.mean.published, "percent"),
        Column("gap", "gap", lambda each: each.mean.gap, "points", role="main"),
        Column("flagged", f"mean above {POINTS}", lambda each: each.mean.flagged, audience="programs"),
        Column("above", f"classes above {POINTS}", lambda each: each.above, role="main"),
        Column("seeds", "seeds", lambda _: len(ledger.seeds), "count"),
        Column("device", "device", lambda _: devices),
        constant("complete", "complete", ledger.complete),
    )
    title = f"{ledger.variant} on {ledger.dataset}: means beside the published ones (%)"
    return Table(title, columns, tuple(compared), tuple(_summary_notes(ledger)))


def _summary_notes(ledger: Ledger) -> list[str]:
    notes = [
        f"gap: ours minus published, of the same kind of epoch; means over the classes that both have. Gaps above "
        f"{POINTS} points in either direction are findings, not failures."
    ]
    if any(row.policy == "oracle" for row in ledger.means):
        notes.append(ORACLE_NOTE)
    if ledger.failed:
        failed = "; ".join(f"{task}: {text}" for task, text in ledger.failed.items())
        notes.append(f"Not complete, {plural(len(ledger.failed), 'task')} failed: {failed}")
    return notes


def _by_class(ledger: Ledger, compared: _Comparison) -> Table[Row]:
    first = compared.mean
    columns: tuple[Column[Row], ...] = (
        Column("class", "class", lambda row: row.class_name, audience="programs", role="key"),
        Column("class", "class", _class_title, audience="people", role="key"),
        constant("dataset", "data set", ledger.dataset),
        constant("method", "method", ledger.method),
        constant("variant", "variant", ledger.variant),
        constant("metric", "metric", first.metric),
        constant("policy", "epoch", first.policy),
        constant("source", "source", first.source),
        constant("configuration", "configuration", first.configuration),
        Column("ours", "ours", lambda row: row.ours, "percent"),
        Column("published", "published", lambda row: row.published, "percent"),
        Column("gap", "gap", lambda row: row.gap, "points"),
        Column("flagged", "flagged", lambda row: row.flagged, audience="programs"),
        Column("flagged", "gap is", _flag, audience="people"),
    )
    title = f"{ledger.variant} on {ledger.dataset}: {TITLES[first.metric]} (%), epoch: {EPOCHS[first.policy]}"
    notes = (f"Published: {place_of(first.source, first.configuration)}.", *_class_notes(ledger, compared))
    return Table(title, columns, tuple(compared.rows), notes, (first,))


def _flag(row: Row) -> str | None:
    return None if row.gap is None else f"above {POINTS}" if row.flagged else f"within {POINTS}"


def _class_title(row: Row) -> str:
    return f"{MEAN} ({row.classes})" if row.classes != 1 or row.class_name == MEAN else row.class_name


def _class_notes(ledger: Ledger, compared: _Comparison) -> list[str]:
    notes, mean = [], compared.mean
    if mean.policy == "unknown":
        notes.append("The source doesn't say of which epoch its numbers are; ours are of the last.")
    if mean.published is not None and mean.gap is None:
        notes.append(
            f"Only the mean over all classes of the data set is published, and ours is over {mean.classes} of "
            f"{ledger.dataset_classes}: no gap."
        )
    unpublished = [row.class_name for row in compared.rows if row.published is None]
    if unpublished and len(unpublished) < len(compared.rows):
        notes.append(f"Not published: {', '.join(unpublished)}.")
    undefined = [row.class_name for row in compared.rows if row.ours is None]
    if undefined:
        notes.append(f"Not defined in our runs: {', '.join(undefined)}.")
    return notes


# ---------------------------------------------------------------- the page


@dataclass(frozen=True)
class _Fact:
    """A line of the table of what was run."""

    name: str
    value: str


def _facts(ledger: Ledger) -> Table[_Fact]:
    first = ledger.runs[0]
    environments = [
        f"{each.device_name} ({each.device}, {threads_text(each.threads)}); {each.platform}; Python {each.python}"
        + "".join(f", {name} {version}" for name, version in each.packages.items())
        + (f", CUDA {each.cuda}" if each.cuda else "")
        for each in ledger.environments
    ]
    code = f", code {first.identity.code[:12]}, numerics {first.identity.numerics}" if first.identity else ""
    hours = sum(run.timing.total for run in ledger.runs) / 3600
    facts = [
        _Fact("method", f"{ledger.variant} ({ledger.paper or 'no paper named'}), {ledger.method_package}{code}"),
        _Fact("preset", ledger.preset),
        _Fact("setting", setting_text(ledger.setting, ledger.shots) or ledger.setting),
        *(_Fact("protocol", text) for text in dict.fromkeys(protocol_text(run.protocol) for run in ledger.runs)),
        _Fact("options", ", ".join(f"{key}={option_text(key, value)}" for key, value in ledger.options.items())),
        _Fact("data set", f"{ledger.dataset}, {len(ledger.data)} of {ledger.dataset_classes} classes"),
        _Fact("fingerprints", ", ".join(f"{name} {digest[:12]}" for name, digest in ledger.data.items())),
        _Fact("seeds", ", ".join(map(str, ledger.seeds))),
        *(_Fact("environment", text) for text in environments),
        _Fact("hours in all", f"{hours:.2f}"),
    ]
    skipped = sum(len(run.skipped) for run in ledger.runs)
    facts += [_Fact("broken images left out", str(skipped))] if skipped else []
    columns: tuple[Column[_Fact], ...] = (
        Column("fact", "what", lambda fact: fact.name, role="key"),
        Column("value", "value", lambda fact: fact.value),
    )
    return Table("What was run", columns, tuple(facts))


def to_markdown(ledger: Ledger) -> str:
    """The page: the tables, what was run where, the command, and how to send it in."""
    summary, *others = tables(ledger)
    flagged = sum(row.flagged for row in ledger.rows)
    compared = sum(row.gap is not None for row in ledger.rows)
    classes, of = len(ledger.data), ledger.dataset_classes
    part = f": {classes} of {of} classes" if classes < of else ""
    state = f"{'Complete' if ledger.complete else 'Not complete'}{part}"
    command = "".join(f"    {line}\n" for line in printable(ledger.command).splitlines())
    return f"""# {_plain(ledger.variant)} on {_plain(ledger.dataset)}: our numbers beside the published ones

{state}. {flagged} of {compared} compared numbers of classes are more than {POINTS} points away from the published ones.

{render([summary], "markdown")}
{render(others, "markdown")}
## How it was made

{render([_facts(ledger)], "markdown")}
The command:

{command}
## How to send it in

Attach this page and `{JSON}`, both unchanged, to an issue of adbench's repository, or to a pull request that adds the
rows of the first table to `docs/ledger.md`. `{JSON}` has every number with all digits, and the whole record of each
run. The command line above may name folders of your machine: look at it first. A gap is welcome: say what you know
about it.
"""


def _plain(text: str) -> str:
    """A name on one line of Markdown."""
    return " ".join(printable(text).split())
