"""Writes pages of results and reads them as a browser does."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from made_results import make_result

from adbench.api.scores import Metrics
from adbench.report import page
from adbench.report.page.figures import Shown
from adbench.results import run_files
from adbench.results.records import EpochRecord, Result
from adbench.results.store import ImageScore
from adbench.run import gallery
from adbench.run.reopen import Reopener


class Reader(HTMLParser):
    """The content of a page: every element with its attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag: str, kind: str | None = None) -> list[dict[str, str | None]]:
        return [
            attributes
            for name, attributes in self.found
            if name == tag and (kind is None or kind in (attributes.get("class") or "").split())
        ]

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def write(results: Path, out: Path, *stored, reopener: Reopener | None = None, warn=None) -> Reader:
    galleries = gallery.of_results(stored, results, reopener) if reopener else None
    made = page.write(stored, out, stored=results, galleries=galleries, warn=warn)
    return Reader(made.read_text(encoding="utf-8"))


def put(results: Path, result, scores=(), epochs=()) -> Result:
    folder = run_files.folder_of(results, result)
    folder.path.mkdir(parents=True)
    return folder.write_result(result, scores, epochs)


SCORES = tuple(ImageScore(f"test/{number}.png", number % 2, "hole" if number % 2 else "good", number / 10)
               for number in range(10))  # fmt: skip


def shown(*, epochs=(), run=None) -> Shown:
    run = run or make_result(oracle={"image_auroc": 0.97})
    return Shown("m", 0, run, SCORES, epochs)


def record(number: int, value: float | None, loss: float) -> EpochRecord:
    return EpochRecord(number, 4, loss, None, 1.0, None if value is None else Metrics(image_auroc=value))
