"""Decodes and resizes images once, into a uint8 store on disk that later runs open at once.

A store is a folder of four files: ``pictures.bin``, ``masks.bin``, ``regions.bin`` and, written last, ``store.json``
with digests of all. It is written under a temporary name and renamed when it is complete.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL

from ..api.data import Problem, Sample, Size, size_text
from ..util import cache, files, integrity, threads
from ..util.digests import Digests
from ..util.errors import DataError, reason
from ..util.files import cache_folder
from ..util.numerics import NUMERICS
from ..util.sizes import bytes_text
from ..util.text import plural
from . import image_files
from .decode import Decoded, decode_sample
from .framing import Framing
from .image_files import Bytes
from .numbered import Numbers
from .tiling import Grid

FORMAT = 6
"""Version of the store's format; another number makes all stores anew."""

MOST_WORKERS = 16
"""Most worker threads that decode, on a machine with so many processors."""

MOST_LARGE = 3
"""Most images that are decoded at once or wait, where they are large ones that are cut into tiles."""

TRIES = 3
"""Attempts to build a store while other processes damage or remove it."""

Watch = Callable[[str, int, int], None]
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Store:
    """Images (N, H, W, 3) and masks (N, H, W), 0 or 1, as memory-mapped uint8; row i is ``samples[i]``.

    Where images are cut into tiles, ``grids`` has the tiles of each image, ``images`` (T, h, w, 3) all of them image by
    image, and masks are to be read from their files.

    ``masks`` is None where no sample has one. ``sizes`` are the images' own (height, width);
    ``content`` is a digest over the bytes of all files; ``skipped`` lists what was left out. ``regions`` has for each
    image (P, 2) the pixels of the regions of its mask's own pixels (``numbered.pairs``). It is None where regions are
    to be looked for in ``masks``.
    """

    key: str
    samples: tuple[Sample, ...]
    images: Bytes
    masks: Bytes | None
    sizes: tuple[Size, ...]
    content: str
    skipped: tuple[Problem, ...] = ()
    regions: tuple[Numbers, ...] | None = None
    grids: tuple[Grid, ...] | None = None

    @property
    def rows(self) -> int:
        """Number of images, or of their tiles: what a method gets."""
        return len(self.samples) if self.grids is None else sum(map(len, self.grids))

    @property
    def has_masks(self) -> bool:
        """Whether any image has a mask."""
        return self.masks is not None or (self.grids is not None and any(sample.masks for sample in self.samples))


def empty_store(framing: Framing, problems: Sequence[Problem] = ()) -> Store:
    """A store without images, which is nowhere on disk: the training images of a zero-shot run."""
    grids = () if framing.is_tiled else None
    images = np.zeros((0, *framing.size, 3), np.uint8)
    return Store("empty", (), images, None, (), "", tuple(problems), grids=grids)


def rows_of(samples: Sequence[Sample], framing: Framing) -> int:
    """Number of images that a method gets of these: tiles are counted by the heads of files, broken files as one."""
    return _Order(tuple(samples), framing).rows


def open_store(
    samples: Sequence[Sample],
    *,
    root: Path,
    framing: Framing,
    skip_bad: bool = False,
    problems: Sequence[Problem] = (),
    watch: Watch | None = None,
    say: Say | None = None,
) -> Store:
    """Open the store of these images; decode and resize them first where there is no store yet.

    Two processes may build the same store at once: each writes to its own folder, and the first to finish renames
    it. A half-written store is never used.

    Args:
        samples: images, and masks of the defective ones.
        root: the data set's folder, for messages.
        framing: how images get to the size of the input.
        skip_bad: leave broken samples out and record them instead of refusing.
        problems: found by the reader of the data set.
        watch: called with ("decode", done, total).
        say: called with a line of text if a damaged store is made again, or if the cache grows over its limit.

    Raises:
        DataError: the first problem, unless ``skip_bad``; no usable image; or too little disk space for the store.
    """
    samples, unmasked = _without_unmasked(samples)
    problems = (*problems, *unmasked)
    order = _Order(samples, framing)
    folder = cache_folder() / "pictures" / order.key()
    with image_files.quiet():
        try:
            store = _read(folder, order)
        except _DamagedError as error:
            store = None
            if say:
                say(f"The cached images of {root} are damaged ({error}) and are decoded again.")
        store = store or _make(folder, order, root, watch, say)
    found = (*problems, *store.skipped)
    if found and not skip_bad:
        raise problem_error(found)
    if not store.samples:
        raise DataError(f"data set at {root}", found="no image that can be used", wanted="at least one")
    return replace(store, skipped=found)


def still_to_decode(samples: Sequence[Sample], framing: Framing) -> tuple[str, int]:
    """The name of the store that ``open_store`` would open, and the bytes of it that are not on the disk yet."""
    order = _Order(_without_unmasked(samples)[0], framing)
    name = order.key()
    is_there = (cache_folder() / "pictures" / name / "store.json").is_file()
    return name, 0 if is_there else order.bytes


