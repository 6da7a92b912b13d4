"""Requirements of a method besides training images: packages, and files or folders from other sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..util.errors import PLUGIN_ERRORS, AuxiliaryError, UnknownNameError, UsageError, absent, described
from ..util.installed import is_importable


@dataclass(frozen=True)
class Package:
    """A package that a method imports.

    Attributes:
        name: the name to import, such as "faiss".
        install: the argument of pip install, such as "faiss-cpu>=1.8".
        purpose: what the method uses it for.
    """

    name: str
    install: str
    purpose: str


def _always(options: Any) -> bool:
    """Say that auxiliary data is needed for any options."""
    return True


def _unchecked(path: Path, options: Any) -> Sequence[str]:
    """Find nothing wrong with auxiliary data."""
    return ()


@dataclass(frozen=True)
class Auxiliary:
    """A file or folder that training reads besides the training images, such as a folder of textures.

    Attributes:
        name: as in ``--aux NAME=PATH``.
        purpose: what it is for.
        source: where to get it.
        licence: the licence of the data.
        kind: "file" or "folder".
        without: what happens without it.
        needed: whether training with these options needs it; called with the method's options.
        check: looks into the data before anything is decoded or trained; called with the path and the method's options.
            It raises a ``UsageError`` that names the file where training can't use them, and returns lines for the
            user, such as one that names the files that are passed over.
    """

    name: str
    purpose: str
    source: str = ""
    licence: str = ""
    kind: Literal["file", "folder"] = "file"
    without: str = ""
    needed: Callable[[Any], bool] = _always
    check: Callable[[Path, Any], Sequence[str]] = _unchecked


@dataclass(frozen=True)
class Requirements:
    """Everything that a method needs besides training images. It is checked before anything is decoded or trained."""

    packages: tuple[Package, ...] = ()
    auxiliary: tuple[Auxiliary, ...] = ()


def require(
    method: str, requirements: Requirements, options: Any, given: Mapping[str, Path], *, training: bool = True
) -> None:
    """Refuse to build a method whose requirements are not met.

    Args:
        method: its name, for messages.
        requirements: what it needs.
        options: its options.
        given: paths of auxiliary data by name.
        training: False if the method only scores, which needs no auxiliary data.

    Raises:
        UnknownNameError: the method has no such auxiliary data.
        UsageError: a package or auxiliary data is missing, or a path is not of the right kind.
    """
    _require_given(method, requirements, given)
    require_packages(method, requirements.packages)
    for auxiliary in requirements.auxiliary if training else ():
        if auxiliary.name not in given and auxiliary.needed(options):
            raise UsageError(
                f"{method} needs {auxiliary.name}: {auxiliary.purpose}",
                hint=" ".join(_ways_to(auxiliary)),
            )


def examine(requirements: Requirements, options: Any, given: Mapping[str, Path]) -> list[str]:
    """Look into the auxiliary data that was given, which may take a minute; return the lines for the user.

    Args:
        requirements: those of the method.
        options: its options.
        given: paths of auxiliary data by name, which ``require`` has accepted.

    Raises:
        AuxiliaryError: training with these options can't use the data.
    """
    lines: list[str] = []
    for auxiliary in requirements.auxiliary:
        if auxiliary.name not in given:
            continue
        path = given[auxiliary.name]
        try:
            lines += auxiliary.check(path, options)
        except UsageError as error:
            raise AuxiliaryError(**error.parts) from error
        except PLUGIN_ERRORS as error:
            hint = "See the traceback with --debug"
            raise AuxiliaryError(f"--aux {auxiliary.name}={path}", found=described(error), hint=hint) from error
    return lines


def unmet(requirements: Requirements, options: Any, given: Mapping[str, Path]) -> list[str]:
    """What a method lacks to be trained with these options: "the package faiss", "--aux textures=DIR".

    Args:
        requirements: what it needs.
        options: its options.
        given: paths of auxiliary data by name.
    """
    packages = [f"the package {package.name}" for package in requirements.packages if not is_importable(package.name)]
    data = [each for each in requirements.auxiliary if each.name not in given and each.needed(options)]
    return packages + [f"--aux {each.name}={_placeholder(each)}" for each in data]


def require_packages(owner: str, packages: Sequence[Package]) -> None:
    """Refuse what needs packages that are not installed.

    Raises:
        UsageError: names the first one that is missing, and has the line that installs all of them.
    """
    missing = [package for package in packages if not is_importable(package.name)]
    if missing:
        first = missing[0]
        raise UsageError(
            f"{owner} needs the package {first.name}: {first.purpose}",
            hint=f"Install it: {install_line(missing)}",
        )


def install_line(packages: Sequence[Package]) -> str:
    """The command that installs packages."""
    return " ".join(["pip install", *(f'"{package.install}"' for package in packages)])


@contextmanager
def importing(thing: str, packages: Sequence[Package]) -> Iterator[None]:
    """Turn an error of an import into one that says how to install the packages again.

    Args:
        thing: what needs them, for messages.
        packages: those that ``require_packages`` has found, which may be broken all the same.

    Raises:
        UsageError: something can't be imported.
    """
    try:
        yield
    except ImportError as error:
        hint = f"Install it again: {install_line(packages)}" if packages else ""
        raise UsageError(thing, found=described(error), hint=hint) from error


def _require_given(method: str, requirements: Requirements, given: Mapping[str, Path]) -> None:
    """Refuse unknown names and missing paths."""
    known = {auxiliary.name: auxiliary for auxiliary in requirements.auxiliary}
    for name, path in given.items():
        if name not in known:
            raise unknown(name, {method: requirements})
        is_right = path.is_dir() if known[name].kind == "folder" else path.is_file()
        if not is_right:
            found = absent(path, known[name].kind) if path.exists() else "no such file or folder"
            raise UsageError(f"--aux {name}={path}", found=found, wanted=f"a {known[name].kind}: {known[name].purpose}")
        if path.is_dir() and not any(file.is_file() for file in path.rglob("[!.]*")):
            wanted = f"a folder with files: {known[name].purpose}"
            raise UsageError(f"--aux {name}={path}", found="an empty folder", wanted=wanted)


def unknown(name: str, methods: Mapping[str, Requirements]) -> UsageError:
    """The error for an auxiliary name that no method has."""
    known = sorted({auxiliary.name for each in methods.values() for auxiliary in each.auxiliary})
    if not known:
        return UsageError(f"--aux {name}", found=f"no auxiliary data in {', '.join(methods)}", hint="Leave it out")
    return UnknownNameError("auxiliary data", name, known, hint="See adbench list methods NAME")


def _ways_to(auxiliary: Auxiliary) -> Sequence[str]:
    """Sentences on where to get auxiliary data, and what happens without it."""
    source = f" ({auxiliary.source})" if auxiliary.source else ""
    found = [f"Give --aux {auxiliary.name}={_placeholder(auxiliary)}{source}."]
    if auxiliary.licence:
        found.append(f"Licence: {auxiliary.licence.rstrip('.')}.")
    if auxiliary.without:
        found.append(f"Without it: {auxiliary.without.rstrip('.')}.")
    return found


def _placeholder(auxiliary: Auxiliary) -> str:
    return "DIR" if auxiliary.kind == "folder" else "FILE"
