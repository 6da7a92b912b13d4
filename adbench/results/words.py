"""What words stand for among stored runs: variants as tables name them, data sets, classes, methods and seeds.

demo/brick/padim        a data set, a class and a method
padim:cpu/seed1         a variant and a seed
brick/cpu-seed0-1a      a class, and how a run's name begins
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from ..util.errors import UsageError
from .records import Result
from .variants import Names

LISTED = 10
"""Number of runs that an error lists if words are ambiguous."""


class Words:
    """Finds runs by words with strokes between them, in any order, and the words that pick a single run.

    Args:
        stored: the runs to find.
        every: all runs, among which variants have their names.
    """

    def __init__(self, stored: Sequence[Result], every: Iterable[Result] = ()) -> None:
        known = [*every, *stored]
        names, without_code = Names(known), Names(known, ())
        self._labels = {id(run): (without_code.of(run), names.of(run)) for run in stored}
        self._stored = stored

    def fitting(self, text: str) -> list[Result]:
        """The runs that all words fit; where none does, those whose variant or name only begins like a word."""
        text = text.strip("/\\")
        exact = [run for run in self._stored if _fits(text, self._words(run))]
        return exact or [run for run in self._stored if _fits(text, [*self._words(run), run.variant], run.run)]

    def picking(self, run: Result) -> str:
        """The fewest words that pick a run; its name if no others do."""
        label, _ = self._labels[id(run)]
        classes = [] if run.protocol.classes else [run.class_name]
        places = ["", "/".join([*classes, ""]), "/".join([run.dataset, *classes, ""])]
        texts = [f"{place}{label}{seed}" for seed in ("", f"/seed{run.seed}") for place in places]
        whole = "/".join([run.dataset, *classes, run.method, run.run])
        return next((text for text in [*texts, run.run] if self._picks(text, run)), whole)

    def _picks(self, text: str, run: Result) -> bool:
        return {model_of(each) for each in self.fitting(text)} == {model_of(run)}

    def ambiguous(self, name: str, found: Sequence[Result]) -> UsageError:
        """The error that a text stands for several runs, with the words that pick each."""
        models = list({model_of(run): run for run in found}.values())
        some = " or ".join(shlex.quote(self.picking(run)) for run in models[:LISTED])
        more = f", or one of {len(models) - LISTED} more: see adbench list runs" if len(models) > LISTED else ""
        return UsageError(
            f"run '{name}'", found=f"{len(models)} runs", wanted="words that only one has", hint=f"Give {some}{more}"
        )

    def _words(self, run: Result) -> list[str]:
        return [run.dataset, run.class_name, run.method, *self._labels[id(run)], f"seed{run.seed}", run.run]


def model_of(run: Result) -> tuple[str, ...]:
    """What the results of one model share: those of its classes, if it has several."""
    return run.dataset, run.method, run.run, "" if run.protocol.classes else run.class_name


def _fits(text: str, words: Sequence[str], name: str = "") -> bool:
    """Whether a text is some of the words, each at most once; the last one may be the beginning of a ``name``."""
    if text in words or (text and name.startswith(text)):
        return True
    return any(
        text.startswith(f"{word}/") and _fits(text[len(word) + 1 :], [each for each in words if each != word], name)
        for word in words
    )
