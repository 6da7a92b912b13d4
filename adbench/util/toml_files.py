"""Reads TOML files that people write; each error names the file, the key, what was found and what was wanted."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from .errors import OptionError, UnknownNameError, UsageError, absent, reason

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAMED = 24
"""Known keys that a message lists."""

LONGEST = 60
"""Characters of a value in a message."""

_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Value:
    """A value in a file, with its place: ``file`` as the user named it, and a ``key`` such as "methods[1].options".

    ``line`` counts from 1; it is 0 where it isn't known.
    """

    file: Path
    key: str
    value: Any
    line: int = 0

    @property
    def where(self) -> str:
        """File, line and key, for messages."""
        place = f"{self.file}, line {self.line}" if self.line else str(self.file)
        return f"{place}: {self.key}" if self.key else place

    def refuse(self, wanted: str, *, found: str = "", hint: str = "") -> NoReturn:
        """Raise an ``OptionError`` that says what was found here, and what was wanted."""
        raise OptionError(self.where, found=found or described(self.value), wanted=wanted, hint=hint)

    def item(self, name: str | int) -> Value:
        """A value of this table or list, which has it."""
        if isinstance(name, int):
            return Value(self.file, f"{self.key}[{name}]", self.value[name])
        word = name if _BARE.fullmatch(name) else f'"{name}"'
        return Value(self.file, f"{self.key}.{word}" if self.key else word, self.value[name])

    def items(self, wanted: str) -> list[Value]:
        """The values of this list, of which there must be some; another value is a list of itself alone."""
        if not isinstance(self.value, list):
            return [self]
        if not self.value:
            self.refuse(wanted, found="an empty list")
        return [self.item(number) for number in range(len(self.value))]

    def table(self, wanted: str = "a table", *, known: Iterable[str] | None = None) -> dict[str, Value]:
        """The values of this table by name.

        Args:
            wanted: what the table is, for the message if this is none.
            known: the names that may be there; None for any.

        Raises:
            OptionError: this is no table.
            UsageError: it has an unknown name, with the nearest known one.
        """
        if not isinstance(self.value, Mapping):
            self.refuse(wanted)
        found = {name: self.item(name) for name in self.value}
        names = None if known is None else list(known)
        for name, value in found.items():
            if names is not None and name not in names:
                raise unknown_key(value, name, names)
        return found

    def text(self, wanted: str = "a text") -> str:
        """The value as a text, which is not empty. Raises ``OptionError`` for anything else."""
        if not isinstance(self.value, str) or not self.value.strip():
            self.refuse(wanted)
        return self.value.strip()

    def whole(self, low: int, high: int | None = None) -> int:
        """The value as a whole number from ``low`` to ``high``. Raises ``OptionError`` for anything else."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
            self.refuse(f"a whole number from {low} up" if high is None else f"a whole number from {low} to {high}")
        return int(value)

    def flag(self) -> bool:
        """The value, which is true or false. Raises ``OptionError`` for anything else."""
        return self.value if isinstance(self.value, bool) else self.refuse("true or false")

    def path(self) -> Path:
        """The value as a path; a relative one is relative to the folder of the file."""
        return self.file.parent / Path(self.text("a path")).expanduser()


def unknown_key(value: Value, name: str, known: Iterable[str]) -> UsageError:
    """An error for a key that nothing reads, with the nearest one; a very long list of all would hide it."""
    names = list(dict.fromkeys(known))
    parts = UnknownNameError("key", name, names).parts
    wanted = parts["wanted"] if len(names) <= NAMED else f"one of {len(names)} keys"
    return UsageError(value.where, found="an unknown key", wanted=wanted, hint=parts["hint"])


def described(value: Any) -> str:
    """A value as TOML writes it, shortened: "'abc'", "true", "[1, 2]", "a table"."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and any(isinstance(each, (Mapping, list)) for each in value):
        return "a list of tables" if all(isinstance(each, Mapping) for each in value) else "a list of lists"
    if isinstance(value, list):
        text = f"[{', '.join(map(described, value[:LONGEST]))}]"
    elif isinstance(value, int) and abs(value) >= 10**LONGEST:
        text = f"a number of more than {LONGEST} digits"  # Python refuses to write out very long ones
    else:
        text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def read(path: Path) -> Value:
    """Read a file.

    Raises:
        UsageError: it can't be read, is no UTF-8, or is no TOML; then with line and column.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        found = reason(error) if path.is_file() else absent(path, "file")
        raise UsageError(f"{path}", found=found, wanted="a TOML file") from error
    return parse(data, path)


def parse(data: bytes, path: Path) -> Value:
    """Parse the content of a file. Raises the errors of ``read``."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line}", found="bytes that are no UTF-8", wanted="TOML in UTF-8") from error
    try:
        return Value(path, "", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(path, text, str(error)) from error
    except RecursionError as error:
        raise UsageError(f"{path}", found="brackets within brackets, too deep to read", wanted="TOML") from error
    except ValueError as error:  # a number with too many digits
        raise UsageError(f"{path}", found=str(error), wanted="TOML") from error


def read_lines(path: Path) -> dict[str, Value]:
    """Read the values of a flat file by key, each with its line. Raises the errors of ``read``."""
    values = read(path).table()
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return {key: replace(value, line=_line_of(key, lines)) for key, value in values.items()}


def _line_of(key: str, lines: list[str]) -> int:
    """The line of a key at the top of a document: the first lines up to it have the key, and those before have not."""
    for number, line in enumerate(lines, 1):
        if key in line:
            try:
                before = tomllib.loads("\n".join(lines[: number - 1]))
            except ValueError:  # within a value of several lines
                continue
            if key not in before and line.lstrip().lstrip("[\"'").startswith(key):
                return number
    return 0


def _syntax_error(path: Path, text: str, message: str) -> UsageError:
    place = _PLACE.search(message)
    said = _PLACE.sub("", message)
    lines = text.splitlines() or [""]
    line, column = (len(lines), len(lines[-1]) + 1) if place is None or place[1] is None else map(int, place.groups())
    wrong = lines[line - 1].strip() if line <= len(lines) else ""
    found = described(wrong) if wrong else "the end of the line or file"
    return UsageError(f"{path}, line {line}, column {column}: {said}", found=found, wanted="TOML")
