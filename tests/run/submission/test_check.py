"""What the check of a submission's archive refuses: all that the server does, and what it lets through."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path

import made_submissions as made
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adbench.run.submission.check import check
from adbench.run.submission.layout import MAPS, THRESHOLDED, Private

IMAGES = {Private("can", "test_private", f"{number:03d}_regular"): (5, 7) for number in range(2)}
IMAGES[Private("vial", "test_private_mixed", "000_mixed")] = (4, 3)
FIRST = "sub/anomaly_images/can/test_private/000_regular.tiff"
FIRST_PNG = "sub/anomaly_images_thresholded/can/test_private/000_regular.png"
HALVES = np.linspace(-1, 1, 35).astype(np.float16).reshape(5, 7)


def sound() -> dict[str, bytes]:
    """An archive in which nothing is wrong."""
    files = {}
    for image, size in IMAGES.items():
        files[f"sub/{image.path(MAPS)}"] = made.tiff(np.linspace(-1, 1, size[0] * size[1]).astype("f2").reshape(size))
        files[f"sub/{image.path(THRESHOLDED)}"] = made.png(np.full(size, 255, np.uint8))
    return files


def special(kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo()
    entry.type, entry.linkname = kind, "/etc/passwd"
    return entry


def found(files, tmp_path: Path, images=IMAGES) -> list[tuple[str, str, list[str]]]:
    path = made.pack(files, tmp_path / "sub.tar.gz")
    with path.open("rb") as stream:
        return [(fault.place, fault.found, fault.files) for fault in check(stream, "sub", images)]


def test_a_sound_archive_has_no_fault(tmp_path):
    """Folders may have entries of their own, and compression inside a TIFF is no fault."""
    folders = {"sub": special(tarfile.DIRTYPE), "sub/anomaly_images/can": special(tarfile.DIRTYPE)}
    assert found({**folders, **sound()}, tmp_path) == []
    dotted = {f"./{name}": content for name, content in sound().items()}
    assert found({**dotted, f"./{FIRST}": made.tiff(HALVES, compression="zlib")}, tmp_path) == []


def pair(values: np.ndarray) -> np.ndarray:
    return np.stack([values, values])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (made.tiff(HALVES.astype(np.float32)), "float32"),
        (made.tiff(HALVES.astype(np.uint16)), "uint16"),
        (made.tiff(HALVES[:4]), "4x7 pixels"),
        (made.tiff(HALVES.T), "7x5 pixels"),
        (made.tiff(np.where(HALVES > 0.9, np.nan, HALVES).astype(np.float16)), "NaN"),
        (made.tiff(np.where(HALVES > 0.9, np.inf, HALVES).astype(np.float16)), "infinity"),
        (made.tiff(np.where(HALVES > 0.9, -np.inf, HALVES).astype(np.float16)), "infinity"),
        (made.tiff(np.stack([HALVES] * 3, axis=-1), photometric="rgb"), "shape 5x7x3"),
        (made.tiff(pair(HALVES), photometric="minisblack"), "2 images in one file"),
        (made.tiff(HALVES)[:-9], "no readable TIFF"),
        (made.tiff(HALVES)[:40], "no readable TIFF"),
        (made.png(np.zeros((5, 7), np.uint8)), "no readable TIFF"),
        (b"", "no readable TIFF"),
        (made.tiff(HALVES) + bytes(1 << 21), "bytes"),
    ],
)
def test_maps_that_the_server_refuses_or_measures_wrongly(content, said, tmp_path):
    """Each is named by its folder and file, and nothing else is."""
    ((place, text, files),) = found({**sound(), FIRST: content}, tmp_path)
    assert (place, files) == ("anomaly_images/can/test_private", ["000_regular.tiff"])
    assert said in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (made.png(np.zeros((5, 7), np.uint8), "1"), "mode 1"),
        (made.png(np.zeros((5, 7), np.uint8), "RGB"), "mode RGB"),
        (made.png(np.zeros((5, 7), np.uint16)), "mode I;16"),
        (made.png(np.eye(5, 7, dtype=np.uint8)), "values between 0 and 255"),
        (made.png(np.full((5, 7), 254, np.uint8)), "values between 0 and 255"),
        (made.png(np.zeros((7, 5), np.uint8)), "7x5 pixels"),
        (made.png(np.zeros((5, 7), np.uint8), kind="BMP"), "no readable PNG"),
        (made.png(np.zeros((5, 7), np.uint8))[:-12], "no readable PNG"),
        (b"", "no readable PNG"),
    ],
)
def test_thresholded_maps_that_are_none(content, said, tmp_path):
    """8-bit grey of 0 and 255 at the image's size, as PNG."""
    ((place, text, files),) = found({**sound(), FIRST_PNG: content}, tmp_path)
    assert (place, files) == ("anomaly_images_thresholded/can/test_private", ["000_regular.png"])
    assert said in text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("sub/readme.txt", b"x", "another file"),
        ("sub/anomaly_images/can/test_private/002_regular.tiff", made.tiff(HALVES), "another file"),
        ("sub/anomaly_images/can/test_private/._000_regular.tiff", b"", "another file"),
        ("sub/anomaly_images/bottle", special(tarfile.DIRTYPE), "another folder"),
        ("other/anomaly_images/can/test_private/000_regular.tiff", made.tiff(HALVES), "another file"),
        ("sub/../../evil.tiff", b"", "a path that leads out"),
        ("/tmp/evil.tiff", b"", "a path that leads out"),
        ("sub/anomaly_images/can/link.tiff", special(tarfile.SYMTYPE), "a link or a device"),
        ("sub/anomaly_images/can/device.tiff", special(tarfile.CHRTYPE), "a link or a device"),
    ],
)
def test_what_nobody_asked_for(name, content, said, tmp_path):
    """Files and folders besides the wanted ones, in another root, links, and paths that lead out."""
    ((_, text, files),) = found({**sound(), name: content}, tmp_path)
    assert said in text
    assert len(files) == 1


