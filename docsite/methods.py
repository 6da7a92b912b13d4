"""The facts of each method that comes with adbench, which follow its hand-written page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from adbench.api.method import Method, Published
from adbench.api.registry import OWN_PLUGINS, Registry
from adbench.api.scores import MAIN_METRICS, METRIC_NAMES
from adbench.report import lists
from adbench.report.published import MEAN, Source, classes_of, mean_of, sources
from adbench.results.variants import TITLES

from .markdown import Page, code, definitions, of_table, plain, table

FOLDER = "methods"

ARXIV = "https://arxiv.org/abs/"


def own(registry: Registry) -> list[Method]:
    """The methods that come with adbench, without those of anomalib, which depend on what is installed."""
    return [
        method
        for name, method in registry.methods.items()
        if registry.origins[name].module.startswith(OWN_PLUGINS) and ":" not in name
    ]


def paper_link(paper: str) -> str:
    """A paper as a link, if it is on arXiv; a dash without a paper."""
    number = paper.removeprefix("arXiv ")
    return f"[{plain(paper)}]({ARXIV}{number})" if number != paper else plain(paper) or "-"


def page(method: Method) -> Page:
    """The page of a method without a hand-written one."""
    command = f"    adbench run -m {method.name} -d demo -c all -p cpu"
    return Page(f"{FOLDER}/{method.name}.md", f"# {method.name}\n\n{command}\n\n{facts(method)}")


def facts(method: Method) -> str:
    """What a method's plugin declares: presets, options, requirements and published numbers."""
    settings = ", ".join(map(code, method.settings))
    parts = [
        "## Reference\n",
        f"{plain(method.summary)}.\n",
        f"- Name: {code(method.name)}",
        f"- Paper: {paper_link(method.paper)}",
        f"- [Settings](../concepts.md#settings): {settings}\n",
        "### Presets\n",
        table(["preset", "what it is", "differs for"], [_preset(method, name) for name in method.presets]),
        "### Options\n",
        *_options(method),
        "### What it needs beside training images\n",
    ]
    needs = lists.requirements_of(method)
    parts.append(of_table(needs, as_code=("requirement",)) if needs.rows else "Nothing but its backbone's weights.\n")
    parts += ["### Published numbers\n", *published(method.published)]
    return "\n".join(parts)


def _options(method: Method) -> Iterator[str]:
    """A table of the values in each preset, and what the options mean."""
    shown = lists.options_of(method)
    values = tuple(column for column in shown.columns if column.key not in ("type", "meaning"))
    yield of_table(replace(shown, columns=values), as_code=[column.key for column in values])
    facts = zip(*map(shown.column, ("option", "type", "meaning")), strict=True)
    yield definitions([(f"{code(str(key))} ({plain(str(kind))})", plain(str(text))) for key, kind, text in facts])


def _preset(method: Method, name: str) -> list[str]:
    preset = method.presets[name]
    return [code(name), plain(preset.summary) or "-", ", ".join(map(code, preset.per_class)) or "-"]


def published(numbers: Iterable[Published]) -> list[str]:
    """A table of all sources with their means, and for each source with classes one of these, folded."""
    sets = sources(numbers)
    if not sets:
        return ["None are shipped.\n"]
    titles = ["no.", "data set", "setting", "configuration", "epoch", "classes"]
    rows = [[str(number), *_row(source, found)] for number, (source, found) in enumerate(sets.items(), 1)]
    return [
        f"Means in %, of the source itself or else of its classes. {_POLICIES}\n",
        table([*titles, *map(TITLES.__getitem__, MAIN_METRICS)], rows),
        "".join(f"{number}. {plain(source.source)}\n" for number, source in enumerate(sets, 1)),
        *(_by_class(source, found) for source, found in sets.items() if len(classes_of(found)) > 1),
    ]


_POLICIES = (
    "*Epoch* is the kind of epoch whose numbers they are: the last one, *oracle* (the best one on the test set), or "
    "unknown, where the source does not say."
)


def _row(source: Source, found: Sequence[Published]) -> list[str]:
    count = len(classes_of(found))
    means = [_percent(mean_of(found, metric)) for metric in MAIN_METRICS]
    facts = [source.dataset, source.setting, source.configuration or "-", source.policy, str(count or "mean only")]
    return [*map(plain, facts), *means]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.2f}"


def _by_class(source: Source, found: Sequence[Published]) -> str:
    """A folded table: a row for each class, a column for each metric."""
    metrics = [metric for metric in METRIC_NAMES if any(each.metric == metric for each in found)]
    values = {(each.class_name, each.metric): each.value for each in found}
    names = [*classes_of(found), *([MEAN] if any(each.class_name == MEAN for each in found) else [])]
    rows = [[plain(name), *(_percent(values.get((name, metric))) for metric in metrics)] for name in names]
    inside = table(["class", *map(TITLES.__getitem__, metrics)], rows, numbers=True)
    words = (source.dataset, source.setting, source.configuration, source.policy, source.source)
    title = " · ".join(word for word in words if word).replace('"', "'")
    return f'??? note "{title}"\n\n' + "".join(f"    {line}\n" for line in inside.splitlines())
