"""Runs exported files: images in, scores, maps and verdicts out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...util.errors import UsageError, absent, first_line
from .facts import KEY, MAP, SCORE, SUFFIXES, VERDICT, Facts, Target
from .writers import require_packages


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a file says of a batch: scores (B,), maps (B, h, w) and verdicts (B,), which it may lack."""

    score: NDArray[np.float32]
    map: NDArray[np.float32] | None
    verdict: NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class Runner:
    """An exported file that is ready to run.

    Attributes:
        path: the file.
        facts: its metadata.
        target: its format.
        program: the program that runs it, with its version.
        compute: from images to the outputs in the order of the facts.
    """

    path: Path
    facts: Facts
    target: Target
    program: str
    compute: Callable[[NDArray[Any]], Sequence[NDArray[Any]]]

    def __call__(self, images: NDArray[np.uint8]) -> Outputs:
        """Score images, uint8 (B, H, W, 3), whatever type the file takes."""
        given: NDArray[Any] = images
        if self.facts.input == "float":
            given = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32) / 255
        found = dict(zip(self.facts.outputs, self.compute(given), strict=True))
        return Outputs(found[SCORE], found.get(MAP), found.get(VERDICT))


def open_file(path: Path, threads: int, *, trust: bool = False) -> Runner:
    """Load an exported file.

    Args:
        path: a file that ``adbench export`` wrote.
        threads: that compute on the CPU.
        trust: whether code in the file may run. ``torch.export.load`` runs code of a ``.pt2`` file: it unpickles old
            archives and weights of some kinds, loads compiled libraries, and executes the guards of the program. The
            other formats hold no code.

    Raises:
        UsageError: it is missing, broken or another program's, it may run code and isn't trusted, or the package that
            runs it isn't installed.
    """
    target = target_of(path)
    if target is None:
        raise UsageError(f"{path}", found=f"'{path.suffix}'", wanted=f"one of {', '.join(SUFFIXES.values())}")
    if not path.is_file():
        raise UsageError(f"{path}", found=absent(path, "file"), wanted="an exported model")
    if target == "torch" and not trust:
        raise UsageError(
            f"{path}", found="a .pt2 file, which may run any code when it is opened",
            wanted="trust in whoever wrote it", hint="Give --trust if you made it; .onnx files hold no code",
        )  # fmt: skip
    require_packages(target)
    openers = {"onnx": _open_onnx, "openvino": _open_openvino, "torch": _open_torch}
    try:
        return openers[target](path, threads)
    except UsageError:
        raise
    except Exception as error:  # each runtime has its own
        raise UsageError(f"{path} can't be loaded", found=first_line(error), hint="Export it again") from error


def target_of(path: Path) -> Target | None:
    """The format of a file by its name; None for another one."""
    return next((target for target, suffix in SUFFIXES.items() if path.suffix.lower() == suffix), None)


def _open_onnx(path: Path, threads: int) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    facts = Facts.of_text(session.get_modelmeta().custom_metadata_map.get(KEY), path)
    name = session.get_inputs()[0].name
    version = f"onnxruntime {onnxruntime.__version__}"
    return Runner(path, facts, "onnx", version, lambda images: session.run(list(facts.outputs), {name: images}))


def _open_openvino(path: Path, threads: int) -> Runner:
    import openvino

    model = openvino.Core().read_model(path)
    facts = Facts.of_text(str(model.get_rt_info([KEY]).astype(str)) if model.has_rt_info([KEY]) else None, path)
    # on processors with bf16 its default is that precision
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.compile_model(model, "CPU", settings)
    version = f"openvino {openvino.__version__.partition('-')[0]}"

    def compute(images: NDArray[Any]) -> Sequence[NDArray[Any]]:
        found = compiled([images])
        return [np.array(found[number]) for number in range(len(facts.outputs))]

    return Runner(path, facts, "openvino", version, compute)


def _open_torch(path: Path, threads: int) -> Runner:
    import torch

    extra = {KEY: ""}
    module = torch.export.load(path, extra_files=extra).module()
    facts = Facts.of_text(extra[KEY], path)

    def compute(images: NDArray[Any]) -> Sequence[NDArray[Any]]:
        with torch.no_grad():
            return [each.numpy() for each in module(torch.from_numpy(images))]

    return Runner(path, facts, "torch", f"torch {torch.__version__.partition('+')[0]}", compute)
