"""Check of FrEIA, which builds the normalizing flows: the released package, unchanged, with its numbers.

Programs of papers bring changed copies of FrEIA along. A folder of that name in the working folder or in PYTHONPATH
comes before the installed package, and computes something else without a word.
"""

from __future__ import annotations

import base64
import hashlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...util import installed, pip
from ...util.errors import described
from .finding import Asked, Finding

if TYPE_CHECKING:
    import torch

NAME = "FrEIA"

CLOSE = 1e-9
"""Largest difference from the stored numbers, in float64."""

CHANNELS, SIDES, CONDITIONS = 5, (2, 1), 2

KNOWN: Mapping[str, Sequence[float]] = {
    "output": (
        1.13091773382,
        1.089475331638,
        0.320018663688,
        0.31526798751,
        0.036702136014,
        0.022449320739,
        -0.647770449792,
        -0.644387372439,
        1.062216176975,
        1.085732130101,
    ),
    "log-Jacobian": (-33.3494067690428,),
}
"""What the small flow gives with FrEIA 0.2: its output in order, and its log-Jacobian."""


def check(asked: Asked) -> Iterator[Finding]:
    """Where FrEIA comes from, whether its files are those of the package, and what a small flow computes."""
    version, again = installed.version_of(NAME), pip.line(["--force-reinstall", "--no-deps", f"{NAME}>=0.2"])
    place = _imported_from()
    if place is None:
        yield Finding(NAME, "red", "not installed", pip.line([f"{NAME}>=0.2"]))
        return
    package = _package_folder()
    if package is None or package.resolve() != place.resolve():
        found = f"imported from {place}, " + (f"not from the package in {package}" if package else "no package")
        remedy = f"Remove or rename {place}, or take its folder out of PYTHONPATH"
        yield Finding(NAME, "red", found, remedy if package else f"{remedy}; then: {again}")
        return
    if changed := changed_files():
        yield Finding(NAME, "red", f"{version}, but its files were changed: {', '.join(changed)}", again)
        return
    try:
        differs = difference(small_flow())
    except ModuleNotFoundError as error:
        if not str(error.name).startswith(NAME):  # without torch or NumPy nothing can be said about FrEIA
            raise
        yield Finding(NAME, "red", f"{version}: {described(error)}", again)
        return
    except Exception as error:  # whatever a changed package raises
        yield Finding(NAME, "red", f"{version}: a small flow fails: {described(error)}", again)
        return
    if differs > CLOSE:
        yield Finding(NAME, "red", f"{version} computes other numbers than FrEIA 0.2, by up to {differs:.2g}", again)
    else:
        yield Finding(NAME, "green", f"{version}, the released package; a small flow gives the known numbers")


def _imported_from() -> Path | None:
    """The folder from which Python imports FrEIA."""
    try:
        spec = find_spec(NAME)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent


def _package_folder() -> Path | None:
    """The folder of the installed distribution."""
    try:
        return Path(str(metadata.distribution(NAME).locate_file(NAME)))
    except metadata.PackageNotFoundError:
        return None


def changed_files() -> list[str]:
    """Modules of the installed FrEIA whose content is not what its distribution recorded."""
    changed = []
    for file in metadata.files(NAME) or ():
        if file.suffix != ".py" or file.hash is None:
            continue
        try:
            digest = hashlib.new(file.hash.mode, Path(str(file.locate())).read_bytes()).digest()
        except OSError:
            changed.append(f"{file} (missing)")
            continue
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            changed.append(str(file))
    return changed


def small_flow() -> dict[str, list[float]]:
    """Run two conditional coupling blocks and a permutation over a map, with fixed weights, there and back.

    Returns:
        The output and the log-Jacobian, as in ``KNOWN``.

    Raises:
        ValueError: the inverse doesn't restore the input.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of backslashes in its docstrings
        framework, modules = import_module(f"{NAME}.framework"), import_module(f"{NAME}.modules")
        with torch.random.fork_rng(devices=[]):
            flow = _built(framework, modules)
    x = _wave(0.7, (1, CHANNELS, *SIDES))
    condition = _wave(1.3, (1, CONDITIONS, *SIDES))
    with torch.no_grad():
        output, jacobian = flow(x, c=[condition] * 2)
        back, _ = flow(output, c=[condition] * 2, rev=True)
    if not torch.allclose(back, x, atol=1e-9):
        raise ValueError("its inverse doesn't restore the input")
    return {"output": output.flatten().tolist(), "log-Jacobian": jacobian.flatten().tolist()}


def _built(framework: Any, modules: Any) -> Any:
    import torch

    def subnet(inputs: int, outputs: int) -> torch.nn.Module:
        return torch.nn.Conv2d(inputs, outputs, 1)

    flow = framework.SequenceINN(CHANNELS, *SIDES)
    for number in range(2):
        flow.append(
            modules.AllInOneBlock, cond=number, cond_shape=(CONDITIONS, *SIDES), subnet_constructor=subnet,
            affine_clamping=1.9, global_affine_type="SOFTPLUS",
        )  # fmt: skip
    flow.append(modules.PermuteRandom, seed=3)
    flow = flow.double()
    shift = torch.eye(CHANNELS, dtype=torch.float64).roll(1, 0)[..., None, None]
    with torch.no_grad():
        for number, (name, value) in enumerate(sorted(flow.named_parameters())):
            if name.endswith("w_perm"):
                value.copy_(shift)
            elif name.endswith("w_perm_inv"):
                value.copy_(shift.transpose(0, 1))
            elif value.is_floating_point():  # a fixed permutation is none
                value.copy_(_wave(number + 0.5, value.shape) + ("global_scale" in name))
    return flow


def _wave(start: float, shape: Sequence[int]) -> torch.Tensor:
    """Numbers in [-1, 1] that need no random generator."""
    import torch

    count = math.prod(shape)
    return torch.tensor([math.sin(start + 0.9 * number) for number in range(count)], dtype=torch.float64).view(*shape)


def difference(found: Mapping[str, Sequence[float]]) -> float:
    """The largest difference from ``KNOWN``; infinite for another number of values, or ones that are not finite."""
    largest = 0.0
    for key, known in KNOWN.items():
        values = found[key]
        if len(values) != len(known) or not all(map(math.isfinite, values)):
            return math.inf
        largest = max(largest, *(abs(one - other) for one, other in zip(values, known, strict=True)))
    return largest
