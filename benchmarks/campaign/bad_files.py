"""Checkpoints and stored results that are broken, changed, or not what they seem."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from . import data
from .bad_images import Draw
from .bench import Bench, Verdict, clear_or_fault
from .compare import Content, content_of

Change = Callable[[Path, Draw[Any]], object]

ODD: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([None, True, -1, 0, 10**30, 2**63, 0.5, 1e308, float("nan"), float("inf"), "", "é", "nan", [], {}]),
    st.integers(-5, 5), st.lists(st.integers(0, 2), max_size=2),
    st.dictionaries(st.sampled_from(["a", "image_auroc"]), st.integers(0, 1), max_size=1),
)  # fmt: skip


# ---------------------------------------------------------------- any file


def _cut(path: Path, draw: Draw[Any]) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: draw(st.integers(0, max(0, len(whole) - 1)))])


def _flipped(path: Path, draw: Draw[Any]) -> None:
    whole = bytearray(path.read_bytes())
    for _ in range(draw(st.integers(1, 4))):
        whole[draw(st.integers(0, len(whole) - 1))] ^= draw(st.integers(1, 255))
    path.write_bytes(bytes(whole))


def _zeros(path: Path, draw: Draw[Any]) -> None:
    whole = path.read_bytes()
    start = draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:start] + bytes(len(whole) - start))


def _foreign(path: Path, draw: Draw[Any]) -> None:
    path.write_bytes(draw(st.one_of(
        st.binary(max_size=100),
        st.sampled_from([b"", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 20_000, b'{"schema": 99}', b"PK\x03\x04",
                         b"1e999", b"version https://git-lfs.github.com/spec/v1\n", pickle.dumps({"a": 1})]),
    )))  # fmt: skip


def _gone(path: Path, draw: Draw[Any]) -> None:
    path.unlink()
    kind = draw(st.sampled_from(["missing", "folder", "loop", "dangling", "pipe"]))
    if kind == "folder":
        path.mkdir()
    elif kind in ("loop", "dangling"):
        path.symlink_to(path if kind == "loop" else "nowhere")
    elif kind == "pipe" and hasattr(os, "mkfifo"):
        os.mkfifo(path)


ANY_FILE: dict[str, Change] = {
    "cut short": _cut, "changed bytes": _flipped, "zeros to the end": _zeros, "another file": _foreign,
    "no file": _gone,
}  # fmt: skip


# ---------------------------------------------------------------- checkpoints


class _Harm:
    """An object that would make a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harmed",)


def _with_code(path: Path, draw: Draw[Any]) -> None:
    saved = torch.load(path, weights_only=True)
    torch.save({**saved, draw(st.sampled_from(["state", "more"])): _Harm()}, path)


def _field(path: Path, draw: Draw[Any]) -> None:
    """Another value of one field, or none. What a message or a table alone shows is left as it is."""
    saved = torch.load(path, weights_only=True)
    key = draw(st.sampled_from(sorted(set(saved) - {"provenance", "threshold", "map_scale", "seed", "train_images"})))
    if draw(st.booleans()):
        del saved[key]
    else:
        saved[key] = draw(ODD)
    torch.save(saved, path)


def _tensor(path: Path, draw: Draw[Any]) -> None:
    """The model's only tensor with another shape, type, or with values that are no numbers."""
    saved = torch.load(path, weights_only=True)
    mean = saved["state"]["mean"]
    changes: dict[str, Callable[[], Any]] = {
        "nan": lambda: mean.index_fill(1, torch.tensor([draw(st.integers(0, 63))]), float("nan")),
        "inf": lambda: mean * float("inf"),
        "shape": lambda: mean[:, : draw(st.integers(0, 63))],
        "flat": lambda: mean.flatten(),
        "type": lambda: mean.to(draw(st.sampled_from([torch.int8, torch.complex64, torch.bool]))),
        "number": lambda: draw(ODD),
        "sparse": lambda: mean.to_sparse(),
    }
    saved["state"]["mean"] = changes[draw(st.sampled_from(sorted(changes)))]()
    torch.save(saved, path)


def _option(path: Path, draw: Draw[Any]) -> None:
    saved = torch.load(path, weights_only=True)
    key = draw(st.sampled_from([*saved["options"], "other"]))
    saved["options"][key] = draw(ODD)
    torch.save(saved, path)


CHECKPOINTS: dict[str, Change] = {
    **ANY_FILE, "code": _with_code, "a field": _field, "a tensor": _tensor, "an option": _option,
}  # fmt: skip


def try_checkpoint(draw: Draw[Any], bench: Bench, folder: Path) -> Verdict:
    """A checkpoint that was changed: a clear message, or the scores of the whole one."""
    path = folder / "last.pt"
    (clean,) = _stored(bench).glob("*/*/*/*-seed0-*/last.pt")
    shutil.copy(clean, path)
    words = (
        "test", "-m", "bright", "--plugin", data.BRIGHT, "-d", "folder", "--data-root", "images", "--device", "cpu",
        "--threads", "1", "--checkpoint", path.name, "--format", "json",
    )  # fmt: skip
    wanted = bench.kept("scores of the checkpoint", lambda: bench.run(words, folder).output)
    CHECKPOINTS[draw(st.sampled_from(sorted(CHECKPOINTS)))](path, draw)
    ended = bench.run(words, folder)
    if (folder / "harmed").exists():
        return Verdict("fault", "the code in it was run")
    if ended.code != 0:
        return clear_or_fault(ended)
    return Verdict("right") if ended.output == wanted else Verdict("fault", "other scores in silence")


# ---------------------------------------------------------------- results


