"""Damage is found wherever it is, and intact files are never taken for damaged."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench.util import integrity

CONTENT = bytes(range(256)) * 9
FACTS = {"kept": [0, 1, 2], "sizes": [[480, 640]], "content": "ab" * 16, "name": "grün"}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("files")


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# ---------------------------------------------------------------- files and facts


@given(st.integers(0, 8 * len(CONTENT) - 1))
def test_a_flipped_bit_is_found(place, bit):
    """Any flipped bit is found, in the whole file and in its part; the other parts stay intact."""
    path = place / "file"
    path.write_bytes(flipped(CONTENT, bit))
    assert not integrity.is_intact(path, integrity.Hasher(CONTENT).hexdigest())
    for start, length in ((0, 1000), (1000, len(CONTENT) - 1000)):
        digest = integrity.Hasher(CONTENT[start : start + length]).hexdigest()
        inside = start <= bit // 8 < start + length
        assert integrity.is_intact(path, digest, start=start, length=length) != inside


def test_a_cut_file_is_found(tmp_path):
    """Another length is another content, and a part beyond the end is missing."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT[:-1])
    assert not integrity.is_intact(path, integrity.Hasher(CONTENT).hexdigest())
    assert not integrity.is_intact(path, integrity.Hasher(CONTENT[-9:]).hexdigest(), start=len(CONTENT) - 9, length=9)


def test_an_unchanged_file_is_read_once(tmp_path, monkeypatch):
    """A process reads a file of gigabytes once, not for every class; a change is seen at once."""
    path, read = tmp_path / "file", []
    path.write_bytes(CONTENT)
    digest, real = integrity.Hasher(CONTENT).hexdigest(), integrity.Hasher
    monkeypatch.setattr(integrity, "Hasher", lambda: read.append(1) or real())
    assert all(integrity.is_intact(path, digest) for _ in range(3))
    assert len(read) == 1
    path.write_bytes(flipped(CONTENT, 99))
    assert not integrity.is_intact(path, digest)
    assert len(read) == 2


@given(st.integers(0, 8 * len(integrity.seal(FACTS).encode()) - 1))
def test_a_flipped_bit_in_sealed_facts_is_found(bit):
    """They are read as they were written, or not at all."""
    text = integrity.seal(FACTS).encode()
    assert integrity.unseal(text) == FACTS
    try:
        found = integrity.unseal(flipped(text, bit))
    except ValueError:
        return
    assert found == FACTS  # as with the case of a hexadecimal digit in an escape


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[]", "3", "{}", '{"digest": 3}', "", "\0"])
def test_what_was_never_sealed_is_refused(text):
    """Foreign, empty or endlessly nested JSON is one type of error."""
    with pytest.raises(ValueError, match=r".+"):
        integrity.unseal(text)


# ---------------------------------------------------------------- what torch saves

PAYLOAD = {
    "state": {"w": torch.linspace(-1, 1, 300), "b": torch.arange(5, dtype=torch.int64), "f": torch.ones(3).bfloat16()},
    "epoch": 7,
    "best": [{"metric": "aupro", "value": 0.25}],
}


def saved(**how: object) -> bytes:
    stream = io.BytesIO()
    torch.save(PAYLOAD, stream, **how)
    return stream.getvalue()


def load(data: bytes) -> object:
    return torch.load(io.BytesIO(data), weights_only=True)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 8 * len(saved()) - 1))
def test_a_flipped_bit_in_a_checkpoint_never_changes_what_is_loaded(place, bit):
    """The archive's checksums find it, or torch refuses the file, or it lies where nothing is read."""
    path = place / "last.pt"
    data = flipped(saved(), bit)
    path.write_bytes(data)
    if integrity.damage_of(path):
        return
    try:
        found = load(data)
    except Exception:
        return
    assert integrity.of_payload(found) == integrity.of_payload(PAYLOAD)


def test_every_flipped_bit_in_the_directory_is_found_or_harmless(place):
    """Flags in the directory can make torch take a record for a folder and return uninitialised memory."""
    data, path = saved(), place / "last.pt"
    begin = data.index(b"PK\x01\x02", data.index(b"data/0PK\x01\x02"))
    marks = range(8 * (begin + 36), 8 * (begin + 46))  # the attributes of a record, and where it begins
    path.write_bytes(data)
    found = []
    for bit in marks:
        path.write_bytes(flipped(data, bit))
        if integrity.damage_of(path):
            found.append(bit)
        else:
            assert integrity.of_payload(load(flipped(data, bit))) == integrity.of_payload(PAYLOAD)
    assert len(found) > 16


def test_whole_checkpoints_pass(tmp_path):
    """Intact are files of torch, those without checksums, those of torch before 1.6, and a foreign file."""
    without = io.BytesIO()
    try:
        torch.serialization.set_crc32_options(False)
        torch.save(PAYLOAD, without)
    finally:
        torch.serialization.set_crc32_options(True)
    old = saved(_use_new_zipfile_serialization=False)
    for number, data in enumerate((saved(), without.getvalue(), old, b"", b"text")):
        path = tmp_path / f"{number}.pt"
        path.write_bytes(data)
        assert integrity.damage_of(path) == ""


def test_a_damaged_record_is_named(tmp_path):
    """The name says what is damaged."""
    path, data = tmp_path / "last.pt", saved()
    place = data.index(torch.linspace(-1, 1, 300).numpy().tobytes())
    path.write_bytes(flipped(data, 8 * (place + 100)))
    assert "data/" in integrity.damage_of(path)


def test_the_digest_of_a_payload_survives_the_disk():
    """Loaded data has the digest of the saved data: numbers, texts, tuples, tensors of every type and layout."""
    kinds = [torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.bool, torch.complex64]
    payload = {
        "tensors": [torch.arange(6).to(kind).view(2, 3).T for kind in kinds],
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "channels last": torch.rand(1, 3, 4, 4).contiguous(memory_format=torch.channels_last),
        "groups": [{"lr": 1e-3, "betas": (0.9, 0.99), "foreach": None, 3: float("nan")}],
        "text": "grün\udc80",
        "set": {1, 2},
    }
    stream = io.BytesIO()
    torch.save(payload, stream)
    assert integrity.of_payload(load(stream.getvalue())) == integrity.of_payload(payload)


@pytest.mark.parametrize(
    "other",
    [
        {"a": [1, 2], "b": torch.zeros(4)},
        {"a": [1], "b": torch.zeros(2, 2)},
        {"a": [1], "b": torch.zeros(4, dtype=torch.int32)},
        {"a": [1], "b": torch.tensor([0, 0, 0, -0.0])},
        {"a": [1.0], "b": torch.zeros(4)},
        {"a": ["1"], "b": torch.zeros(4)},
        {"a": [True], "b": torch.zeros(4)},
        {"b": torch.zeros(4)},
        {"a": [1, torch.zeros(4)]},
    ],
)
def test_other_payloads_have_other_digests(other):
    """Every value, type, shape and nesting counts."""
    assert integrity.of_payload(other) != integrity.of_payload({"a": [1], "b": torch.zeros(4)})
