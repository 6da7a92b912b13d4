"""The list of an archive's files, and the names that it may have."""

from __future__ import annotations

import pytest

from adbench.results.sharing.manifest import ArchivedFile, ArchivedRun, Manifest, from_text, is_allowed, to_text

MANIFEST = Manifest(1, (ArchivedRun("d", "con", "lib:a", "r", (ArchivedFile("result.json", 3, "ab"),)),))


def test_a_manifest_is_read_as_written():
    """A changed byte is noticed."""
    text = to_text(MANIFEST).encode()
    assert from_text(text) == MANIFEST
    with pytest.raises(ValueError, match="digest"):
        from_text(text.replace(b'"d"', b'"e"'))


def test_folders_have_names_that_every_system_takes():
    """Also those of methods and classes whose own names few systems would take."""
    ((name, _),) = MANIFEST.entries()
    assert name.startswith("results/d/_con-")
    assert ":" not in name


@pytest.mark.parametrize("name", [
    "result.json", "evidence.npz", "last.pt", "oracle_image_auroc.pt", "speed.json", "maps.npz", "maps/a/b c.png",
])  # fmt: skip
def test_files_of_runs_are_allowed(name):
    """Results, checkpoints, measurements and maps."""
    assert is_allowed(name)


@pytest.mark.parametrize("name", [
    "", ".", "..", "../result.json", "/result.json", "maps/../../x", "maps/./x", "maps//x", "maps/", "maps/con.png",
    "maps/a:b", "maps/a\\b", "maps/a\n", "maps/x.", "C:result.json", "state.pt", ".lock", "notes.txt", "oracle_A.pt",
    f"maps/{'x' * 256}", "maps/" + "a/" * 12 + "b",
])  # fmt: skip
def test_other_names_are_refused(name):
    """Names that lead elsewhere, that not every system takes, and files that a run doesn't have."""
    assert not is_allowed(name)