def _stored(bench: Bench) -> Path:
    """Results of three seeds on the clean images."""

    def make() -> str:
        with bench.new() as folder:
            words = data.bright(Path("images"), "--seeds", "0,1,2", results=str(bench.place / "stored"))
            ended = bench.run(words, folder)
            assert ended.code == 0, ended.errors
        return ""

    bench.kept("stored results", make)
    return bench.place / "stored"


def _number(path: Path, draw: Draw[Any]) -> None:
    """Another number somewhere in a result; a file that is no JSON gets another digit."""
    text = path.read_bytes()
    places = [place for place, letter in enumerate(text) if letter in b"123456789"]
    if not places:
        return _flipped(path, draw)
    place = draw(st.sampled_from(places))
    digit = draw(st.sampled_from([each for each in b"123456789" if each != text[place]]))
    path.write_bytes(text[:place] + bytes([digit]) + text[place + 1 :])
    return None


def _entry(path: Path, draw: Draw[Any]) -> None:
    """Another value of one field of a result, or none."""
    if path.name != "result.json":
        return _number(path, draw)
    result = json.loads(path.read_text(encoding="utf-8"))
    inner = draw(st.sampled_from([None, "metrics", "protocol", "timing", "environment", "identity", "options"]))
    table = result if inner is None else result[inner]
    key = draw(st.sampled_from(sorted(table)))
    if draw(st.booleans()):
        del table[key]
    else:
        table[key] = draw(ODD)
    path.write_text(json.dumps(result), encoding="utf-8")
    return None


RESULTS: dict[str, Change] = {**ANY_FILE, "a digit": _number, "a field": _entry}

READERS: dict[str, tuple[str, ...]] = {
    "leaderboard": ("leaderboard", "--results", "results", "--format", "json"),
    "per class": ("leaderboard", "--results", "results", "--by-class", "--format", "csv"),
    "runs": ("list", "runs", "--results", "results", "--format", "json"),
    "drift": ("threshold", "folder/plates/bright", "--results", "results", "--format", "json"),
}


def try_result(draw: Draw[Any], bench: Bench, folder: Path) -> Verdict:
    """A stored result that was changed: left out by name, a clear message, or the same table."""
    shutil.copytree(_stored(bench), folder / "results")
    path = draw(
        st.sampled_from(sorted(p for p in (folder / "results").rglob("*") if p.is_file() and p.name != ".lock"))
    )
    name = draw(st.sampled_from(sorted(READERS)))
    wanted = bench.kept(f"table {name}", lambda: bench.run(READERS[name], folder).output)
    RESULTS[draw(st.sampled_from(sorted(RESULTS)))](path, draw)
    ended = bench.run(READERS[name], folder)
    if ended.code != 0:
        return clear_or_fault(ended)
    unfinished = path.name == "result.json" and not os.path.lexists(path)  # as a killed run leaves its folder
    if ended.output == wanted or unfinished:
        return Verdict("right")
    named = path.parent.name in ended.errors or path.name in ended.errors
    return (
        Verdict("right") if named else Verdict("fault", f"{path.name}: another table in silence: {ended.errors[:200]}")
    )


# ---------------------------------------------------------------- archives


def try_archive(draw: Draw[Any], bench: Bench, folder: Path) -> Verdict:
    """An archive of runs that was changed: a clear message, or the whole runs alone, and none outside the folder."""
    packed = bench.place / "runs.zip"

    def pack() -> str:
        words = ("results", "archive", "--all", "--results", _stored(bench), "-o", packed, "--checkpoints")
        ended = bench.run(words, folder)
        assert ended.code == 0, ended.errors
        return ""

    bench.kept("archive", pack)
    path = folder / "runs.zip"
    shutil.copy(packed, path)
    ARCHIVES[draw(st.sampled_from(sorted(ARCHIVES)))](path, draw)
    ended = bench.run(("results", "import", path.name, "--results", "taken", "--format", "json"), folder)
    if (folder.parent / "outside.json").exists():
        return Verdict("fault", "a file outside the folder of results")
    wanted, found = content_of(_stored(bench)), content_of(folder / "taken") if (folder / "taken").exists() else {}
    whole = {name for name in wanted if all(found.get(name_) == wanted[name_] for name_ in _beside(name, wanted))}
    finished = {name for name in found if name.endswith("result.json")}
    if not finished <= whole:
        return Verdict("fault", f"runs that are not whole: {sorted(finished - whole)}")
    if ended.code != 0:
        return clear_or_fault(ended)
    named = len(finished) == len([name for name in wanted if name.endswith("result.json")]) or bool(ended.errors)
    return Verdict("right") if named else Verdict("fault", "runs that are left out in silence")


def _beside(name: str, content: Content) -> list[str]:
    """The files of the run that a file belongs to."""
    return [other for other in content if other.rpartition("/")[0] == name.rpartition("/")[0]]


def _outside(path: Path, draw: Draw[Any]) -> None:
    """A file that would be written beside the folder of results."""
    name = draw(st.sampled_from(["../outside.json", "../../outside.json", "/outside.json", "a/../../../outside.json"]))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "{}")


def _again(path: Path, draw: Draw[Any]) -> None:
    """One file more, of a name that is there or of an odd one."""
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(draw(st.sampled_from([archive.namelist()[-1], "é", "x" * 300, "nul", "a/b/"])), b"{}")


def _bomb(path: Path, draw: Draw[Any]) -> None:
    """A file that unpacks to very much."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/plates/bright/bomb/scores.csv", bytes(50_000_000))


ARCHIVES: dict[str, Change] = {
    "nothing": lambda path, draw: None,
    **ANY_FILE,
    "outside": _outside,
    "another entry": _again,
    "a bomb": _bomb,
}
