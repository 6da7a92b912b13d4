"""The truth about a test set, at the size where maps and masks are compared."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import decoding
from .decoding import Bytes, Resize
from .metrics import Truth
from .pictures import Store, problem_error
from .types import EvalSize, Problem, Size


def open_truth(store: Store, *, size: Size, resize: Resize, eval_size: EvalSize | None = None) -> Truth:
    """Prepare the truth of the test pictures in ``store``.

    Where ``resize`` is "crop" only what the method saw is evaluated. "native" compares in the picture's own
    pixels, of a crop in the whole pixels nearest to its borders; masks are read from their files again, one
    at a time.

    Args:
        store: the decoded test pictures, with masks of ``size``.
        size: the input's.
        resize: how pictures got there.
        eval_size: where masks and maps are compared; None for ``size``.

    Raises:
        DataError: a mask that has changed since the pictures were decoded, and can't be used now.
    """
    labels = np.array([sample.label for sample in store.samples])
    if eval_size is None or store.masks is None:
        return Truth.of(labels, store.masks)
    wanted = None if eval_size == "native" else eval_size
    with decoding.quiet():
        return Truth.of_sizes(labels, _masks(store, size, resize, wanted))


def _masks(store: Store, size: Size, resize: Resize, wanted: Size | None) -> Iterator[Bytes]:
    for sample, own in zip(store.samples, store.sizes, strict=True):
        mask = decoding.decode_mask(sample, own, decoding.shown_part(own, size, resize), wanted)
        if isinstance(mask, Problem):
            raise problem_error([mask])
        yield mask
