"""What an exported file says of itself: its model, its input, its threshold, and what made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ...api.data import Size
from ...results import serialization
from ...util.errors import UsageError, first_line

Input = Literal["uint8", "float"]
"""uint8 is (B, H, W, 3) in RGB, as Pillow and NumPy have decoded images; float is (B, 3, H, W) in [0, 1], as torch."""

Target = Literal["onnx", "openvino", "torch"]
SUFFIXES: Mapping[Target, str] = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}
"""Formats of files, and how their names end."""

KEY = "adbench"
"""Under this name the facts stand in a file's metadata, as JSON."""

IMAGES, SCORE, MAP, VERDICT = "images", "score", "map", "verdict"
"""Names of the input and of the outputs."""


@dataclass(frozen=True)
class Facts:
    """The metadata of an exported file.

    Attributes:
        method: name of the method.
        dataset: the data set of its training.
        class_name: the class whose threshold is inside.
        input: type and layout of its images.
        size: height and width of the model's input, to which images are resized inside, and of its maps.
        image_size: the only height and width of images that it takes; None for any.
        threshold: a score above it is a defect; None if the run suggests none, and there is no verdict then.
        threshold_rule: where the threshold comes from.
        outputs: names of the outputs, in order.
        run: name of the run.
        provenance: what made the model, as in its checkpoint.
        options: of the method.
        levels: the values that became black and white of 8 bits, such as "0:4095", in images of more; else empty.
    """

    method: str
    dataset: str
    class_name: str
    input: Input
    size: Size
    image_size: Size | None
    threshold: float | None
    threshold_rule: str
    outputs: tuple[str, ...]
    run: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    levels: str = ""

    def to_text(self) -> str:
        """The facts as JSON."""
        return serialization.to_text(self)

    @classmethod
    def of_text(cls, text: str | None, path: object) -> Facts:
        """Read what ``to_text`` wrote into a file.

        Raises:
            UsageError: the file has none, or others.
        """
        if not text:
            raise UsageError(f"{path}", found="a file of another program", wanted="one that adbench export wrote")
        try:
            return serialization.from_text(cls, text)
        except ValueError as error:
            raise UsageError(f"{path}, metadata '{KEY}'", found=first_line(error)) from error
