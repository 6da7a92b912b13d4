"""Traces a trained model with its preprocessing and its threshold into one program of torch."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...api import options as options_module
from ...api.data import Size
from ...util.errors import AdbenchError, TaskError, UsageError, described, first_line
from ..trained import TrainedModel
from .facts import MAP, SCORE, VERDICT, Facts, Input
from .preprocessing import Preprocessing

EXAMPLES = 2
"""Images with which a model is traced: torch takes a dimension of one for a constant."""

ODD: Size = (41, 27)
"""Added to the input's height and width for an image that is traced: no two lengths in the program are equal."""

KNOWN = (
    (r"(?:aten[.:]+|operator |_linalg_)(\w+)", "an operation that the format lacks, {0}"),
    (r"data-dependent|unbacked|GuardOnDataDependent", "a step whose sizes depend on the values of the image"),
    (r"numpy|\.item\(\)|tolist|data pointer", "a step outside of torch"),
)
"""Messages of exporters, and what they mean in plain words."""


class FileModel(nn.Module):
    """Images as they are decoded -> image scores (B,), and perhaps maps (B, h, w) and verdicts (B,).

    Args:
        model: the trained model.
        facts: its input and its threshold.
    """

    def __init__(self, model: TrainedModel, facts: Facts) -> None:
        super().__init__()
        self.facts = facts
        self.preprocessing = Preprocessing(model.framing, facts.image_size)
        self.scoring = model.detector.module()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Score images; numbers are float32, verdicts bool."""
        score, found = self.scoring(self.preprocessing(levels(images, self.facts.input)))
        outputs = [score.float()]
        if found is not None:
            outputs.append(found.float())
        if self.facts.threshold is not None:
            outputs.append(score > self.facts.threshold)
        return tuple(outputs)


def levels(images: Tensor, kind: Input) -> Tensor:
    """Images of either kind as grey levels 0 to 255, float32 (B, 3, H, W)."""
    if kind == "uint8":
        return images.permute(0, 3, 1, 2).float()
    return (images.clamp(0, 1) * 255).round()


def facts_of(model: TrainedModel, class_name: str, kind: Input, image_size: Size | None, *, has_map: bool) -> Facts:
    """The metadata of a model's file."""
    stored, saved = model.threshold(class_name), model.saved
    outputs = [SCORE, *([MAP] if has_map else []), *([VERDICT] if stored else [])]
    return Facts(
        method=model.method.name,
        dataset=saved.dataset,
        class_name=class_name,
        input=kind,
        size=model.size,
        image_size=image_size,
        threshold=stored.value if stored else None,
        threshold_rule=stored.rule if stored else "",
        outputs=tuple(outputs),
        run=saved.provenance.run if saved.provenance else "",
        provenance=asdict(saved.provenance) if saved.provenance else {},
        options=options_module.to_json(model.options),
        levels=saved.levels.text if saved.levels else "",
    )


def trace(
    model: TrainedModel, class_name: str, kind: Input, image_size: Size | None = None
) -> tuple[torch.export.ExportedProgram, Facts]:
    """Trace a model on the CPU in float32, for any number of images.

    Args:
        model: on the CPU, with ``amp`` off.
        class_name: whose threshold goes in.
        kind: type of the images.
        image_size: the only height and width that the file takes; None for any.

    Raises:
        UsageError: the method says that it can't be exported.
        TaskError: it can't be traced; the message says why.
    """
    refuse(model)
    height, width = image_size or (side + odd for side, odd in zip(model.size, ODD, strict=True))
    shape = (EXAMPLES, height, width, 3) if kind == "uint8" else (EXAMPLES, 3, height, width)
    images = torch.zeros(shape, dtype=torch.uint8 if kind == "uint8" else torch.float32)
    facts = facts_of(model, class_name, kind, image_size, has_map=True)
    with torch.no_grad(), quiet():
        module = FileModel(model, facts).eval()
        found = module(images)  # makes what is made once, such as a backbone's network
        if len(found) < len(facts.outputs):
            facts = replace(facts, outputs=tuple(name for name in facts.outputs if name != MAP))
        try:
            return torch.export.export(module, (images,), dynamic_shapes=(_free(kind, image_size),)), facts
        except AdbenchError:
            raise
        except Exception as error:  # exporters raise errors of many types
            raise failed(model.method.name, error) from error


def refuse(model: TrainedModel) -> None:
    """Refuse a method that says that it can't be exported, and tiles. Raises ``UsageError``."""
    if model.framing.is_tiled:
        raise UsageError(
            f"{model.saved.path} can't be exported", found="a model whose images are cut into tiles",
            wanted="one of whole images",
            hint="adbench predict and adbench.load cut and join them; a file would score a single tile",
        )  # fmt: skip
    if reason := model.detector.not_exportable:
        raise UsageError(f"{model.method.name} can't be exported", found=reason)


def failed(method: str, error: Exception) -> TaskError:
    """An exporter's error in plain words."""
    text = f"{described(error)} {error} {error.__cause__ or ''}"
    for pattern, words in KNOWN:
        if match := re.search(pattern, text):
            return TaskError(f"{method} can't be exported", found=words.format(*match.groups()))
    return TaskError(f"{method} can't be exported", found=first_line(error))


def _free(kind: Input, image_size: Size | None) -> dict[int, Any]:
    """The dimensions of the images that may change."""
    free: dict[int, Any] = {0: torch.export.Dim("batch")}
    if image_size is None:
        first = 1 if kind == "uint8" else 2
        free |= {first: torch.export.Dim("height"), first + 1: torch.export.Dim("width")}
    return free


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what exporters say of their own inside, and keep attention in the form that they know."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        torch.backends.mha.set_fastpath_enabled(fast)
