"""A plain ``nn.Module`` as a backbone: it must be frozen, and its class and state are its key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn

from ..util import devices
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
        """The module's class with a digest of its structure and state."""
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
    digest = hashlib.sha256(repr(module).encode())
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        flat = value.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(flat.shape)}{flat.dtype}".encode())
        digest.update(flat.reshape(-1).view(torch.uint8).numpy().data)
    kind = type(module)
    return f"{kind.__module__}.{kind.__qualname__}/{digest.hexdigest()[:12]}"
