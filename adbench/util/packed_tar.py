"""Writes a .tar.gz file entry by entry, on several threads, with the same bytes for the same entries.

Each entry is compressed for itself and ends at a whole byte, so that threads can work at once; together they are one
ordinary gzip stream. Only a few entries are in memory at a time.
"""

from __future__ import annotations

import struct
import tarfile
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO

LEVEL = 1
"""Maps hardly shrink; higher levels take longer for next to nothing."""

_HEAD = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x04\xff"  # deflate, no name, no time, fastest, no system
_BLOCK = 512

Made = Callable[[], bytes]


class PackedTar:
    """A .tar.gz file that is being written; use it as a context manager.

    Times, owners and rights of its files are always the same.

    Args:
        stream: where it goes.
        workers: threads that make and compress entries.
    """

    def __init__(self, stream: BinaryIO, workers: int) -> None:
        self._stream, self._most = stream, workers + 1
        self._pool = ThreadPoolExecutor(workers)
        self._waiting: deque[Future[tuple[bytes, bytes]]] = deque()
        self._crc = self._bytes = 0
        stream.write(_HEAD)

    def add(self, name: str, make: Made) -> None:
        """Add a file whose content a thread makes; what ``make`` raises, a later call raises.

        Raises:
            OSError: the file can't be written.
        """
        self._waiting.append(self._pool.submit(_packed, name, make))
        while len(self._waiting) > self._most:
            self._take(*self._waiting.popleft().result())

    def _take(self, plain: bytes, packed: bytes) -> None:
        self._crc, self._bytes = zlib.crc32(plain, self._crc), self._bytes + len(plain)
        self._stream.write(packed)

    def __enter__(self) -> PackedTar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                while self._waiting:
                    self._take(*self._waiting.popleft().result())
                self._end()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def _end(self) -> None:
        end = bytes(2 * _BLOCK)
        packer = _packer()
        self._take(end, packer.compress(end) + packer.flush(zlib.Z_FINISH))
        self._stream.write(struct.pack("<LL", self._crc, self._bytes & 0xFFFFFFFF))


def _packed(name: str, make: Made) -> tuple[bytes, bytes]:
    """An entry with its head, as it is and compressed."""
    content = make()
    entry = tarfile.TarInfo(name)  # of 1970, of user 0
    entry.size, entry.mode = len(content), 0o644
    plain = b"".join((entry.tobuf(tarfile.PAX_FORMAT), content, bytes(-len(content) % _BLOCK)))
    packer = _packer()
    return plain, packer.compress(plain) + packer.flush(zlib.Z_FULL_FLUSH)


def _packer() -> zlib._Compress:
    return zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