def place_of(samples: Sequence[Sample]) -> str:
    """The common folder of these images, for messages."""
    parents = {os.path.abspath(sample.path.parent) for sample in samples}
    return os.path.commonpath(parents).encode("utf-8", "backslashreplace").decode() if parents else ""


def _without_unmasked(samples: Sequence[Sample]) -> tuple[tuple[Sample, ...], tuple[Problem, ...]]:
    """Split off defective images without a mask where others have one: their pixels would count as good."""
    if not any(sample.mask is not None for sample in samples):
        return tuple(samples), ()
    bare = [sample for sample in samples if sample.label and sample.mask is None]
    found = "a defective image without a mask, beside others with one"
    problems = tuple(Problem(sample.path, found, "Add its mask") for sample in bare)
    return tuple(sample for sample in samples if sample not in bare), problems


def problem_error(problems: Sequence[Problem]) -> DataError:
    """Make an error that names the first problem and counts the others."""
    first, more = problems[0], len(problems) - 1
    others = f" ({plural(more, 'more problem')})" if more else ""
    return DataError(f"{first.path}", found=first.found + others, hint=f"{first.hint}, or use --skip-bad")


@dataclass(frozen=True)
class _Order:
    """The wanted content of a store."""

    samples: tuple[Sample, ...]
    framing: Framing

    @property
    def with_masks(self) -> bool:
        return not self.framing.is_tiled and any(sample.mask is not None for sample in self.samples)

    @cached_property
    def rows(self) -> int:
        """Images, or their tiles."""
        if not self.framing.is_tiled:
            return len(self.samples)
        sizes = (image_files.size_of(sample.path) for sample in self.samples)
        return sum(1 if size is None else len(self.framing.grid(size)) for size in sizes)

    @property
    def bytes(self) -> int:
        """Disk space that the store needs."""
        return self.rows * math.prod(self.framing.size) * (4 if self.with_masks else 3)

    def cut(self, decoded: Decoded) -> Iterable[Bytes]:
        """What the store keeps of an image: its tiles, or itself."""
        return self.framing.grid(decoded.size).cut(decoded.image) if self.framing.is_tiled else (decoded.image,)

    def key(self) -> str:
        """The store's name: a digest of its files' paths and contents, which are read once and remembered."""
        contents = Digests().of([path for each in self.samples for path in each.files])
        most = image_files.most_pixels()
        limit = (
            () if most == image_files.PILLOWS_PIXELS else (most,)
        )  # a store with another limit may lack other images
        digest = hashlib.sha256(repr((FORMAT, NUMERICS, PIL.__version__, *self.framing.facts, *limit)).encode())
        for sample in self.samples:
            for path in (sample.path, *(sample.masks or (None,))):
                digest.update(repr(path and (os.path.abspath(path), contents[path])).encode())
            digest.update(repr((sample.mask_above, sample.mask_rule, sample.levels)).encode())
        return digest.hexdigest()[:24]

    def decode(self, numbers: Sequence[int]) -> Iterator[Decoded | Problem]:
        """Decode some of the samples in worker threads, in order; only a few wait at a time."""
        workers = threads.workers(MOST_LARGE if self.framing.is_tiled else MOST_WORKERS)
        most = MOST_LARGE if self.framing.is_tiled else 4 * workers
        waiting: deque[Future[Decoded | Problem]] = deque()
        with ThreadPoolExecutor(workers) as pool:
            for number in numbers:
                waiting.append(pool.submit(decode_sample, self.samples[number], self.framing))
                if len(waiting) >= most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


# ---------------------------------------------------------------- reading


class _DamagedError(Exception):
    """A store that differs from what was written; the text says where."""


def _read(folder: Path, order: _Order) -> Store | None:
    """Open a finished store; None where there is none, or an outdated one.

    Raises:
        _DamagedError: a store exists, but differs from what was written.
    """
    try:
        facts = integrity.unseal((folder / "store.json").read_bytes())
        kept = [int(number) for number in facts["kept"]]
        sizes = tuple((int(height), int(width)) for height, width in facts["sizes"])
        grids = tuple(map(order.framing.grid, sizes)) if order.framing.is_tiled else None
        shape = (len(kept) if grids is None else sum(map(len, grids)), *order.framing.size)
        images = _map(folder / "pictures.bin", (*shape, 3), facts["pictures"])
        masks = _map(folder / "masks.bin", shape, facts["masks"]) if order.with_masks else None
        marked = [int(count) for count in facts["marked"]]
        numbers = _map(folder / "regions.bin", (8 * sum(marked),), facts["regions"]).view("<i4").reshape(-1, 2)
        regions = tuple(np.split(numbers, np.cumsum(marked)[:-1])) if marked else ()
        content = str(facts["content"])
        samples = tuple(order.samples[number] for number in kept)
    except FileNotFoundError as error:
        if folder.is_dir():
            raise _DamagedError(f"{Path(error.filename).name} is missing") from error
        return None
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise _DamagedError(str(error)) from error
    bad = sorted(set(range(len(order.samples))) - set(kept))
    skipped: list[Problem] = []
    for found in order.decode(bad):  # again: access rights, say, may change without a change of the file
        if not isinstance(found, Problem):
            return None
        skipped.append(found)
    found_regions = regions if grids is None else None
    return Store(folder.name, samples, images, masks, sizes, content, tuple(skipped), found_regions, grids)


