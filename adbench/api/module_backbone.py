"""A plain ``nn.Module`` as a backbone: it must be frozen; its classes, state and attributes are its key."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import partial
from pathlib import PurePath
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
import torch
from torch import Tensor, nn

from ..util import devices, integrity
from ..util.errors import TaskError, type_text
from .backbone import AnyBackbone, Backbone

FREEZE = "Freeze it with module.eval().requires_grad_(False), or call module(batch.images) to train it"

_keys: WeakKeyDictionary[nn.Module, tuple[object, str]] = WeakKeyDictionary()
"""For modules with a digested state: what shows that it is unchanged, and the key."""

_changed: WeakSet[nn.Module] = WeakSet()
"""Modules whose state changed after features were computed."""


def as_backbone(given: AnyBackbone) -> Backbone:
    """Return a backbone unchanged, or wrap a frozen ``nn.Module``.

    Raises:
        TaskError: it is no module, or one in training: its features must not be cached.
    """
    if isinstance(getattr(given, "key", None), str):
        return given  # type: ignore[return-value]
    if not isinstance(given, nn.Module):
        wanted = "one of adbench.backbones, or an nn.Module"
        raise TaskError("the backbone of features(...)", found=type_text(given), wanted=wanted)
    return ModuleBackbone(given)


class ModuleBackbone:
    """A frozen module as a backbone. It may return a tensor, or a list or a dict of tensors."""

    def __init__(self, module: nn.Module) -> None:
        """Check that ``module`` is frozen."""
        name = type(module).__name__
        trained = next((key for key, value in module.named_parameters() if value.requires_grad), None)
        if trained is not None:
            raise TaskError(f"{name} as a backbone", found=f"{trained} that requires a gradient", hint=FREEZE)
        training = next((key or name for key, part in module.named_modules() if part.training), None)
        if training is not None:
            raise TaskError(f"{name} as a backbone", found=f"{training} in training mode", hint=FREEZE)
        self.module = module

    @property
    def key(self) -> str:
        """The module's class with a digest of its structure, state and attributes, as they are at the first use."""
        return self._note_state()

    def _note_state(self) -> str:
        """Return the key, hashed again only after a change of a tensor; remember that there was one."""
        unchanged = tuple((value.data_ptr(), value._version) for value in _tensors(self.module))
        known = _keys.get(self.module)
        if known is None or known[0] != unchanged:
            found = (unchanged, _key(self.module))
            if known is not None and known[1] != found[1]:
                _changed.add(self.module)
            known = _keys[self.module] = found
        return known[1]

    def __call__(self, images: Tensor, /) -> list[Tensor]:
        """Compute the features (B, C, h, w) of images (B, 3, H, W), without a gradient.

        Raises:
            TaskError: the module returns something else.
        """
        if not devices.is_exporting():  # there, tensors have no values
            self._note_state()
        with torch.no_grad():
            found = self.module(images)
        values = list(found.values()) if isinstance(found, Mapping) else found
        levels = [values] if isinstance(values, Tensor) else values
        if not isinstance(levels, Sequence) or not all(isinstance(each, Tensor) for each in levels):
            raise _wrong(self.module, type_text(found))
        for level in levels:
            if level.ndim != 4 or level.shape[0] != images.shape[0]:
                raise _wrong(self.module, f"shape {tuple(level.shape)}")
        return list(levels)


@contextmanager
def unchanged() -> Iterator[None]:
    """Refuse modules whose state changes, within the block, between two uses as a backbone: caching is in vain there.

    Raises:
        TaskError: one did; the message names it.
    """
    before = list(_changed)
    yield
    for module in _changed:
        if module not in before:
            name = type(module).__name__
            raise TaskError(f"{name} as a backbone", found="weights that changed between two uses", hint=FREEZE)


def _wrong(module: nn.Module, found: str) -> TaskError:
    wanted = "a tensor (B, C, h, w), or a list or dict of them"
    return TaskError(f"{type(module).__name__} as a backbone returned", found=found, wanted=wanted)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _key(module: nn.Module) -> str:
    digest = _state(module)
    kept = [[name, _version_of(part), _plain(_attributes(part))] for name, part in module.named_modules()]
    digest.update(integrity.of_payload(kept).encode())
    kind = type(module)
    return f"{kind.__module__}.{kind.__qualname__}/{digest.hexdigest()[:12]}"


def _state(module: nn.Module) -> hashlib._Hash:
    """A digest of a module's structure and of all its tensors."""
    digest = hashlib.sha256(repr(module).encode())
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        flat = value.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(flat.shape)}{flat.dtype}".encode())
        digest.update(flat.reshape(-1).view(torch.uint8).numpy().data)
    return digest


def _version_of(part: nn.Module) -> str:
    """The version of the package that defines a module's class; that of torch counts without it."""
    top = type(part).__module__.partition(".")[0]
    return "" if top == "torch" else str(getattr(sys.modules.get(top), "__version__", ""))


_OF_ALL = frozenset(vars(nn.Module()))
"""Attributes that every module has: its tensors, its parts and its hooks."""


def _attributes(part: nn.Module) -> dict[str, object]:
    """What a module keeps besides these, such as the number of its last block; its ``repr`` need not show it."""
    return {key: value for key, value in vars(part).items() if key not in _OF_ALL}


def _plain(value: object, above: tuple[int, ...] = ()) -> object:
    """A value as nested lists that ``of_payload`` digests, with what objects keep; a circle ends where it closes."""
    if value is None or isinstance(value, (bool, int, float, str, bytes, Tensor)):
        return value
    if isinstance(value, (PurePath, Enum, complex, torch.dtype)):
        return str(value)
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), value.tobytes()]
    if isinstance(value, nn.Module):  # one that is no part of the network's state
        return _state(value).hexdigest()
    if id(value) in above:
        return "above"
    above = (*above, id(value))
    if isinstance(value, Mapping):
        return [[_plain(key, above), _plain(each, above)] for key, each in value.items()]
    if isinstance(value, (list, tuple)):
        return [_plain(each, above) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted(repr(_plain(each, above)) for each in value)
    if isinstance(value, partial):
        return [_plain(each, above) for each in (value.func, value.args, value.keywords)]
    if name := getattr(value, "__qualname__", ""):  # a function or a class, whose source counts elsewhere
        return f"{getattr(value, '__module__', '')}.{name}"
    kind = type(value)
    if kind.__module__.partition(".")[0] in sys.stdlib_module_names:  # such as a lock, or a logger with all others
        return kind.__qualname__
    return [kind.__qualname__, _plain(getattr(value, "__dict__", {}), above)]
