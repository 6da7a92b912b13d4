"""Files of ``torch.save`` read back: never as code, and not where they are damaged."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..util import integrity
from ..util.errors import CheckpointError, first_line

if TYPE_CHECKING:
    import torch


def load(path: Path, device: torch.device | str = "cpu", *, hint: str = "") -> dict[str, Any]:
    """Load a dict of tensors, numbers, texts, lists and dicts.

    Args:
        path: a file of adbench or of a method's authors.
        device: where its tensors go.
        hint: what the user can do about a file that can't be used.

    Raises:
        CheckpointError: the file is missing, damaged or unreadable, or holds something else than a dict.
    """
    import torch

    if not path.is_file():
        raise CheckpointError(f"checkpoint {path}", found="no such file", wanted="a file made by torch.save")
    try:
        damage = integrity.damage_of(path)
        if damage:
            raise CheckpointError(
                f"checkpoint {path} is damaged", found=f"another content in {damage}", wanted="what was written",
                hint=hint or "Get the file again",
            )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch muses about foreign files before it refuses them
            saved = torch.load(path, map_location=device, weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # torch raises whatever the bytes lead it to
        raise CheckpointError(f"checkpoint {path} can't be read", found=first_line(error), hint=hint) from error
    if not isinstance(saved, dict):
        raise CheckpointError(f"checkpoint {path}", found=type(saved).__name__, wanted="a dict of state dicts")
    return saved
