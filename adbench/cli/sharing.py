"""The commands that share results: ``results merge``, ``results archive``, ``results import`` and ``publish``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..util.errors import AdbenchError, ResultError, UnknownNameError, UsageError, absent
from ..util.text import plural
from . import options as arguments
from .console import print_path, print_tables, say, status_line, warn
from .gathered import gathered
from .selection import LookedUp

if TYPE_CHECKING:
    from ..results.records import Result
    from ..results.sharing.merge import Merged, Prefer
    from ..results.sharing.publish import Published
    from ..results.sharing.scan import Scan, Take

Command = TypeVar("Command", bound=Callable[..., Any])


def _conflict_options(command: Command) -> Command:
    """Add the options of commands that merge."""
    dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
    prefer = click.option(
        "--prefer", type=click.Choice(["ours", "theirs"]),
        help="Of runs of one name with other numbers, keep the one that is there (or comes first), or take the other.  "
        "[default: leave them out, and name both]",
    )  # fmt: skip
    return prefer(dry_run(command))


def _chosen_runs(command: Command) -> Command:
    """Add the options that choose among stored runs, of commands that send them elsewhere."""
    options = (
        click.argument("runs_named", nargs=-1, metavar="[RUN...]"),
        arguments.results_option,
        arguments.chosen,
        click.option("--method", "-m", "method", help="Only these methods: METHOD[,METHOD...]."),
        click.option("--all", "every", is_flag=True, help="All stored runs."),
        click.option("--stale", is_flag=True, help="Take stale runs along; elsewhere nobody may notice that they are."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True, kw_only=True)
class Sent(LookedUp):
    """The options of ``_chosen_runs``: the runs that a command sends elsewhere."""

    runs_named: Sequence[str]
    method: str | None
    stale: bool

    def scan(self, command: str, take: Take, *, every: bool) -> Scan:
        """Find the chosen runs, and check their files. Stale ones are left out and counted, unless they are asked for.

        Args:
            command: its name, for messages.
            take: which of their files.
            every: whether all runs are chosen where nothing else is.

        Raises:
            UsageError: nothing is chosen.
            ResultError: there is none, or all of them are stale.
        """
        from ..results import find
        from ..results.sharing.scan import scan

        if not (self.runs_named or self.dataset or self.class_name or self.method or every):
            raise UsageError(command, found="no run", wanted="RUN, -d DATASET, -c CLASS, -m METHOD or --all")
        stored = _of_methods(self.read(), self.method, self.results)
        chosen = find.find_runs(stored, self.runs_named, self.results) if self.runs_named else stored
        if not self.stale:
            chosen = self._not_stale(chosen)
        with status_line() as show:
            return scan(self.results, take, chosen=chosen, watch=show)

    def _not_stale(self, chosen: Sequence[Result]) -> list[Result]:
        """The results that are not known to be stale; the others are counted."""
        kept = [each.result for each in self.standing(chosen) if each.standing.state != "stale"]
        gone = len(chosen) - len(kept)
        if gone and not kept:
            hint = "Compute them again, or take them along with --stale"
            raise ResultError("there is no run to send", found=plural(gone, "stale run"), hint=hint)
        if gone:
            say(
                f"{plural(gone, 'stale run')} left out; --stale takes them along, and adbench results stale shows them."
            )
        return kept


def _of_methods(stored: Sequence[Result], method: str | None, results: Path) -> list[Result]:
    """The results of some methods, if they are asked for."""
    if method is None:
        return list(stored)
    names, known = [name.strip() for name in method.split(",") if name.strip()], {run.method for run in stored}
    for name in names:
        if name not in known:
            raise UnknownNameError(f"method among the results in {results}", name, known)
    return [run for run in stored if run.method in names]


@click.command("merge", short_help="Copy the runs of other folders of results into one.")
@click.argument("folders", nargs=-1, required=True, metavar="DIR...", type=click.Path(path_type=Path))
@click.option(
    "--into", "--results", "results", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
    help="Folder of the results into which they are copied.",
)  # fmt: skip
@click.option("--checkpoints/--no-checkpoints", default=True, help="Whether to copy checkpoints.  [default: yes]")
@click.option("--maps/--no-maps", default=True, help="Whether to copy anomaly maps.  [default: yes]")
@_conflict_options
@arguments.format_option
@arguments.debug_option
def merge(folders: Sequence[Path], results: Path, checkpoints: bool, maps: bool, prefer: Prefer | None, dry_run: bool,
          format_: str) -> None:  # fmt: skip
    """Copy finished runs of other folders of results into one; each DIR stays as it is.

    A run that is there with the same numbers is one. With other numbers it is a conflict: both files are named, and
    the run that is there stays. Damaged, unfinished and running ones are named and left out.

    \b
    adbench results merge gpu1/results gpu2/results
    adbench results merge /mnt/colleague/results --into results --dry-run
    """  # noqa: D301
    from ..results.sharing import merge as merging
    from ..results.sharing.scan import Take

    take = Take(checkpoints, maps)
    with status_line() as show:
        scans = [_scanned(folder, results, take, show) for folder in folders]
        merged = merging.merge(scans, results, prefer=prefer, dry_run=dry_run, watch=show)
    _end(merged, list(folders), str(results), format_, dry_run=dry_run)


def _scanned(folder: Path, target: Path, take: Take, show: Callable[[str], None]) -> Scan:
    """The runs of a folder. Raises ``UsageError`` for one without runs, or the target itself."""
    from ..results.sharing.scan import scan

    if folder.is_file():
        raise UsageError(
            f"{folder}", found="a file", wanted="a folder of results", hint="adbench results import reads archives"
        )
    if not folder.is_dir():
        raise ResultError(f"results folder {folder}", found=absent(folder, "folder"))
    if target.exists() and folder.samefile(target):
        raise UsageError(f"{folder}", found="the folder into which runs are to be copied", wanted="another one")
    found = scan(folder, take, watch=show)
    if not (found.runs or found.left_out or found.audits):
        inner = folder / "results"
        hint = f"Did you mean {inner}?" if inner.is_dir() else "Runs lie in DIR/DATASET/CLASS/METHOD/RUN"
        raise ResultError(f"results folder {folder}", found="no run", hint=hint)
    return found


@click.command("archive", short_help="Pack runs into one file.")
@_chosen_runs
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The file, such as results.zip.")
@click.option("--checkpoints/--no-checkpoints", default=False, help="Whether to pack checkpoints.  [default: no]")
@click.option("--maps/--no-maps", default=False, help="Whether to pack anomaly maps.  [default: no]")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@arguments.looked_up
@arguments.debug_option
@gathered("asked", Sent)
def archive(asked: Sent, every: bool, output: Path, checkpoints: bool, maps: bool, force: bool) -> None:
    """Pack finished runs into one file, which `adbench results import` reads; the same runs give the same bytes.

    RUN is a name as in `adbench list runs`, a variant such as padim:cpu or brick/padim:cpu/seed0, any part of
    DATASET/CLASS/METHOD/RUN that only one run has, or a folder.
    Without RUN, those of a data set (-d), of classes (-c), of methods (-m) or of all runs (--all).

    \b
    adbench results archive --all -o results.zip
    adbench results archive -d demo -m padim -o padim.zip --checkpoints
    """  # noqa: D301
    from ..results.sharing import archive as archives
    from ..results.sharing.scan import Take
    from ..util.sizes import bytes_text

    if output.suffix.lower() != ".zip":
        raise UsageError(f"-o {output}", found=f"the ending '{output.suffix}'", wanted=".zip, which an archive is")
    if output.exists() and not force:
        raise UsageError(f"{output}", found="a file of this name", hint="Choose another one with -o, or give --force")
    found = asked.scan("adbench results archive", Take(checkpoints, maps), every=every)
    for each in found.left_out:
        warn(each.reason)
    if not found.runs:
        raise ResultError(f"results folder {asked.results}", found="no intact run among those chosen")
    with status_line() as show:
        written = archives.write(found.runs, output, show, audits=found.audits)
    audits = f" and {plural(len(found.audits), 'audit')}" if found.audits else ""
    unpacked = f"{plural(written.files, 'file')}, {bytes_text(written.unpacked)}"
    say(f"Packed {plural(len(found.runs), 'run')}{audits} ({unpacked}) into {bytes_text(written.bytes)}.")
    print_path(output)
    if found.left_out:
        raise click.exceptions.Exit(AdbenchError.exit_code)


@click.command("import", short_help="Take the runs of archives into a folder of results.")
@click.argument("archives", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@arguments.results_option
@_conflict_options
@arguments.format_option
@arguments.debug_option
def import_(archives: Sequence[Path], results: Path, prefer: Prefer | None, dry_run: bool, format_: str) -> None:
    """Take the runs of archives into a folder of results, as `adbench results merge` does those of a folder.

    A file from anybody is safe to open: all of it is checked before anything of it lies among the results.

    \b
    adbench results import colleague.zip
    """  # noqa: D301
    from ..results.sharing.imports import import_archives

    with status_line() as show:
        merged = import_archives(archives, results, prefer=prefer, dry_run=dry_run, watch=show)
    _end(merged, list(archives), str(results), format_, dry_run=dry_run)


@click.command(short_help="Add runs to a git repository of results, and rebuild its site.")
@_chosen_runs
@click.option("--to", "repository", required=True, metavar="REPO", help="A folder with a repository, or its address.")
@click.option("--branch", help="Commit to this branch.  [default: the repository's own]")
@click.option("--folder", default="results", show_default=True, help="Folder of the results in the repository.")
@click.option("--site", default="docs", show_default=True, help="Folder of the site in the repository.")
@click.option("--no-site", is_flag=True, help="Commit results alone.")
@click.option("--title", help="Heading of the site.  [default: adbench results]")
@click.option("--message", default="", help="First line of the commit's message.  [default: what is added]")
@_conflict_options
@arguments.format_option
@arguments.looked_up
@arguments.debug_option
@gathered("asked", Sent)
def publish(asked: Sent, every: bool, repository: str, branch: str | None, folder: str, site: str, no_site: bool,
            title: str | None, message: str, prefer: Prefer | None, dry_run: bool, format_: str) -> None:  # fmt: skip
    """Add runs to a git repository of results in one commit, rebuild its site, and push.

    Without RUN, -d, -c or -m all runs are added, but for stale ones. Conflicts are left out as by `adbench results
    merge`. Checkpoints and maps stay here.

    \b
    adbench publish --to ../board
    adbench publish -d mvtec --to git@example.org:lab/board.git --dry-run
    """  # noqa: D301
    from ..results.sharing import publish as publishing
    from ..results.sharing.scan import Take

    found = asked.scan("adbench publish", Take(False, False), every=True)
    layout = publishing.Layout(folder, None if no_site else site)
    with status_line() as show:
        done = publishing.publish(
            found, repository, layout=layout, branch=branch, prefer=prefer, dry_run=dry_run, message=message,
            build_site=None if no_site else _site_builder(title, asked, show),
            check_site=None if no_site else partial(_require_site, site), watch=show,
        )  # fmt: skip
    if not dry_run:
        say(_published(done))
    _end(done.merged, [asked.results], done.repository, format_, dry_run=dry_run)


def _require_site(name: str, site: Path) -> None:
    """Refuse a folder of a repository that holds other files than a site's; ``name`` is the folder's name there."""
    from ..report.site import folder

    try:
        folder.require(site)
    except UsageError as error:  # it names the temporary clone
        raise UsageError(
            f"--site {name}", found=error.parts["found"], wanted=error.parts["wanted"],
            hint="Choose another folder with --site, or give --no-site",
        ) from error  # fmt: skip


def _site_builder(title: str | None, asked: LookedUp, show: Callable[[str], None]) -> Callable[[Path, Path], object]:
    """What builds the site of a repository, as ``adbench site`` does."""

    def build(results: Path, site: Path) -> object:
        from ..report import site as pages
        from ..report.site.build import TITLE

        return pages.build(
            [results], site, registry=asked.registry, data_roots=asked.data_roots, title=title or TITLE, show=show,
            warn=warn,
        )  # fmt: skip

    return build


def _published(done: Published) -> str:
    if done.commit:
        return f"Committed {done.commit} to the branch {done.branch} of {done.repository}."
    count = len(done.merged.outcomes)
    return f"Nothing to add: {plural(count, 'run')} {'is' if count == 1 else 'are'} in {done.repository} already."


def _end(merged: Merged, sources: list[Path], target: str, format_: str, *, dry_run: bool) -> None:
    """Print what was done, and end with the exit code."""
    from ..report import merged as tables

    warn_left_out(merged)
    print_tables(tables.tables(merged, sources, target, dry_run=dry_run), format_)
    if merged.failed:
        raise click.exceptions.Exit(AdbenchError.exit_code)


def warn_left_out(merged: Merged) -> None:
    """Name each run that is left out."""
    for each in merged.left_out:
        warn(f"Conflict: {each.reason}" if each.kind == "conflict" else each.reason)
