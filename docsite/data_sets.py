"""A page for each data set that comes with adbench, from the facts that its plugin declares."""

from __future__ import annotations

from adbench.api.data import Dataset
from adbench.api.registry import OWN_DATASETS, Registry
from adbench.report import lists

from .markdown import Page, block, code, of_table, plain, table

FOLDER = "data-sets"

MORE = {"folder": "How a folder is read, split and scored: [your own images](../own-images.md)."}
"""Sentences with links to pages that say more about a data set."""


def pages(registry: Registry) -> list[Page]:
    """The list of data sets, and a page for each."""
    shown = [each for each in registry.datasets.values() if is_own(registry, each.name)]
    rows = [[f"[{each.name}]({each.name}.md)", plain(each.summary), plain(_place(each))] for each in shown]
    text = (
        "# Data sets\n\nOthers come with plugins: see the [plugin guide](../plugin-guide.md#a-data-set).\n\n"
        f"{table(['data set', 'what it is', 'where it comes from'], rows)}"
    )
    return [
        Page(f"{FOLDER}/index.md", text),
        *(Page(f"{FOLDER}/{each.name}.md", _page(registry, each)) for each in shown),
    ]


def is_own(registry: Registry, name: str) -> bool:
    """Whether a data set comes with adbench."""
    return any(
        name in plugin.names("dataset") for plugin in registry.plugins if plugin.origin.module.startswith(OWN_DATASETS)
    )


def _place(dataset: Dataset) -> str:
    return dataset.source or "made on first use"


def _page(registry: Registry, dataset: Dataset) -> str:
    root = f" --data-root DIR/{dataset.name}" if dataset.needs_root else ""
    parts = [
        f"# {dataset.name}\n",
        f"{plain(dataset.summary)}.\n",
        block(f"adbench run -m padim -d {dataset.name} -c all{root} -p cpu"),
        f"- Where it comes from: {_linked(_place(dataset))}",
        f"- A folder is needed (`--data-root`, or `ADBENCH_DATA`): {'yes' if dataset.needs_root else 'no'}",
        f"- A program made the images: {'yes' if dataset.synthetic else 'no'}\n",
    ]
    if dataset.name in MORE:
        parts.append(f"{MORE[dataset.name]}\n")
    if dataset.options is not None:
        parts += [
            "## Options of the reader\n",
            of_table(lists.options_of_dataset(dataset), as_code=("option", "default")),
        ]
    if with_numbers := _with_numbers(registry, dataset.name):
        links = ", ".join(f"[{name}](../methods/{name}.md#published-numbers)" for name in with_numbers)
        parts += ["## Published numbers\n", f"Shipped with adbench, of {links}.\n"]
        parts.append(block(f"adbench compare {with_numbers[0]} --vs published -d {dataset.name}"))
    return "\n".join(parts)


def _linked(text: str) -> str:
    """A text, whose addresses are links."""
    return " ".join(f"<{word}>" if word.startswith("https://") else plain(word) for word in text.split())


def _with_numbers(registry: Registry, dataset: str) -> list[str]:
    """Names of adbench's own methods with published numbers on a data set."""
    return [
        method.name
        for method in registry.methods.values()
        if registry.origins[method.name].module.startswith("adbench_plugins")
        and not code(method.name).count(":")
        and any(each.dataset == dataset for each in method.published)
    ]
