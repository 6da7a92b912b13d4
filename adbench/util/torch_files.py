"""Files of ``torch.save`` read back: never as code, not where they are damaged, and without torch's own advice.

Torch answers a file that it does not trust with how to load it all the same, which runs whatever code is in it. That
is no advice for users, so nothing of it is repeated.
"""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import integrity
from .errors import CheckpointError, absent, first_line, reason, type_text

if TYPE_CHECKING:
    import torch

FOREIGN = "nothing that torch.save wrote"

_GLOBAL = re.compile(r"\bGLOBAL (\S+)")
_ADVICE = re.compile(r"weights_only|arbitrary code|trusted source", re.IGNORECASE)


class UnreadableError(Exception):
    """A file that can't be read as tensors.

    Attributes:
        found: what it holds instead.
        has_code: whether it would have to run code, which is refused.
    """

    def __init__(self, found: str, *, has_code: bool = False) -> None:
        super().__init__(found)
        self.found, self.has_code = found, has_code

    def thing(self, file: str) -> str:
        """What a message says of a file that is refused because of the code in it."""
        return f"{file} holds more than tensors ({self.found}) and is refused, since it could run code"


def read(path: Path, device: torch.device | str = "cpu", *, mmap: bool = False) -> Any:
    """Read tensors, numbers, texts, lists and dicts.

    Args:
        path: the file.
        device: where the tensors go.
        mmap: leave them in the file, mapped into memory; the file must then be one of torch 1.6 or newer.

    Raises:
        OSError: the file can't be read.
        UnreadableError: it holds something else.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*(TorchScript archive|pickle protocol)")  # before it refuses
            warnings.filterwarnings("ignore", module=r"torch\b")
            return torch.load(path, map_location=device, weights_only=True, mmap=mmap)
    except OSError:
        raise
    except Exception as error:  # torch raises whatever the bytes lead it to
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> UnreadableError:
    text = str(error)
    if found := _GLOBAL.search(text):
        return UnreadableError(found[1], has_code=True)
    if "TorchScript" in text:
        return UnreadableError("a TorchScript archive", has_code=True)
    if "legacy .tar" in text:
        return UnreadableError("the format of torch before 0.1.10")
    if isinstance(error, (pickle.UnpicklingError, EOFError)) or _ADVICE.search(text):
        return UnreadableError(FOREIGN)
    return UnreadableError(first_line(error))


def load(path: Path, device: torch.device | str = "cpu", *, hint: str = "") -> dict[str, Any]:
    """Load a checkpoint: a dict of tensors, numbers, texts, lists and dicts.

    Args:
        path: a file of adbench or of a method's authors.
        device: where its tensors go.
        hint: what the user can do about a file that can't be used.

    Raises:
        CheckpointError: the file is missing, damaged or unreadable, or holds something else than a dict.
    """
    if not path.is_file():
        raise CheckpointError(
            f"checkpoint {path}", found=absent(path, "file"), wanted="a file made by torch.save", hint=hint
        )
    try:
        damage = integrity.damage_of(path)
        if damage:
            raise CheckpointError(
                f"checkpoint {path} is damaged", found=f"another content in {damage}", wanted="what was written",
                hint=hint or "Get the file again",
            )  # fmt: skip
        saved = read(path, device)
    except UnreadableError as error:
        if error.has_code:
            raise CheckpointError(error.thing(f"checkpoint {path}")) from error
        raise CheckpointError(f"checkpoint {path} can't be read", found=error.found, hint=hint) from error
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} can't be read", found=reason(error), hint=hint) from error
    if not isinstance(saved, dict):
        raise CheckpointError(f"checkpoint {path}", found=type_text(saved), wanted="a dict of state dicts")
    return saved
