"""Two processes without a common lock, as on two machines, that compute the same run in one folder of results."""

from __future__ import annotations

import random
import shutil

from .children import Child
from .compare import misfits
from .disks import unclear
from .faults import Fault
from .kills import Victim
from .tally import Row


def campaign(victim: Victim, what: str, times: int, draw: random.Random) -> Row:
    """Start two commands with a delay between them, the second one without locks.

    Both finish, or one says so in one clear message; what is stored is whole and right, and the same command then finds
    it, or makes it.
    """
    row = Row(what)
    with row.timing():
        for _ in range(times):
            folder, delay = victim.new_folder(), draw.uniform(0, victim.whole.cpu) * draw.choice((0, 0.1, 1))
            # the caches are on each machine's own disk
            first = Child(victim.order(folder))
            first.wait(delay)
            second = Child(victim.order(folder, Fault(unlocked=True), "second"))
            ended = [child.ended() for child in (first, second)]
            failed = [each for each in ended if each.code != 0]
            problems = [unclear(each) for each in failed]
            if len(failed) == 2:
                problems.append("both failed: " + " | ".join(each.errors.strip()[-200:] for each in failed))
            problems += misfits(folder / "results")
            problems = [problem for problem in problems if problem] or [victim.ends_right(folder, "")]
            if any(problems):
                row.faults.append(f"delay {delay:.2f} s: {'; '.join(problems)}")
            elif failed:
                row.clear += 1
            else:
                row.right += 1
            shutil.rmtree(folder, ignore_errors=True)
    return row