def _map(path: Path, shape: tuple[int, ...], digest: str) -> Bytes:
    """Map a file into memory. Raises ``ValueError`` where its length or content isn't what was written."""
    wanted = math.prod(shape)
    with path.open("rb") as stream:
        cache.hold(stream)  # the mapping keeps the lock when the file is closed
        if os.fstat(stream.fileno()).st_size != wanted:
            raise ValueError(f"{path.name} has another length")
        if not integrity.is_intact(path, digest):
            raise ValueError(f"{path.name} has another content")
        cache.touch(path)
        if wanted == 0:
            return np.zeros(shape, np.uint8)
        return np.memmap(stream, np.uint8, mode="r", shape=shape)


# ---------------------------------------------------------------- writing


def _make(folder: Path, order: _Order, root: Path, watch: Watch | None, say: Say | None) -> Store:
    """Build a store and open it."""
    found = "a store that is removed again and again"
    try:
        with cache.making(folder) as waited:
            for number in range(TRIES):
                if number or not waited or _read_whole(folder, order) is None:
                    _build(folder, order, root, watch, say)
                store = _read_whole(folder, order)
                if store is not None:
                    return store
    except OSError as error:
        found = reason(error)
    raise _no_space(folder.parent, found)


def _read_whole(folder: Path, order: _Order) -> Store | None:
    """Open a store; None where none can be used."""
    try:
        return _read(folder, order)
    except _DamagedError:
        return None


def _no_space(folder: Path, found: str) -> DataError:
    return DataError(
        f"image cache {folder}", found=found, wanted="space for the decoded images",
        hint="Free some space, or set ADBENCH_CACHE to another folder",
    )  # fmt: skip


def _build(folder: Path, order: _Order, root: Path, watch: Watch | None, say: Say | None) -> None:
    """Decode everything into a temporary folder, then rename it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    most = cache.limit()
    if not cache.free_space(order.bytes, cache.places(), most, must=True) and say:
        say(
            f"The decoded images of {root} take {bytes_text(order.bytes)}. With them and what is in use, the cache "
            f"takes more than its limit of {bytes_text(most)} ({cache.LIMIT_VARIABLE}) until the run ends."
        )
    free = shutil.disk_usage(folder.parent).free
    if free < order.bytes:
        raise _no_space(folder.parent, f"{free / 1e6:.0f} MB free of the {order.bytes / 1e6:.0f} MB needed")
    with files.new_folder(folder) as own:
        _fill(own, order, watch)
        if order.key() != folder.name:
            raise DataError(
                f"images like {order.samples[0].path}", found="files that changed while they were read",
                hint="Run the same command again",
            )  # fmt: skip
        try:
            own.rename(folder)
        except OSError:
            if _read_whole(folder, order) is None:  # else another process was faster, and its store is as good
                files.replace_folder(own, folder)
        files.flush_folder(folder.parent)


class _Part:
    """One file of a store that is being written, with the digest of its bytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.hasher = stream, integrity.Hasher()

    def add(self, values: Bytes) -> None:
        data = np.ascontiguousarray(values).data
        self.stream.write(data)
        self.hasher.update(data)

    def finish(self) -> str:
        files.flush(self.stream)
        return self.hasher.hexdigest()


def _fill(own: Path, order: _Order, watch: Watch | None) -> None:
    total = len(order.samples)
    kept: list[int] = []
    sizes: list[Size] = []
    marked: list[int] = []
    content = hashlib.sha256()
    with ExitStack() as stack:
        names = ("pictures.bin", "masks.bin", "regions.bin")
        images, masks, regions = (_Part(stack.enter_context((own / name).open("wb"))) for name in names)
        for number, decoded in enumerate(order.decode(range(total))):
            if watch:
                watch("decode", number + 1, total)
            if isinstance(decoded, Problem):
                continue
            for part in order.cut(decoded):
                images.add(part)
            if order.with_masks:
                masks.add(np.zeros(order.framing.size, np.uint8) if decoded.mask is None else decoded.mask)
            numbers = np.empty((0, 2), "<i4") if decoded.regions is None else decoded.regions.astype("<i4")
            regions.add(numbers.reshape(-1).view(np.uint8))
            marked.append(len(numbers))
            kept.append(number)
            sizes.append(decoded.size)
            content.update(decoded.digest)
        about = f"{len(kept)} images of {place_of(order.samples)} at {size_text(order.framing.size)}"
        facts = {"about": about, "kept": kept, "sizes": sizes, "content": content.hexdigest()}
        facts |= {"pictures": images.finish(), "masks": masks.finish(), "regions": regions.finish(), "marked": marked}
    with (own / "store.json").open("wb") as stream:
        stream.write(integrity.seal(facts).encode())
        files.flush(stream)
