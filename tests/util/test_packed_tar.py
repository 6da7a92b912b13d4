"""Archives that several threads compress."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile

import pytest

from adbench.util.packed_tar import PackedTar

ENTRIES = {"a/b.bin": bytes(range(256)) * 50, "a/empty": b"", "ä" * 120: b"long name", "z": b"\0" * 1024}


def packed(workers: int) -> bytes:
    stream = io.BytesIO()
    with PackedTar(stream, workers) as archive:
        for name, content in ENTRIES.items():
            archive.add(name, lambda content=content: content)
    return stream.getvalue()


def test_it_is_an_ordinary_archive_with_the_same_bytes_each_time(tmp_path):
    """Python and tar read the entries in their order; the number of threads moves no byte."""
    data = packed(1)
    assert data == packed(3)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        found = {each.name: archive.extractfile(each).read() for each in archive}
        assert list(found.items()) == list(ENTRIES.items())
        assert {(each.mtime, each.uid, each.mode) for each in archive} == {(0, 0, 0o644)}
    (tmp_path / "a.tar.gz").write_bytes(data)
    listed = subprocess.run(["tar", "-tzf", "a.tar.gz"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (len(listed.stdout.splitlines()), listed.stderr) == (len(ENTRIES), "")


def test_it_is_one_gzip_stream():
    """A reader that stops after the first stream gets all of it."""
    import zlib

    reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert reader.decompress(packed(2)) == gzip.decompress(packed(2))
    assert (reader.eof, reader.unused_data) == (True, b"")


def test_an_error_of_an_entry_ends_it():
    """What making an entry raises comes out at the end at the latest."""
    with pytest.raises(ZeroDivisionError), PackedTar(io.BytesIO(), 1) as archive:
        archive.add("a", lambda: 1 / 0)
