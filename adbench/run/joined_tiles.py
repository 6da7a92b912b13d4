"""Joins the scores of tiles to those of the images that they were cut from (``data/tiling.py`` says how)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from ..api.scores import Scores
from ..data.tiling import Grid
from ..util.errors import TaskError

Parts = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]
"""Image scores, maps and region maps of some tiles."""


@dataclass
class _Waiting:
    """Scores of tiles whose image is not complete yet."""

    parts: list[Parts] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(len(image) for image, _, _ in self.parts)

    def add(self, scores: Scores) -> None:
        self.parts.append((scores.image, scores.map, scores.region_map))

    def take(self, count: int) -> Parts:
        """Take the first tiles away."""
        image, maps, regions = (_joined([part[number] for part in self.parts]) for number in range(3))
        assert image is not None
        self.parts = [(image[count:], _cut(maps, count, None), _cut(regions, count, None))]
        return image[:count], _cut(maps, 0, count), _cut(regions, 0, count)


def _cut(values: torch.Tensor | None, start: int, stop: int | None) -> torch.Tensor | None:
    return None if values is None else values[start:stop]


def _joined(parts: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    """The parts as one tensor; None if all of them are None."""
    there = [part for part in parts if part is not None]
    if 0 < len(there) < len(parts):
        raise TaskError("Scores of tiles", found="maps of some", wanted="all or none")
    return torch.cat(there) if there else None


def image_by_image(batches: Iterable[Scores], grids: Sequence[Grid]) -> Iterator[Scores]:
    """The scores of each image, as a batch of one.

    Args:
        batches: scores of all tiles, image by image, in batches of any size.
        grids: the tiles of each image.
    """
    waiting, number = _Waiting(), 0
    for scores in batches:
        waiting.add(scores)
        while number < len(grids) and waiting.count >= len(grids[number]):
            yield of_image(grids[number], *waiting.take(len(grids[number])))
            number += 1


def of_image(
    grid: Grid, image: torch.Tensor, maps: torch.Tensor | None, region_maps: torch.Tensor | None = None
) -> Scores:
    """The scores of an image from those of its tiles (T,), and their maps (T, h, w)."""
    whole, regions = (None if each is None else grid.blend(each)[None] for each in (maps, region_maps))
    return Scores(image.max()[None], whole, regions)


def seconds_to_blend(grid: Grid, device: torch.device) -> float:
    """How long it takes to join the maps of one image."""
    maps = torch.zeros((len(grid), *grid.tile), device=device)
    started = time.perf_counter()
    float(grid.blend(maps)[0, 0])  # waits for the device
    return time.perf_counter() - started
