"""Identities of results: the contents of images, masks and files that options name, and the method's code.

A stored number is reused only for the same identity; ``standing`` says whether stored ones still have it.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api.backbone_table import TRANSFORMERS
from ..api.data import Sample, Task, mask_facts, relative_path
from ..api.marking import Marking
from ..api.options import Options
from ..api.registry import defining_modules, texts_in
from ..data import depths, image_files, mask_kinds
from ..data.deep import Depth
from ..data.depths import Depths
from ..results.records import Identity
from ..util import numerics, source
from ..util.digests import Digests, Watch, signatures_of
from ..util.errors import UsageError, WeightsError, absent
from . import rules
from .job import Job

if TYPE_CHECKING:
    from ..api.registry import Registry

DATA_DIGITS = 32

IGNORED = "ignore-mask"
"""The ignore mask among the files of an identity."""

LIMITED = "max-megapixels"
"""The images, among the files of an identity, that a limit of the user's reads or leaves out in another way."""

AUXILIARY = "aux."
"""Prefix of auxiliary data among the files of an identity, besides names of options."""

BACKBONE = "backbone."
"""Prefix of the code of backbones among the files of an identity."""

BLOCKS = "layers are blocks"
"""In place of a digest, for transformers of timm: in adbench 0.1 their layers were strides."""


class Identifier:
    """Computes identities; the images of a class are looked up once for several jobs.

    Args:
        registry: finds methods.
        digests: digests of the files' contents.
    """

    def __init__(self, registry: Registry, digests: Digests | None = None) -> None:
        self.registry = registry
        self.digests = digests or Digests()
        self._sources = source.Sources()
        self._seen: dict[tuple[str, str, Path, str | None, str], tuple[str, Depths]] = {}
        self.contents: dict[Path, str | None] = {}
        """Digests of the images and masks that were looked at."""

    def of(self, job: Job, tasks: Sequence[Task], watch: Watch | None = None, *, again: bool = False) -> Identity:
        """The identity of what a job would compute now.

        Args:
            job: the job.
            tasks: the images of its classes.
            watch: called with the progress where files must be read.
            again: look up images again that were looked up before.

        Raises:
            UnknownNameError: there is no such method.
            WeightsError: a file that an option names can't be read.
            UsageError: auxiliary data that can't be read.
        """
        classes = {task.class_name: self._look(job, task, watch, again)[0] for task in tasks}
        one, *others = classes.values()
        data = one if not others else joint_digest(classes)
        together = classes if others else {}
        files = self._files(job, tasks, watch)
        return Identity(data, self.code(job.method), numerics.NUMERICS, files, together, rules.of(tasks, job))

    def decided(self, job: Job, tasks: Sequence[Task], watch: Watch | None = None) -> list[Task]:
        """The tasks of a job's classes with the levels of their images. Raises the errors of ``depths.decide``."""
        seen: dict[Path, Depth] = {}
        for task in tasks:
            seen |= self._look(job, task, watch, again=False)[1]
        return depths.decide(tasks, job.levels, seen, job.levels_by)

    def _look(self, job: Job, task: Task, watch: Watch | None, again: bool) -> tuple[str, Depths]:
        """The digest of a class's images and masks, and what the images are."""
        key = (task.dataset, task.class_name, task.root, job.test, repr(task.options))
        if again or key not in self._seen:
            digest, seen, contents = _looked_at(task.with_test(job.test), self.digests, watch)
            self._seen[key] = digest, seen
            self.contents |= contents
        return self._seen[key]

    def code(self, method: str) -> str:
        """Digest of a method's code: imported modules as they were then, other modules as they are now.

        For an installed plugin its distribution and version count as well. For adbench's own methods they don't: the
        version changes with every release, whether or not a number moves.

        Raises:
            UnknownNameError: there is no such method.
        """
        origin = self.registry.origins.get(method)
        return self._sources.digest(self._roots(method), label=origin.label if origin else "")

    def about_to_import(self, method: str) -> None:
        """Fix a method's code as it is now, before building it imports the rest."""
        self._sources.keep(self._roots(method))

    def _roots(self, method: str) -> list[source.Module]:
        origin, found = self.registry.origins.get(method), self.registry.method(method)
        if origin is not None:
            return origin.sources(found.build, found.options)
        names = dict.fromkeys(defining_modules(found.build, found.options))
        return [module for name in names if (module := source.module_of(name)) is not None]

    def _files(self, job: Job, tasks: Sequence[Task], watch: Watch | None) -> dict[str, str]:
        found = backbone_codes(self.registry, vars(job.options))
        ignored = ignored_digest(tasks[0].marking, self.digests)
        found |= {} if ignored is None else {IGNORED: ignored}
        found |= limited(sample for task in tasks for _, sample in task.with_test(job.test).used())
        for key, path in file_options(job.options).items():
            digest = self.digests.of([path])[path]
            if digest is None:
                reason = "a file that can't be read" if path.is_file() else absent(path, "file")
                raise WeightsError(f"{key} file {path}", found=reason, hint=f"Check the path given as --{key}")
            found[key] = digest
        for name, path in job.auxiliary:
            found[f"{AUXILIARY}{name}"] = auxiliary_digest(name, path, self.digests, watch)
        return found


def backbone_codes(registry: Registry, options: Mapping[str, Any]) -> dict[str, str]:
    """The code of backbones that options name, as among the files of an identity: plugins', and timm's transformers.

    For other backbones of adbench ``NUMERICS`` counts.
    """
    codes = {name: entry.code for name, entry in registry.backbones_in(options).items()}
    codes |= {text: BLOCKS for text in texts_in(options) if text.startswith(TRANSFORMERS)}
    return {f"{BACKBONE}{name}": codes[name] for name in sorted(codes)}


