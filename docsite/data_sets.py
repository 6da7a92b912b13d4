"""A page for each data set that comes with adbench, from the facts that its plugin declares."""

from __future__ import annotations

from collections.abc import Mapping

from adbench.api import Counts, Facts
from adbench.api.data import Dataset
from adbench.api.registry import OWN_DATASETS, Registry
from adbench.report import lists

from . import methods
from .markdown import Page, block, of_table, plain, table

FOLDER = "data-sets"

MORE = {"folder": "How a folder is read, split and scored: [your own images](../own-images.md)."}
"""Sentences with links to pages that say more about a data set."""


def pages(registry: Registry) -> list[Page]:
    """The list of data sets, and a page for each."""
    shown = own(registry)
    rows = [[f"[{each.name}]({each.name}.md)", plain(each.summary), plain(_licence(each))] for each in shown]
    text = (
        "# Data sets\n\nHow they are read, and what to know: [layouts](../datasets.md). Others "
        "come with plugins: see the [plugin guide](../plugin-guide.md#a-data-set).\n\n"
        f"{table(['data set', 'what it is', 'licence'], rows)}"
    )
    return [
        Page(f"{FOLDER}/index.md", text),
        *(Page(f"{FOLDER}/{each.name}.md", _page(registry, each)) for each in shown),
    ]


def own(registry: Registry) -> list[Dataset]:
    """The data sets that come with adbench."""
    names = {
        name
        for plugin in registry.plugins
        if plugin.origin.module.startswith(OWN_DATASETS)
        for name in plugin.names("dataset")
    }
    return [each for name, each in registry.datasets.items() if name in names]


def _licence(dataset: Dataset) -> str:
    return (dataset.facts.licence if dataset.facts else "") or "-"


def _place(dataset: Dataset) -> str:
    return dataset.source or "made on first use"


def _page(registry: Registry, dataset: Dataset) -> str:
    root = f" --data-root ~/data/{dataset.name}" if dataset.needs_root else ""
    facts = dataset.facts or Facts()
    rows = {
        "Where it comes from": _linked(facts.page or _place(dataset)),
        "Licence": plain(facts.licence),
        "Citation": plain(facts.citation),
        "Masks": plain(facts.masks),
        "Files": ", ".join(_linked(f"{each.name} {each.url}") for each in facts.archives),
        "`--data-root` is needed": "yes" if dataset.needs_root else "no",
        "Made by a program": "yes" if dataset.synthetic else "no",
    }
    parts = [
        f"# {dataset.name}\n",
        f"{plain(dataset.summary)}.\n",
        block(f"adbench run -m padim -d {dataset.name} -c all{root} -p cpu"),
        "".join(f"- {name}: {text}\n" for name, text in rows.items() if text),
        *(f"{plain(note)}\n" for note in facts.notes),
    ]
    if dataset.name in MORE:
        parts.append(f"{MORE[dataset.name]}\n")
    if facts.counts:
        parts += ["## Published numbers of images\n", _counts(facts.counts)]
    if dataset.options is not None:
        options = lists.options_of_dataset(dataset)
        parts += ["## Options of the reader\n", of_table(options, as_code=("option", "default"))]
    if with_numbers := _with_numbers(registry, dataset.name):
        links = ", ".join(f"[{name}](../methods/{name}.md#published-numbers)" for name in with_numbers)
        parts += ["## Published results\n", f"Shipped with adbench, of {links}.\n"]
        parts.append(block(f"adbench compare {with_numbers[0]} --vs published -d {dataset.name}"))
    return "\n".join(parts)


def _counts(counts: Mapping[str, Counts]) -> str:
    """Images of each class by part; columns without any number are left out."""
    found = {
        name or "all": {
            "train": each.train,
            "validation": each.validation,
            "test good": each.good,
            "test defective": each.bad,
            **{f"without labels: {split}": number for split, number in each.unlabelled.items()},
            "good in all": each.total[0] if each.total else None,
            "defective in all": each.total[1] if each.total else None,
        }
        for name, each in counts.items()
    }
    titles = list(dict.fromkeys(title for row in found.values() for title, number in row.items() if number is not None))
    rows = [[plain(name), *(str(row.get(title) or "-") for title in titles)] for name, row in found.items()]
    return table(["class", *titles], rows, numbers=True)


def _linked(text: str) -> str:
    """A text, whose addresses are links."""
    return " ".join(f"<{word}>" if word.startswith("https://") else plain(word) for word in text.split())


def _with_numbers(registry: Registry, dataset: str) -> list[str]:
    """Names of adbench's own methods with published numbers on a data set."""
    return [each.name for each in methods.own(registry) if any(one.dataset == dataset for one in each.published)]
