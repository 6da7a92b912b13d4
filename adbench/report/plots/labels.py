"""Places labels beside points so that none covers another label or a point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Spot = tuple[float, float]
"""A position: x and y in points (1/72 inch), upwards."""

NEAR = 5.0
"""Points between a mark's centre and a label beside it."""

FAR = 12.0
"""From so many points on, a line leads from a label to its mark."""

DIRECTIONS = 16
STEPS = tuple(NEAR * 1.35**power for power in range(16))
"""Distances that are tried, from the nearest."""


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    @classmethod
    def around(cls, centre: Spot, radius: float) -> Box:
        """The square around a mark."""
        x, y = centre
        return cls(x - radius, y - radius, x + radius, y + radius)

    def overlaps(self, other: Box) -> bool:
        """Whether both share an area."""
        across = self.left < other.right and other.left < self.right
        return across and self.bottom < other.top and other.bottom < self.top

    def within(self, other: Box) -> bool:
        """Whether it lies in another one."""
        across = self.left >= other.left and self.right <= other.right
        return across and self.bottom >= other.bottom and self.top <= other.top

    def distance(self, spot: Spot) -> float:
        """From its edge to a position outside it."""
        across = max(self.left - spot[0], 0.0, spot[0] - self.right)
        up = max(self.bottom - spot[1], 0.0, spot[1] - self.top)
        return math.hypot(across, up)

    def nearest(self, spot: Spot) -> Spot:
        """Its position that is nearest to another position."""
        return min(max(spot[0], self.left), self.right), min(max(spot[1], self.bottom), self.top)


def place(
    spots: Sequence[Spot],
    sizes: Sequence[tuple[float, float]],
    inside: Box,
    *,
    radius: float = 3.0,
    lines: Sequence[tuple[Spot, Spot]] = (),
) -> list[Box | None]:
    """Find a place for the label of each mark, as near to it as there is one.

    Marks with many others around them come first, since they have the least choice. The same input gives the same
    places.

    Args:
        spots: the centres of the marks.
        sizes: width and height of their labels.
        inside: what all labels lie in.
        radius: of the marks, which no label covers.
        lines: upright or level ones, which no label covers either.

    Returns:
        The box of each label; None where all is taken.
    """
    marks = [Box.around(spot, radius) for spot in spots]
    marks += [Box(min(a[0], b[0]) - 1, min(a[1], b[1]) - 1, max(a[0], b[0]) + 1, max(a[1], b[1]) + 1) for a, b in lines]
    taken: list[Box] = []
    found: list[Box | None] = [None] * len(spots)
    reach = max((width for width, _ in sizes), default=0.0)

    def crowd(number: int) -> int:
        x, y = spots[number]
        return sum(abs(x - a) < reach and abs(y - b) < reach / 2 for a, b in spots)

    for number in sorted(range(len(spots)), key=lambda each: (-crowd(each), each)):
        for box in _candidates(spots[number], sizes[number]):
            if box.within(inside) and not any(box.overlaps(other) for other in (*marks, *taken)):
                found[number] = box
                taken.append(box)
                break
    return found


def _candidates(spot: Spot, size: tuple[float, float]) -> Iterator[Box]:
    """Boxes around a mark, the nearest first; among equally near ones first right, then left, above and below."""
    width, height = size
    angles = sorted(range(DIRECTIONS), key=_preference)
    for distance in STEPS:
        for number in angles:
            angle = 2 * math.pi * number / DIRECTIONS
            x, y = spot[0] + distance * math.cos(angle), spot[1] + distance * math.sin(angle)
            left = x - width * (0.5 - 0.5 * _side(math.cos(angle)))
            bottom = y - height * (0.5 - 0.5 * _side(math.sin(angle)))
            yield Box(left, bottom, left + width, bottom + height)


def _side(cosine: float) -> float:
    """-1, 0 or 1: on which side of its mark a label stands; 0 is centred."""
    return 0.0 if abs(cosine) < 0.3 else math.copysign(1.0, cosine)


def _preference(number: int) -> tuple[int, int]:
    quarter = DIRECTIONS // 4
    order = (0, 2 * quarter, quarter, 3 * quarter)
    return (order.index(number) if number in order else len(order), number)