def file_options(options: Options) -> dict[str, Path]:
    """The options that name files: ``weights``, and all with a ``Path`` as value."""
    values: Mapping[str, Any] = vars(options)
    return {
        key: Path(value) for key, value in values.items() if value and (key == "weights" or isinstance(value, Path))
    }


def joint_digest(classes: Mapping[str, str]) -> str:
    """32 hex digits of the images of several classes, by the digest of each."""
    return hashlib.sha256(repr(sorted(classes.items())).encode()).hexdigest()[:DATA_DIGITS]


def auxiliary_digest(name: str, path: Path, digests: Digests, watch: Watch | None = None) -> str:
    """32 hex digits of a file's content, or of the names and contents of all files in a folder.

    The path doesn't count, nor do files whose name starts with a dot. Linked folders are followed.

    Raises:
        UsageError: there is nothing to read.
    """
    if not path.is_dir():
        content = digests.of([path], watch)[path]
        if content is None:
            raise UsageError(f"--aux {name}={path}", found="a file that can't be read")
        return content
    files = list(_files_below(path))
    if not files:
        raise UsageError(f"--aux {name}={path}", found="an empty folder", wanted="a folder with files")
    contents = digests.of(files, watch)
    facts = sorted((file.relative_to(path).as_posix(), contents[file]) for file in files)
    return hashlib.sha256(repr(facts).encode("utf-8", "surrogatepass")).hexdigest()[:DATA_DIGITS]


def _files_below(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """The files below a folder, also in linked folders, since a method may follow links; a circle is gone once."""
    real = os.path.realpath(folder)
    inside = [] if real in above or not os.access(folder, os.R_OK | os.X_OK) else list(folder.iterdir())
    for path in inside:
        if path.is_dir():
            yield from _files_below(path, above | {real})
        elif path.is_file() and not path.name.startswith("."):
            yield path


def limited(samples: Iterable[Sample]) -> dict[str, str]:
    """The files of images and masks that ``--max-megapixels`` decides in another way than the usual limit does.

    Such a file is left out with ``--skip-bad`` or not. Where there is none, a limit names no other run.
    """
    most = image_files.most_pixels()
    low, high = sorted((most, image_files.PILLOWS_PIXELS))
    if low == high:
        return {}
    paths = dict.fromkeys(path for sample in samples for path in sample.files)
    sizes = {path: image_files.size_of(path) for path in paths}
    found = [str(number) for number, size in enumerate(sizes.values()) if size and low < size[0] * size[1] <= high]
    if not found:
        return {}
    decided = "left out" if most == low else "read"
    return {LIMITED: hashlib.sha256(f"{decided} {' '.join(found)}".encode()).hexdigest()[:DATA_DIGITS]}


def ignored_digest(marking: Marking, digests: Digests) -> str | None:
    """12 hex digits of the content of an ignore mask, or of a folder of them; None without one.

    All masks of a folder count, so that the results of all its classes are of one protocol.

    Raises:
        UsageError: one can't be read.
    """
    if marking.ignore_mask is None:
        return None
    place = Path(marking.ignore_mask).expanduser()
    inside = {
        unicodedata.normalize("NFC", path.name): path for path in place.glob("[!.]*.png")
    }  # Macs write files that begin with a dot
    paths = [inside[name] for name in sorted(inside)] if place.is_dir() else [place]
    contents = digests.of(paths)
    if not contents or None in contents.values():
        found = "no file CLASS.png" if not contents else "a file that can't be read"
        raise UsageError(f"--ignore-mask {place}", found=found, wanted="an image, or a folder with CLASS.png")
    if not place.is_dir():
        return str(contents[place])[:12]
    facts = [(name, contents[inside[name]]) for name in sorted(inside)]
    return hashlib.sha256(repr(facts).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def data_digest(task: Task, digests: Digests, watch: Watch | None = None) -> str:
    """32 hex digits of a task's images and masks that can move a number: names below the root, labels, contents.

    A copied data set has the same digest. A file that is missing or unreadable counts as such. Which levels an image
    has doesn't count: they follow from the images of all classes of a model, or stand in a run's name.
    """
    return _looked_at(task, digests, watch)[0]


def _looked_at(task: Task, digests: Digests, watch: Watch | None) -> tuple[str, Depths, Mapping[Path, str | None]]:
    """The digest of a task's images and masks, what the images are, and the digest of each file."""
    samples = list(task.used())
    known = signatures_of(path for _, sample in samples for path in sample.files)
    contents = digests.of(known, watch, known=known)
    seen = depths.look([sample.path for _, sample in samples], watch, known=known)
    otherwise = mask_kinds.read_otherwise((sample for _, sample in samples), watch, known=known)
    total = hashlib.sha256()
    for part, sample in samples:
        facts = [
            (relative_path(path, task.root), contents[path], *(("by the rule",) if path in otherwise else ()))
            for path in sample.files
        ]
        read = depths.reading_facts(seen.get(sample.path))
        total.update(repr((part, sample.label, sample.defect, facts, *mask_facts(sample), *read)).encode())
    if task.region_rules is not None:
        total.update(repr((task.region_rules.saturations, sorted(task.region_rules.groups.items()))).encode())
    return total.hexdigest()[:DATA_DIGITS], seen, contents


def file_code_digest(plugin_file: Path) -> str:
    """Digest of the code of a ``--plugin`` file's methods, without loading it."""
    return source.Sources().digest([source.Module(plugin_file.stem, plugin_file)])
