"""Writes a new plugin: a small package to install, with a test that passes, to start from.

A method starts as the one in ``docs/sample_plugin``: the templates give exactly its files for the name "sample".
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files as resources
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Literal

from ..api.registry import Registry
from ..util import files
from ..util.errors import UsageError, reason

Kind = Literal["method", "dataset"]

LONGEST = 40

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")

_IMPORTED = {"BackboneOptions", "Detector", "Epoch", "Method", "Preset", "Scores", "Positive"}
"""What the template of a method imports: its own classes can't have these names."""

_TITLES = {"method": "method", "dataset": "data set"}


@dataclass(frozen=True)
class NewPlugin:
    """A plugin that is to be written; its names are derived from that of its method or data set."""

    name: str
    kind: Kind

    @property
    def distribution(self) -> str:
        """The name under which it is installed, and of its folder: "adbench-my-method"."""
        return f"adbench-{self.name.replace('_', '-')}"

    @property
    def module(self) -> str:
        """The name under which it is imported: "adbench_my_method"."""
        return f"adbench_{self._identifier}"

    @property
    def _identifier(self) -> str:
        return self.name.replace("-", "_")

    @property
    def detector(self) -> str:
        """The class of a method's detector: "MyMethod"."""
        plain = "".join(part.capitalize() for part in self._identifier.split("_"))
        taken = keyword.iskeyword(plain) or not _IMPORTED.isdisjoint((plain, f"{plain}Options"))
        return f"{plain}Plugin" if taken else plain

    def texts(self) -> Mapping[str, str]:
        """The content of each file, by its path below the plugin's folder."""
        templates = {
            f"{self.module}.py": f"{self.kind}.py.txt",
            "pyproject.toml": "pyproject.toml.txt",
            "README.md": f"{self.kind}_readme.md.txt",
            f"tests/test_{self._identifier}.py": f"{self.kind}_test.py.txt",
        }
        values = {
            "name": self.name,
            "distribution": self.distribution,
            "module": self.module,
            "detector": self.detector,
            "options": f"{self.detector}Options",
        }
        folder = resources("adbench.run").joinpath("templates")
        return {
            path: Template(folder.joinpath(template).read_text(encoding="utf-8")).substitute(values)
            for path, template in templates.items()
        }


def plan(name: str, kind: Kind, registry: Registry) -> NewPlugin:
    """Check the name of a new plugin.

    Raises:
        UsageError: no name for a method or a module, or one that is taken here: by a method or data set, a module or
            an installed package.
    """
    what = f"{_TITLES[kind]} '{name}'"
    if name == "all":
        raise UsageError(what, found="the word for all of them", hint="Choose another name")
    if not _is_name(name):
        near = "-".join(re.findall("[a-z0-9]+", name.lower()))
        hint = f"Did you mean '{near}'?" if _is_name(near) else ""
        wanted = f"up to {LONGEST} lower-case letters, digits and hyphens, a letter first"
        raise UsageError(f"name '{name}'", wanted=wanted, hint=hint)
    new = NewPlugin(name, kind)
    for plugin in registry.plugins:
        if name in plugin.names(kind):
            found = f"that {plugin.origin.distribution or plugin.name} offers it already"
            raise UsageError(what, found=found, hint="Choose another name")
    if find_spec(new.module) is not None:
        raise UsageError(what, found=f"a module {new.module} already", hint="Choose another name")
    try:
        there = distribution(new.distribution)
    except PackageNotFoundError:
        return new
    raise UsageError(
        what, found=f"an installed package {there.name} {there.version} already", hint="Choose another name"
    )


def _is_name(text: str) -> bool:
    return len(text) <= LONGEST and _NAME.fullmatch(text) is not None


def write(plugin: NewPlugin, folder: Path) -> list[Path]:
    """Write a plugin's files; the folder is there with all of them, or not at all.

    Returns:
        The paths of the files below the folder.

    Raises:
        UsageError: the folder exists already, or can't be written.
    """
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"folder {folder}", found="that it exists already", wanted="a new one",
                         hint="Choose another place with --output DIR")  # fmt: skip
    texts = plugin.texts()
    try:
        with files.new_folder(folder) as own:
            for name, text in texts.items():
                path = own / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
            own.rename(folder)
    except OSError as error:
        raise UsageError(f"folder {folder} can't be written", found=reason(error)) from error
    return [Path(name) for name in texts]
