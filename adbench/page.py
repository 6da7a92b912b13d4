"""A report to look at: stored results as one HTML page that needs nothing else, neither network nor server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from importlib.resources import files
from pathlib import Path

from . import charts, confidence, figures, gallery, html_gallery, report, run_files
from .charts import Axis, Point
from .errors import AdbenchError, ResultError
from .figures import Shown
from .html_table import to_html
from .markup import Html, breakable, join, tag
from .reopen import Reopener
from .report.runs import class_table, run_table
from .report.tables import AnyTable
from .types import Result
from .variants import TITLES, Board, boards

PICTURE_BYTES = 20_000_000
"""All pictures of a page together; as text in the page they take a third more."""

SIDES = ((20, 256), (50, 208), (100, 160))
"""Up to so many galleries, pictures have that many pixels a side, at most."""

SMALLEST_SIDE = 112

PAGE = "index.html"

_POLICY = (
    "Tables and curves show the last epoch, the one a user would have. The oracle, the best epoch on the test set, "
    "ranks nothing: it only stands as ◇ in the curves of training."
)


def write(
    results: Sequence[Result],
    folder: Path,
    *,
    stored: Path,
    metric: str = "image_auroc",
    reopener: Reopener | None = None,
    watch: Callable[[str], None] | None = None,
    remarks: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write the report of some results as ``FOLDER/index.html``.

    Args:
        results: what to show.
        folder: where the page goes; made if need be.
        stored: the folder of all results, for what lies beside each.
        metric: what ranks.
        reopener: finds pictures and detectors for the galleries; None leaves these out.
        watch: hears what is being drawn.
        remarks: what else must be said about each data set's runs (``standing.Sorted``).

    Raises:
        ResultError: there is no result, or the page can't be written.
    """
    if not results:
        raise ResultError("there is no result to show", way_out="Make one with adbench run, or look at --results")
    text = _Page(results, stored, metric, reopener, watch or (lambda _: None), remarks).html()
    place = folder / PAGE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{PAGE}-{uuid.uuid4().hex}.tmp"
        temporary.write_text(text, encoding="utf-8", errors="replace")
        temporary.replace(place)
    except OSError as error:
        found = error.strerror or str(error)
        raise ResultError(f"{place} can't be written", found=found, way_out="Choose another folder with -o") from error
    return place


