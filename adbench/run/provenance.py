"""Where a checkpoint comes from: what its file says of its run, wherever it is copied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Provenance:
    """What made a checkpoint.

    Attributes:
        run: name of the run.
        command: the command line.
        data: digest of the images and masks (``Identity.data``).
        code: digest of the method's code (``Identity.code``).
        numerics: number of the core's numerics.
        backbone_weights: digest of the backbone's weights; None without a backbone.
        device: name of the device.
        packages: versions by package.
    """

    run: str
    command: str
    data: str
    code: str
    numerics: int
    backbone_weights: str | None
    device: str
    packages: Mapping[str, str] = field(default_factory=dict)

    def to_table(self) -> dict[str, Any]:
        """The fields as a table of a checkpoint."""
        return {**asdict(self), "packages": dict(self.packages)}

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Provenance:
        """Read the fields from a checkpoint of any writer.

        Raises:
            ValueError: a field is missing or invalid; the text names it.
        """
        for name in ("run", "command", "data", "code", "device"):
            if not isinstance(table.get(name), str):
                raise ValueError(name)
        weights, packages, numerics = table.get("backbone_weights"), table.get("packages"), table.get("numerics")
        if not (weights is None or isinstance(weights, str)):
            raise ValueError("backbone_weights")
        if isinstance(numerics, bool) or not isinstance(numerics, int):
            raise ValueError("numerics")
        if not isinstance(packages, Mapping) or not all(
            isinstance(text, str) for pair in packages.items() for text in pair
        ):
            raise ValueError("packages")
        return cls(
            run=table["run"], command=table["command"], data=table["data"], code=table["code"], numerics=numerics,
            backbone_weights=weights, device=table["device"], packages=dict(packages),
        )  # fmt: skip
