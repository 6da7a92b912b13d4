"""Digests that tell a damaged file from the one that was written.

A process reads a cached file in full when it first opens it. The digest (XXH3) takes some 10 GB/s where the system
still has the file in memory, else the disk limits it. Reading also fetches the file for later use.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile, is_zipfile
from zlib import error as zlib_error

import xxhash

if TYPE_CHECKING:
    from torch import Tensor

Hasher = xxhash.xxh3_128

_BLOCK = 1 << 20
_SEAL = "digest"
_FOLDER = 0x10  # among the attributes of a record in a zip archive

_intact: set[tuple[object, ...]] = set()
"""Files that were found intact in this process: path, identity of the file, part and digest."""


def is_intact(path: Path, digest: str, *, start: int = 0, length: int | None = None) -> bool:
    """Whether a file, or ``length`` bytes of it from ``start``, has the content of ``digest``.

    A process reads a file again only if it was replaced or written to.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb", buffering=0) as stream:
        identity = _identity(stream.fileno())
        part = (os.path.abspath(path), identity, start, length, digest)
        if part in _intact:
            return True
        hasher, left = Hasher(), os.fstat(stream.fileno()).st_size if length is None else length
        stream.seek(start)
        block = memoryview(bytearray(_BLOCK))
        while left > 0 and (count := stream.readinto(block[: min(left, _BLOCK)])):
            hasher.update(block[:count])
            left -= count
    if hasher.hexdigest() != digest:
        return False
    _intact.add(part)
    return True


def _identity(descriptor: int) -> tuple[int, ...]:
    """Facts that change when a file is replaced or written to."""
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def seal(facts: Mapping[str, Any]) -> str:
    """Write facts as one line of JSON, with a digest over them."""
    return _canonical({**facts, _SEAL: _digest(facts)})


def unseal(text: str | bytes) -> dict[str, Any]:
    """Read what ``seal`` wrote.

    Raises:
        ValueError: it isn't what was written.
    """
    try:
        facts = json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON nested too deep") from error
    if not isinstance(facts, dict) or facts.pop(_SEAL, None) != _digest(facts):
        raise ValueError("JSON without its digest, or with that of another content")
    return facts


def _digest(facts: Mapping[str, Any]) -> str:
    return Hasher(_canonical(facts).encode()).hexdigest()


def _canonical(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, sort_keys=True)


# ---------------------------------------------------------------- what torch saves


def damage_of(path: Path) -> str:
    """Say which record of a file of ``torch.save`` is damaged; "" where none is.

    Such a file is a zip archive with a checksum (CRC-32) of each record, which ``torch.load`` doesn't check. Files
    without checksums (those of ``torch.serialization.set_crc32_options(False)`` and of torch before 1.6) pass.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as stream:
        identity = (os.path.abspath(path), _identity(stream.fileno()))
    if identity in _intact:
        return ""
    name = "its directory"
    try:
        if not is_zipfile(path):
            return ""
        with ZipFile(path) as archive:
            records = archive.infolist()
            if all(record.CRC == 0 for record in records):
                return ""
            for record in records:
                name = record.filename
                if record.external_attr & _FOLDER and record.file_size:  # torch would leave its memory unset
                    return name
                with archive.open(record) as stream:
                    while stream.read(_BLOCK):
                        pass
    except (BadZipFile, zlib_error, EOFError, ValueError, RuntimeError, NotImplementedError):
        return name
    except OSError as error:
        if error.errno != errno.EINVAL:  # a position before the file's beginning; other errors are the disk's
            raise
        return name
    _intact.add(identity)
    return ""


def of_payload(payload: Any) -> str:
    """The digest of nested dicts and lists of tensors, numbers and texts; the same on any device."""
    hasher = Hasher()
    _add(hasher, payload)
    return hasher.hexdigest()


def _add(hasher: xxhash.xxh3_128, value: Any) -> None:
    """Feed a value, with its type and length, so that ["a", "b"] and ["ab"] differ."""
    import torch

    if isinstance(value, Mapping):
        hasher.update(b"{%d" % len(value))
        for key, each in value.items():
            hasher.update(f"{key!r}:".encode())
            _add(hasher, each)
    elif isinstance(value, (list, tuple)):
        hasher.update(b"[%d" % len(value))
        for each in value:
            _add(hasher, each)
    elif isinstance(value, torch.Tensor):
        hasher.update(f"{value.dtype}{tuple(value.shape)}".encode())
        if value.layout == torch.strided and not value.is_quantized:  # other tensors have no bytes in one order
            hasher.update(_bytes_of(value))
    elif value is None or isinstance(value, (bool, int, float, str, bytes)):
        hasher.update(f"{value!r};".encode())
    else:  # the text of other objects may contain an address
        hasher.update(f"{type(value).__qualname__};".encode())


def _bytes_of(tensor: Tensor) -> memoryview:
    import torch

    values = tensor.detach().cpu()
    if values.is_complex():
        values = torch.view_as_real(values.resolve_conj())
    return values.contiguous().reshape(-1).view(torch.uint8).numpy().data