class _Page:
    """The page in the making."""

    def __init__(
        self,
        results: Sequence[Result],
        stored: Path,
        metric: str,
        reopener: Reopener | None,
        watch: Callable[[str], None],
        remarks: Mapping[str, Sequence[str]] | None,
    ) -> None:
        self.results, self.stored, self.metric = results, stored, metric
        self.reopener, self.watch = reopener, watch
        self.remarks = remarks
        self.boards = boards(results, remarks)
        count = sum(len(variant.runs) for board in self.boards for variant in board.variants)
        self.side = next((side for limit, side in SIDES if count <= limit), SMALLEST_SIDE)
        self.limit = PICTURE_BYTES // max(count, 1)

    def html(self) -> str:
        """The whole document."""
        title = f"adbench: {', '.join(board.title for board in self.boards)}"
        policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
        head = tag(
            "head", None,
            tag("meta", {"charset": "utf-8"}),
            tag("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
            tag("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
            tag("meta", {"name": "color-scheme", "content": "light dark"}),
            tag("title", None, title),
            tag("style", None, _asset("report.css")),
        )  # fmt: skip
        sections = [self._dataset(number, board) for number, board in enumerate(self.boards)]
        body = tag(
            "body", None, self._header(), tag("main", None, *sections, self._runs()),
            tag("script", None, _asset("report.js")),
        )  # fmt: skip
        return f"<!doctype html>\n{tag('html', {'lang': 'en'}, head, body)}\n"

    def _header(self) -> Html:
        newest = max(result.finished for result in self.results)[:10]
        about = f"{len(self.results)} runs, the newest of {newest}; adbench {metadata.version('adbench')}."
        links = [
            tag("a", {"href": f"#c{number}-{place}"}, name)
            for number, board in enumerate(self.boards)
            for place, name in enumerate(_classes(board))
        ]
        box = tag("input", {"type": "checkbox", "id": "outlines", "checked": True})
        outlines = tag("label", {"class": "switch"}, box, " true outlines")
        return tag(
            "header", None,
            tag("h1", None, "adbench report"),
            tag("p", None, about),
            tag("p", None, _POLICY),
            tag("nav", {"aria-label": "classes"}, *links, tag("a", {"href": "#runs"}, "Runs and protocol"), outlines),
        )  # fmt: skip

    # -- one data set

    def _dataset(self, number: int, board: Board) -> Html:
        runs = [result for result in self.results if result.dataset == board.dataset]
        sure = confidence.stored(self.stored, lambda _: None)  # a broken file is told of where its curves would be
        tables = report.leaderboard(runs, metric=self.metric, confidence=sure, remarks=self.remarks)
        order = [str(label) for table in tables for label in table.column("variant")]
        styles = {label: style for style, label in enumerate(dict.fromkeys(order))}
        mark = [" ", tag("span", {"class": "synthetic"}, "synthetic")] if board.synthetic else []
        classes = [
            self._class(f"c{number}-{place}", board, name, styles, opened=place == 0)
            for place, name in enumerate(_classes(board))
        ]
        return tag(
            "section", None,
            tag("h2", None, board.dataset, *mark),
            *map(to_html, tables),
            self._speed(tables),
            *classes,
        )  # fmt: skip

    def _speed(self, tables: Sequence[AnyTable]) -> Html:
        """Speed against accuracy, a point for each variant."""
        names = [str(name) for table in tables for name in table.column("variant")]
        speeds = [value for table in tables for value in table.column("images_per_second")]
        values = [value for table in tables for value in table.column(self.metric)]
        places = [str(place) for table in tables for place in table.column("timed_on")]
        if len(set(places)) > 1:  # timings of several machines or numbers of threads
            names = [f"{name} ({place})" for name, place in zip(names, places, strict=True)]
        found = [
            ((float(speed), 100 * float(value)), name)
            for name, speed, value in zip(names, speeds, values, strict=True)
            if isinstance(speed, (int, float)) and speed > 0 and isinstance(value, (int, float))
        ]
        if not found:
            return tag("p", {"class": "note"}, "No chart of speed: no run has both a speed and a value.")
        title = TITLES[self.metric]
        x = Axis("pictures per second, from decoded picture to map (log)", *_decades(found), log=True)
        low, high = charts.padded(value for (_, value), _ in found)
        points = [(point, f"{name}: {point[1]:.2f} % at {point[0]:.1f} pictures/s") for point, name in found]
        chart = charts.scatter(
            "Speed and accuracy", points, x, Axis(f"{title}, mean over classes, %", low, min(high, 104.0))
        )
        legend = tag("ol", {"class": "legend"}, *(tag("li", None, breakable(text)) for _, text in points))
        return tag("div", {"class": "speed"}, figures.figure("Speed and accuracy", chart), legend)

    # -- one class

    def _class(self, anchor: str, board: Board, name: str, styles: dict[str, int], *, opened: bool) -> Html:
        self.watch(f"{board.dataset}/{name}")
        shown, broken = [], []
        for variant in board.variants:
            for run in variant.runs.get(name, ())[:1]:
                try:
                    shown.append(self._shown(variant.label, styles.get(variant.label, len(styles)), run))
                except ResultError as error:
                    broken.append(tag("p", {"class": "note"}, str(error)))
        shown.sort(key=lambda each: each.style)
        parts = [to_html(class_table(board, name)), *broken]
        if shown:
            parts += [
                figures.key(shown),
                _plots("Pictures", figures.picture_charts(shown), figures.histograms(shown)),
                _plots("Pixels", figures.pixel_charts(shown)),
                _plots("Training", figures.epoch_charts(shown)),
            ]
            parts += [tag("h4", None, "Pictures and their maps"), *map(self._gallery, shown)] if self.reopener else []
        summary = tag("summary", None, tag("h3", None, name))
        return tag("details", {"class": "class", "id": anchor, "open": opened}, summary, *parts)

    def _shown(self, label: str, style: int, run: Result) -> Shown:
        folder = run_files.folder_of(self.stored, run)
        return Shown(label, style, run, folder, run_files.read_scores(folder, run), run_files.read_epochs(folder, run))

    def _gallery(self, each: Shown) -> Html:
        """The gallery of a run, or why there is none: a page without pictures is better than no page."""
        self.watch(f"{each.run.dataset}/{each.run.class_name}: pictures of {each.label}")
        assert self.reopener is not None
        try:
            made = gallery.make(each.run, each.folder, each.scores, self.reopener, side=self.side, limit=self.limit)
            return html_gallery.to_html(made, each.label)
        except AdbenchError as error:
            reason = str(error)
        except Exception as error:  # whatever a plugin's detector raises
            reason = f"{type(error).__name__}: {error}"
        return join(tag("h5", None, breakable(each.label)), tag("p", {"class": "note"}, f"No pictures here. {reason}"))

    # -- the end

    def _runs(self) -> Html:
        """Protocol, environment and command of every run."""
        parts = [tag("h2", {"id": "runs"}, "Runs and protocol")]
        for board in self.boards:
            runs = [(variant.label, run) for variant in board.variants for run in variant.all_runs]
            parts.append(to_html(run_table(board, runs)))
        commands = dict.fromkeys(result.command for result in self.results if result.command)
        if commands:
            parts.append(tag("h3", None, "Commands"))
            parts.append(tag("pre", {"tabindex": 0}, "\n".join(commands)))
        return tag("section", None, *parts)


def _asset(name: str) -> Html:
    return Html((files("adbench") / "assets" / name).read_text(encoding="utf-8"))


def _plots(title: str, *plots: Html) -> Html:
    return join(tag("h4", None, title), tag("div", {"class": "plots"}, *plots))


def _classes(board: Board) -> list[str]:
    return list(dict.fromkeys(name for variant in board.variants for name in variant.runs))


def _decades(points: Sequence[tuple[Point, str]]) -> tuple[float, float]:
    """A range around the speeds, with room for the numbers, on an axis of powers of ten."""
    speeds = [speed for (speed, _), _ in points]
    return min(speeds) / 1.6, max(speeds) * 1.6
