"""A digest of a method's code: the sources of its plugin's modules and of what they import from beside them.

No module is imported for that: imports are read from the syntax tree. It follows modules of the same top-level
package, of other packages with plugins, and modules that belong to no installed distribution, such as one beside a
``--plugin`` file. It doesn't follow the standard library, other installed packages, and ``adbench`` itself, for which
``NUMERICS`` counts. Data files and extension modules are not hashed; for an installed plugin the version of its
distribution counts as well.

Comments, formatting and docstrings don't count: what is hashed is the syntax tree.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

CORE = "adbench"

DIGITS = 16


@dataclass(frozen=True)
class Module:
    """A module by its dotted name and its source file."""

    name: str
    file: Path

    @property
    def package(self) -> str:
        """The package from which its relative imports start."""
        return self.name if self.file.name == "__init__.py" else self.name.rpartition(".")[0]

    @property
    def top(self) -> Path:
        """The folder of its top-level package, or the path of its top-level module without the suffix."""
        depth = self.name.count(".") + (self.file.name == "__init__.py")
        file = self.file.absolute()
        return file.parents[depth - 1] if depth else file.with_suffix("")


def module_of(name: str) -> Module | None:
    """A loaded module with its source; None without a source, or for the core and the standard library."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or _is_passed_over(name.partition(".")[0]):
        return None
    return Module(name, Path(file))


class Sources:
    """Reads sources, and remembers the content that imported modules had when they were first read.

    So the digest stays that of the running code, whatever is edited meanwhile.
    """

    def __init__(self) -> None:
        self._kept: dict[Path, bytes] = {}

    def digest(self, roots: Sequence[Module], *, label: str = "") -> str:
        """Hash the sources of some modules, of their packages, and of what they import from beside them.

        Modules count by the names under which they import each other, so moving them together changes nothing.

        Args:
            roots: the first modules.
            label: a text that counts as well, such as a distribution and its version.
        """
        first = roots[0].file.resolve() if roots else None  # no other module imports a plugin file by name
        imported = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
        found = []
        for module in self.reachable(roots):
            data = self._read(module.file)
            if str(module.file) in imported:
                self._kept[module.file] = data
            found.append(("" if module.file.resolve() == first else module.name, _parsed(data).content))
        return hashlib.sha256(repr((label, sorted(found))).encode()).hexdigest()[:DIGITS]

    def keep(self, roots: Sequence[Module]) -> None:
        """Remember all sources as they are now, before they are imported."""
        for module in list(self.reachable(roots)):
            self._kept[module.file] = self._read(module.file)

    def reachable(self, roots: Sequence[Module]) -> Iterator[Module]:
        """The modules whose sources count."""
        waiting = list(roots)
        for root in roots:
            if root.file.name == "__init__.py":
                waiting += _inside(root)
        seen: set[Path] = set()
        while waiting:
            module = waiting.pop()
            file = module.file.resolve()
            if file not in seen:
                seen.add(file)
                yield module
                for name in _parsed(self._read(module.file)).names(module.package):
                    waiting += _find(name, module)

    def _read(self, file: Path) -> bytes:
        if file in self._kept:
            return self._kept[file]
        try:
            return file.read_bytes()
        except OSError:
            return b""


def _inside(package: Module) -> Iterator[Module]:
    """All modules in a package's folder, since names made at run time may import any of them."""
    folder = package.file.parent
    for file in folder.rglob("*.py"):
        parts = file.relative_to(folder).with_suffix("").parts
        if not any(part.startswith(".") for part in parts):
            inner = parts[:-1] if parts[-1] == "__init__" else parts
            yield Module(".".join((package.name, *inner)), file)


