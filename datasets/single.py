"""Published data sets of one class, which is called as the data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from adbench import Dataset, Task
from adbench.api import DataOptions, Facts

from .counted import with_counts
from .layout import check_class
from .roots import Holds, find_rearranged, find_single
from .tree import read_tree


@dataclass(frozen=True)
class Single:
    """A data set of one class.

    Attributes:
        name: of the data set and of its class.
        summary: a line about it.
        facts: licence, published numbers and so on.
        holds: whether a folder is the data set's, as it is published.
        wanted: what such a folder holds, for messages.
        read: finds the images in such a folder, with the options of the reader, which are None where it has none.
        copies: names of folders, in lower case, in which copies lie in MVTec's layout.
    """

    name: str
    summary: str
    facts: Facts
    holds: Holds
    wanted: str
    read: Callable[[Path, Any], Task]
    copies: tuple[str, ...] = ()

    def dataset(self, options: DataOptions | None = None) -> Dataset:
        """The reader with these options."""
        return Dataset(
            self.name, self.summary, self.classes, partial(self.load, options), self.facts.page,
            options=options, configure=None if options is None else self.dataset, facts=self.facts,
        )  # fmt: skip

    def classes(self, root: Path) -> Sequence[str]:
        """The only class. Raises ``DataError`` where it isn't there."""
        if find_rearranged(root, self.copies) is None:
            self._find(root)
        return self.facts.classes

    def load(self, options: DataOptions | None, root: Path, class_name: str) -> Task:
        """Find the images, and compare their numbers with the published ones.

        Raises:
            UnknownNameError: another class.
            DataError: it isn't there, or has no test image.
        """
        check_class(self.name, class_name, self.facts.classes)
        copy = find_rearranged(root, self.copies)
        if copy is not None:
            return with_counts(read_tree(self.name, self.name, copy, place=copy), self.facts)
        return with_counts(self.read(self._find(root), options), self.facts)

    def _find(self, root: Path) -> Path:
        return find_single(self.name, root, self.facts, self.holds, self.wanted)
