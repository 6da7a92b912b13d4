"""The command ``site``: stored results as static pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from . import options as arguments
from . import values
from .console import load_plugins, print_path, say, status_line, warn


@click.command(short_help="Write a static site over results folders.")
@click.argument("results", nargs=-1, metavar="[RESULTS...]", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the site.")
@click.option("--title", help="Heading of the site.  [default: adbench results]")
@arguments.metric_option
@click.option("--no-curves", is_flag=True, help="Leave out the curves on the pages of runs.")
@arguments.looked_up
@arguments.debug_option
def site(results: Sequence[Path], output: Path, title: str | None, metric: str, no_curves: bool,
         data_roots: Sequence[Path], plugin_files: tuple[Path, ...]) -> None:  # fmt: skip
    """Write a static site over results folders: boards, a page for each method and each run.

    RESULTS are folders of results; without any it is ./results. The pages work from disk and on any static host, and
    ask for nothing outside. An earlier site in the output folder is replaced; no other file is touched.

    \b
    adbench site -o site results ../colleague/results
    """  # noqa: D301
    from ..report import site as pages
    from ..report.site.build import TITLE
    from ..util.sizes import bytes_text
    from ..util.text import plural

    chosen = values.metric(metric)
    registry = load_plugins(plugin_files)
    with status_line() as show:
        built = pages.build(
            results or [Path("results")], output, registry=registry, data_roots=data_roots, metric=chosen,
            title=title or TITLE, curves=not no_curves, show=show, warn=warn,
        )  # fmt: skip
    what = [plural(built.boards, "board"), plural(built.methods, "method"), plural(built.runs, "run")]
    changed = f"{plural(built.written, 'file')} written, {built.removed} removed"
    say(f"{', '.join(what)}, {bytes_text(built.bytes)}; {changed}.")
    print_path(built.index)
