"""A stand-in for a backbone whose features differ in every number."""

from __future__ import annotations

import torch

CPU = torch.device("cpu")
COUNT = 19
PLENTY = 10**9


class Source:
    """Features that differ in every number, and a count of the rows computed."""

    def __init__(self, dtype: torch.dtype = torch.float32, channels_last: bool = False) -> None:
        self.dtype, self.channels_last, self.asked = dtype, channels_last, []

    def __call__(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """Two levels, as a backbone would give."""
        self.asked.append(rows.tolist())
        found = [self._level(rows, 5, 4, 6), self._level(rows, 3, 2, 3)]
        return [x.contiguous(memory_format=torch.channels_last) for x in found] if self.channels_last else found

    def _level(self, rows: torch.Tensor, *shape: int) -> torch.Tensor:
        size = shape[0] * shape[1] * shape[2]
        return torch.sin(rows[:, None] * size + torch.arange(size)).view(-1, *shape).to(self.dtype)


def assert_equal(expected: list[torch.Tensor], found: list[torch.Tensor]) -> None:
    assert len(expected) == len(found)
    for want, got in zip(expected, found, strict=True):
        assert want.dtype == got.dtype
        assert want.stride() == got.stride()
        assert torch.equal(want, got)
