"""Writes a traced model as a file for ONNX, OpenVINO or torch."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from ...util.errors import TaskError, UsageError
from .facts import IMAGES, KEY, Facts, Target
from .program import failed, quiet

PACKAGES: dict[Target, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
    "torch": (),
}
"""Packages that writing and running a file needs; setup.cfg has an extra of each target's name."""

LIMIT = 2**31 - 2**20
"""Bytes of weights from which on they are stored beside the ONNX file: its format ends at 2 GB."""

OPSET = 20
"""Version of ONNX's operators."""

DATA = ".data"
"""Added to the name of an ONNX file, for the file with its weights."""


def require_packages(target: Target) -> None:
    """Refuse a target whose packages are not installed. Raises ``UsageError``."""
    missing = [name for name in PACKAGES[target] if find_spec(name) is None]
    if missing:
        raise UsageError(f"--to {target}", found=f"no {' and no '.join(missing)}", hint=f'pip install -e ".[{target}]"')


def write(program: torch.export.ExportedProgram, target: Target, path: Path, facts: Facts) -> None:
    """Write a program; other files that belong to it are named after it and lie beside it.

    Args:
        program: the traced model.
        target: the format.
        path: the file.
        facts: its metadata.

    Raises:
        TaskError: the format lacks an operation of the model.
    """
    writers: dict[Target, Callable[[Any, Path, Facts], None]] = {
        "onnx": _write_onnx, "openvino": _write_openvino, "torch": _write_torch,
    }  # fmt: skip
    writers[target](program, path, facts)


def parts_of(path: Path) -> list[Path]:
    """The files that may belong to an exported one, itself last: it exists only once all of it is there."""
    return [path.with_name(path.name + DATA), path.with_suffix(".bin"), path]


def weight_bytes(program: torch.export.ExportedProgram) -> int:
    """Bytes of all weights and constants of a program."""
    found = [*program.state_dict.values(), *program.constants.values()]
    tensors = {each.data_ptr(): each for each in found if isinstance(each, torch.Tensor)}
    return sum(each.nbytes for each in tensors.values())


def _write_torch(program: torch.export.ExportedProgram, path: Path, facts: Facts) -> None:
    with quiet():
        torch.export.save(program, path, extra_files={KEY: facts.to_text()})


def _write_onnx(program: torch.export.ExportedProgram, path: Path, facts: Facts) -> None:
    try:
        with quiet(), contextlib.redirect_stdout(io.StringIO()):  # torch prints its progress
            made = torch.onnx.export(
                program, (), dynamo=True, input_names=[IMAGES], output_names=list(facts.outputs),
                opset_version=OPSET, verbose=False,
            )  # fmt: skip
    except Exception as error:  # of many types
        raise failed(facts.method, error) from error
    if made is None:
        raise TaskError(f"{facts.method} can't be exported", found="no program from torch's exporter")
    made.model.metadata_props[KEY] = facts.to_text()
    made.model.doc_string = f"{facts.method}, {facts.dataset}/{facts.class_name}"
    made.save(path, external_data=weight_bytes(program) > LIMIT)


def _write_openvino(program: torch.export.ExportedProgram, path: Path, facts: Facts) -> None:
    import openvino

    onnx = path.with_suffix(".onnx")
    _write_onnx(program, onnx, facts)
    try:
        model = openvino.convert_model(onnx)
    except Exception as error:  # of many types
        raise failed(facts.method, error) from error
    model.set_rt_info(facts.to_text(), [KEY])
    openvino.save_model(model, path, compress_to_fp16=False)
    for each in (onnx, onnx.with_name(onnx.name + DATA)):
        each.unlink(missing_ok=True)