def test_missing_files_are_named(tmp_path):
    """A map, a thresholded map, and all thresholded maps at once, in a line."""
    files = sound()
    assert found({name: files[name] for name in files if name not in (FIRST, FIRST_PNG)}, tmp_path) == [
        ("anomaly_images/can/test_private", "missing", ["000_regular.tiff"]),
        ("anomaly_images_thresholded/can/test_private", "missing", ["000_regular.png"]),
    ]
    assert found({name: files[name] for name in files if "thresholded" not in name}, tmp_path) == [
        ("anomaly_images_thresholded", "no file", [])
    ]


def test_a_wanted_file_that_is_a_link_is_refused(tmp_path):
    """It is named as a link, not as missing."""
    ((_, text, _),) = found({**sound(), FIRST: special(tarfile.SYMTYPE)}, tmp_path)
    assert text == "a link or a device"


def test_without_known_sizes_both_files_of_an_image_must_agree(tmp_path):
    """A thresholded map of another size than its map is refused even where no image is at hand."""
    unknown = dict.fromkeys(IMAGES)
    assert found(sound(), tmp_path, unknown) == []
    ((_, text, _),) = found({**sound(), FIRST_PNG: made.png(np.zeros((7, 5), np.uint8))}, tmp_path, unknown)
    assert text == "7x5 pixels"


def test_the_same_name_twice(tmp_path):
    """Nobody knows which of both the server takes."""
    data = made.tiff(HALVES)
    with tarfile.open(tmp_path / "sub.tar.gz", "w:gz") as archive:
        for name, content in [*sound().items(), (FIRST, data)]:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    with (tmp_path / "sub.tar.gz").open("rb") as stream:
        ((fault),) = check(stream, "sub", IMAGES)
    assert (fault.found, fault.files) == ("the same name twice", ["000_regular.tiff"])


@given(st.data())
def test_a_cut_or_flipped_archive_is_never_sound(data):
    """Any cut, and any flipped bit behind gzip's head, is found; but for bits between blocks that mean nothing."""
    whole = _whole()
    if data.draw(st.booleans()):
        broken = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        at = data.draw(st.integers(10, len(whole) - 1))
        broken = whole[:at] + bytes([whole[at] ^ 1 << data.draw(st.integers(0, 7))]) + whole[at + 1 :]
    with suppress(OSError, EOFError, zlib.error):
        assume(gzip.decompress(broken) != gzip.decompress(whole))
    assert check(io.BytesIO(broken), "sub", IMAGES) != []


@cache
def _whole() -> bytes:
    from adbench.util.packed_tar import PackedTar

    stream = io.BytesIO()
    with PackedTar(stream, 1) as archive:
        for name, content in sound().items():
            archive.add(name, lambda content=content: content)
    return stream.getvalue()
