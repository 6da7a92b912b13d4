"""Adds runs to a git repository of results, and rebuilds its site.

The repository holds ``results/DATASET/CLASS/METHOD/RUN/`` as a folder of results does: JSON and CSV, of which git shows
what has changed, and small score histograms. All is done in a temporary clone; the repository gets one commit, or
nothing.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from ...util import files
from ...util.errors import ResultError, TaskError, UsageError, reason
from ...util.text import is_safe_name, plural, printable
from ..writable import has_results
from .merge import Merged, Prefer, merge
from .repository import Clone, find
from .scan import FoundRun, Scan, Watch

BuildSite = Callable[[Path, Path], object]
"""Writes the site of a folder of results into another folder."""

ATTEMPTS = 8
"""Times that a commit is made anew after somebody else's."""

LISTED = 500
"""Up to so many runs are named in the message of a commit."""

NAMED = 3
"""Up to so many methods and data sets are named in its first line."""

_ATTRIBUTES = "# The digests of results are those of the bytes: no line end is changed.\n* -text\n"


@dataclass(frozen=True)
class Layout:
    """The folders of a repository: of the results, and of the site; None for no site."""

    results: str = "results"
    site: str | None = "docs"

    @property
    def folders(self) -> list[str]:
        """All of them."""
        return [self.results, *([self.site] if self.site else [])]


@dataclass(frozen=True)
class Published:
    """What was done.

    Attributes:
        repository: its name for people.
        merged: the runs that are in the repository now, and those that are left out.
        branch: the branch.
        commit: the short name of the commit; "" if nothing was to be added.
        races: commits of others that came in between.
    """

    repository: str
    merged: Merged
    branch: str
    commit: str
    races: int = 0


def publish(
    found: Scan,
    repository: str,
    *,
    layout: Layout | None = None,
    branch: str | None = None,
    build_site: BuildSite | None = None,
    check_site: Callable[[Path], object] | None = None,
    message: str = "",
    prefer: Prefer | None = None,
    dry_run: bool = False,
    watch: Watch | None = None,
) -> Published:
    """Add runs to a repository in one commit, and send it there. Conflicts are left out as by ``merge``.

    Args:
        found: the runs.
        repository: a folder with a repository, bare or not, or an address for git.
        layout: its folders.
        branch: to which to commit; by default that of the repository.
        build_site: rebuilds the site, where the layout has one.
        check_site: raises ``UsageError`` where the site can't be written into its folder; a dry run asks as well.
        message: the first line of the commit's message; by default it says what is added.
        prefer: as for ``merge``.
        dry_run: change nothing in the repository.
        watch: called with what is being done.

    Raises:
        UsageError: git, its author, the repository or its branch is missing, or the layout's folders can't be used.
        TaskError: git or the repository refuses the commit.
        ResultError: the disk is full.
    """
    show, where = watch or (lambda _: None), layout or Layout()
    _check(where)
    remote = find(repository)
    with tempfile.TemporaryDirectory(prefix="adbench-", ignore_cleanup_errors=True) as folder:
        show(f"cloning {remote.name}")
        clone = Clone(remote, Path(folder).resolve() / "clone", branch)
        for races in range(ATTEMPTS):
            merged = merge([found], clone.folder / where.results, prefer=prefer, dry_run=dry_run, watch=watch)
            merged = _shown(merged, clone.folder, remote.name)
            if check_site is not None and where.site is not None and _changed(merged):
                check_site(clone.folder / where.site)
            commit = "" if dry_run else _commit(clone, where, merged, build_site, message, show)
            if not commit or _pushed(clone, show):
                return Published(remote.name, merged, clone.branch, commit, races)
            time.sleep(random.uniform(0.1, 0.3) * (races + 1))
            clone.refresh()
    raise TaskError(f"{remote.name} gets commits of others all the time", hint="Try again later")


def _check(layout: Layout) -> None:
    """Refuse folders outside the repository, and one within the other."""
    for name in layout.folders:
        parts = name.split("/")
        if not all(is_safe_name(part) and part not in (".", "..") and part.lower() != ".git" for part in parts):
            raise UsageError(f"folder '{name}'", wanted="a folder within the repository, such as results or docs")
    first, *others = (f"{name}/" for name in layout.folders)
    if any(first.startswith(other) or other.startswith(first) for other in others):
        raise UsageError(f"folders {' and '.join(layout.folders)}", wanted="two folders beside each other")


def _changed(merged: Merged) -> list[object]:
    """What is new in the repository."""
    return [*merged.of("added", "replaced", "completed"), *merged.audits]


def _commit(
    clone: Clone, layout: Layout, merged: Merged, build_site: BuildSite | None, message: str, show: Watch
) -> str:
    """Make the commit; "" if there is nothing to add."""
    changed = _changed(merged)
    results, site = clone.folder / layout.results, clone.folder / (layout.site or layout.results)
    wants_site = build_site is not None and layout.site is not None and (changed or not site.exists())
    if not changed and not (wants_site and has_results(results)):
        return ""
    if wants_site and build_site is not None:
        show("building the site")
        build_site(results, site)
    try:
        attributes = results / ".gitattributes"
        if not attributes.exists():
            files.write(attributes, lambda stream: stream.write(_ATTRIBUTES.encode()))
    except OSError as error:
        raise ResultError(f"{results} can't be written", found=reason(error)) from error
    show("committing")
    folders = [name for name in layout.folders if (clone.folder / name).exists()]
    return clone.commit(folders, _message(merged, message))


def _pushed(clone: Clone, show: Watch) -> bool:
    show(f"sending the commit to {clone.remote.name}")
    return clone.push()


def _shown(merged: Merged, clone: Path, repository: str) -> Merged:
    """Name the repository in place of its temporary clone."""
    old = str(clone)
    named = tuple(replace(each, reason=each.reason.replace(old, repository)) for each in merged.left_out)
    return replace(merged, left_out=named)


# ---------------------------------------------------------------- the message


def _message(merged: Merged, first_line: str) -> str:
    """The first line says how much is added; below it each run has a line."""
    parts = []
    for verb, what in (("Add", "added"), ("Replace", "replaced"), ("Complete", "completed")):
        runs = [each.run for each in merged.outcomes if each.what == what]
        if runs:
            parts.append((f"{verb} {plural(len(runs), 'run')} {_of(runs)}", runs))
    if merged.audits:
        methods = list(dict.fromkeys(audit.method for _, audit in merged.audits))
        parts.append((f"Add {plural(len(merged.audits), 'audit')} of {_named(methods, 'method')}", []))
    heads = [text if number == 0 else text[0].lower() + text[1:] for number, (text, _) in enumerate(parts)]
    lines = [first_line or ", ".join(heads) or "Build the site", ""]
    listed = [(text.split()[0], run) for text, runs in parts for run in runs]
    lines += [f"{verb} {run.text}" for verb, run in listed[:LISTED]]
    if len(listed) > LISTED:
        lines.append(f"and {len(listed) - LISTED} more")
    lines += ["", f"Made by adbench {metadata.version('adbench-suite')}."]
    return "\n".join(printable(line) for line in lines) + "\n"


def _of(runs: Sequence[FoundRun]) -> str:
    """Of which methods on which data sets."""
    methods = list(dict.fromkeys(run.parts[0].result.method for run in runs))
    datasets = list(dict.fromkeys(run.parts[0].result.dataset for run in runs))
    return f"of {_named(methods, 'method')} on {_named(datasets, 'data set')}"


def _named(names: Sequence[str], thing: str) -> str:
    return ", ".join(names) if len(names) <= NAMED else plural(len(names), thing)
