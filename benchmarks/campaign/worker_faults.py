"""A plugin file that offers nothing: a worker of an executor that loads it takes a fault, and lets it happen.

The faults are written before the command starts, one file each. A worker that loads its plugins claims the next one;
the worker that replaces a killed one takes the one after it. A file that ends in ``HIT`` says that a fault took place.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adbench import Method, hookimpl
from benchmarks.campaign.faults import Fault, Injector

FOLDER = "ADBENCH_CAMPAIGN_FAULTS"
"""Variable for the folder of the faults; variables that begin with ADBENCH_ are passed on to workers."""

HEAD = "ADBENCH_CAMPAIGN_HEAD"
"""Variable for the number of the command's own process, which takes no fault."""

TAKEN, HIT = ".taken", ".hit"


@dataclass(frozen=True)
class WorkerFault:
    """A kill that a worker brings about.

    Attributes:
        victim: the worker itself, or the command.
        kind: before a file operation of the worker, half-way in one, or after seconds of its processor.
        at: the number of the operation, or the seconds.
    """

    victim: Literal["worker", "head"]
    kind: Literal["kill", "tear", "moment"]
    at: float

    @property
    def text(self) -> str:
        """What happens, for people and as the name of a file."""
        return f"{self.victim} {self.kind} {self.at:g}"


@hookimpl
def adbench_methods() -> Sequence[Method]:
    """Offer nothing: adbench refuses files without a hook."""
    return ()


def write(folder: Path, faults: Sequence[WorkerFault]) -> None:
    """Write faults for the workers of a command."""
    folder.mkdir(parents=True)
    for number, fault in enumerate(faults):
        (folder / f"{number:03d} {fault.text}").touch()


def hits(folder: Path) -> list[str]:
    """The faults that took place."""
    return [path.name.removesuffix(f"{TAKEN}{HIT}")[4:] for path in sorted(folder.glob(f"*{HIT}"))]


def _begin() -> None:
    """Take a fault if this process is a worker."""
    folder, head = os.environ.get(FOLDER), os.environ.get(HEAD)
    if folder is None or head is None or head == str(os.getpid()):
        return
    for path in sorted(Path(folder).glob("*[0-9]")):
        taken = path.with_name(f"{path.name}{TAKEN}")
        with suppress(OSError):  # another worker was faster
            path.rename(taken)
            _install(path.name, taken, int(head))
            return


def _install(name: str, taken: Path, head: int) -> None:
    """Let a fault happen in this process later."""
    _, victim, kind, at = name.split()
    dies = os.getpid() if victim == "worker" else head

    def end() -> None:
        os.close(os.open(f"{taken}{HIT}", os.O_CREAT | os.O_WRONLY))
        with suppress(ProcessLookupError):
            os.kill(dies, getattr(signal, "SIGKILL", signal.SIGTERM))

    def wait() -> None:
        began = time.process_time()
        while time.process_time() - began < float(at):
            time.sleep(0.005)
        end()

    if kind == "moment":
        threading.Thread(target=wait, daemon=True).start()
    else:
        fault = Fault("tear" if kind == "tear" else "kill", int(at))
        Injector(fault, [taken.parent.with_name("results"), Path(os.environ["ADBENCH_CACHE"])], end).install()


_begin()
