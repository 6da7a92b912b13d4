"""A disk that is full, broken or read-only: at every write in turn; the same command then ends as an unbroken one."""

from __future__ import annotations

import errno
import random
import shutil
from pathlib import Path

from .children import Ended, run
from .compare import content_of
from .faults import Fault
from .kills import Victim, wrong_end
from .tally import Row

ERRORS = {"EIO": errno.EIO, "EROFS": errno.EROFS, "EDQUOT": getattr(errno, "EDQUOT", errno.ENOSPC)}
"""Errors besides a full disk that are sampled."""

MISTAKES = (1, 2)
"""Exit codes of a failed task and of a mistake."""

UNFORESEEN = "See the traceback with --debug"
"""What is said of an error that nobody has foreseen, which is never a clear message."""


def full(victim: Victim, what: str, *, every: int = 1, start: int = 0) -> Row:
    """Let the disk be full from the n-th operation that needs space on, for each n, or for one of ``every`` few."""
    row = Row(what)
    with row.timing():
        for at in victim.whole.writes[start::every]:
            _try(victim, Fault("full", at), row)
    return row


def sampled(victim: Victim, what: str, times: int, draw: random.Random) -> Row:
    """Let single operations fail with other errors of a disk."""
    row = Row(what)
    with row.timing():
        for _ in range(times):
            name = draw.choice(sorted(ERRORS))
            kind = "full" if name == "EROFS" else "error"
            _try(victim, Fault(kind, draw.choice(victim.whole.writes), ERRORS[name]), row)
    return row


def _try(victim: Victim, fault: Fault, row: Row) -> None:
    """Run with a fault and then without, and count how it ended; a fault that was not met counts nothing."""
    folder = victim.new_folder()
    ended = run(victim.order(folder, fault))
    how = f"{errno.errorcode[fault.code]} at operation {fault.at}"
    if ended.hit or ended.code != 0:
        problem = _wrong(victim, folder, ended) or victim.ends_right(folder, "then")
        if problem:
            row.faults.append(f"{how}: {problem}")
            return
        elif ended.code == 0:
            row.right += 1
        else:
            row.clear += 1
    shutil.rmtree(folder, ignore_errors=True)


def _wrong(victim: Victim, folder: Path, ended: Ended) -> str:
    """What is wrong with the end of a command that met a fault."""
    if ended.code == 0:
        return wrong_end(ended, folder, victim.whole.content)
    problem = unclear(ended)
    if problem:
        return problem
    if any((folder / "results").rglob("result.json")):
        stored, wanted = content_of(folder / "results"), victim.whole.content
        missing = [name for name in wanted if stored.get(name) != wanted[name]]
        if missing:
            return f"a result that looks finished, but {missing[0]} differs"
    return ""


def unclear(ended: Ended) -> str:
    """What is unclear about the end of a command that failed; "" where there is one clear message."""
    if ended.code not in MISTAKES:
        return f"exit code {ended.code}: {ended.errors.strip()[-300:]}"
    if "Traceback" in ended.errors or UNFORESEEN in ended.errors:
        return f"no clear message: {ended.errors.strip()[-300:]}"
    said = messages(ended.errors)
    return "" if len(said) == 1 else f"{len(said)} messages: {' | '.join(said)[:300]}"


def messages(text: str) -> list[str]:
    """The lines that say why a command failed."""
    return [line for line in text.splitlines() if line.startswith(("Error: ", "✗ "))]
