"""A method that needs a folder of textures with some options, and can use a teacher's weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from adbench import Auxiliary, Detector, Epoch, Method, Options, Requirements, Scores, hookimpl


@dataclass(frozen=True)
class NeedyOptions(Options):
    size: tuple[int, int] = (64, 64)
    textures: str = "given"


class Needy(Detector):
    """Scores by the distance to a mean colour, which comes from the auxiliary files' lengths."""

    def __init__(self, options, context):
        super().__init__(options, context)
        self.mean = torch.zeros(())

    def fit(self, images) -> Iterator[Epoch]:
        list(images)
        folder = self.context.auxiliary.get("textures")
        lengths = [file.stat().st_size for file in sorted(folder.iterdir())] if folder else [3]
        teacher = self.context.auxiliary.get("teacher")
        self.mean = torch.tensor(0.01 * sum(lengths) + (teacher.stat().st_size if teacher else 0))
        yield Epoch(1, 1)

    def score(self, batch) -> Scores:
        maps = (batch.images - self.mean).square().mean(dim=1)
        return Scores(image=maps.amax(dim=(1, 2)), map=maps)


TEXTURES = Auxiliary(
    "textures",
    "images that defects are painted from",
    source="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
    licence="for research only",
    kind="folder",
    without="-o textures=none paints defects of one colour, which costs some points",
    needed=lambda options: options.textures == "given",
)
TEACHER = Auxiliary("teacher", "weights of the teacher", needed=lambda options: False)


@hookimpl
def adbench_methods() -> list[Method]:
    needs = Requirements(auxiliary=(TEXTURES, TEACHER))
    return [Method("needy", "needs more", Needy, NeedyOptions, requirements=needs)]