def _find(name: str, importer: Module) -> Iterator[Module]:
    """The modules that importing a name runs, including packages above it; none for ignored modules."""
    top, *rest = name.split(".")
    if _is_passed_over(top):
        return
    path = importer.top if top == importer.name.partition(".")[0] else _top_of(top, importer)
    if path is None:
        return
    dotted = top
    for part in [*rest, None]:
        for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if file.is_file():
                yield Module(dotted, file)
                break
        if part is None or not path.is_dir():
            return
        path, dotted = path / part, f"{dotted}.{part}"


def _top_of(top: str, importer: Module) -> Path | None:
    """Path of a top-level module that is followed, as in ``Module.top``; None for any other."""
    try:
        spec = find_spec(top)  # for a top-level name this imports nothing
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None:  # it may still be imported by who finds what lies beside a plugin file
        return importer.top.with_name(top)
    places = [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.has_location and spec.origin else [])]
    for place in map(Path, places):
        if place.exists():
            followed = top in _plugin_packages() or not _is_installed(place)
            path = place if place.is_dir() else place.with_suffix("")
            return path if followed else None
    return None


def _is_passed_over(top: str) -> bool:
    return top == CORE or top in sys.stdlib_module_names


def _is_installed(place: Path) -> bool:
    """Whether a file belongs to Python or to an installed distribution."""
    if {"site-packages", "dist-packages"} & set(place.parts):
        return True
    return place.is_relative_to(sysconfig.get_path("stdlib"))


@cache
def _plugin_packages() -> frozenset[str]:
    return frozenset(point.module.partition(".")[0] for point in entry_points(group=CORE))


# ---------------------------------------------------------------- one file


@dataclass(frozen=True)
class _Parsed:
    """A source's digest, and its imports as (level, module, names)."""

    content: str
    imports: tuple[tuple[int, str, tuple[str, ...]], ...] = ()

    def names(self, package: str) -> Iterator[str]:
        """Dotted names of imports; what comes *from* a module may be a name in it, or a module."""
        for level, base, inner in self.imports:
            if level:
                parts = package.split(".") if package else []
                base = ".".join([*parts[: len(parts) - level + 1], *([base] if base else [])])
            if base:
                yield base
                yield from (f"{base}.{name}" for name in inner)


def syntax_tree(source: str | bytes) -> ast.Module:
    """Parse a source without a word of what its own author should change, such as a stray backslash in a docstring.

    With warnings as errors (``-W error``) such a source would be no Python, and have another digest.

    Raises:
        SyntaxError, ValueError, RecursionError: it is not Python, or too deep.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


@lru_cache(maxsize=512)
def _parsed(data: bytes) -> _Parsed:
    """Parse a source; if it is not Python, its bytes count, and it imports nothing."""
    try:
        tree = syntax_tree(data)
    except (SyntaxError, ValueError, RecursionError):
        return _Parsed(hashlib.sha256(data).hexdigest())
    imports: list[tuple[int, str, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [(0, alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.Call) and (name := _imported_by_call(node)):
            level = len(name) - len(name.lstrip("."))
            imports.append((level, name[level:], ()))
    text = _text(tree).encode("utf-8", "surrogatepass")
    return _Parsed(hashlib.sha256(text).hexdigest(), tuple(imports))


def _imported_by_call(node: ast.Call) -> str:
    """The name in ``import_module("name")`` or ``__import__("name")``; empty for other calls, and for made names."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    first = node.args[0] if node.args else None
    is_named = called in ("import_module", "__import__") and isinstance(first, ast.Constant)
    return first.value if is_named and isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def _text(node: object) -> str:
    """Write a syntax tree without docstrings and without empty fields.

    ``ast.dump`` writes fields that only some versions of Python have.
    """
    if isinstance(node, list):
        return f"[{','.join(map(_text, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for name, value in ast.iter_fields(node):
        if isinstance(node, ast.Constant) and name == "kind":
            continue
        if name == "body" and isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            value = value[1:] if ast.get_docstring(node, clean=False) is not None else value
        if value is not None and value != []:
            parts.append(f"{name}={_text(value)}")
    return f"{type(node).__name__}({','.join(parts)})"
