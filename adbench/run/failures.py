"""What becomes of an error in a task: one of adbench, with its cause, and without what it keeps in memory."""

from __future__ import annotations

import traceback

from ..util.errors import AdbenchError, TaskError, described


def foreseen(error: BaseException, what: str) -> AdbenchError:
    """Turn any error into one of adbench; an unforeseen one becomes its cause."""
    from ..util.memory import is_out_of_memory

    if isinstance(error, AdbenchError):
        return error
    hint = "See the traceback with --debug"
    if is_out_of_memory(error):
        hint = "Use a smaller -o batch_size or --size, or another --device"
    ours = TaskError(f"{what} broke off", found=described(error), hint=hint)
    ours.__cause__ = error
    return ours


def free_frames(error: BaseException | None) -> None:
    """Free the local variables of an error's traceback: the detector, its optimiser and the features.

    An outcome keeps its error until the end of the run.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
