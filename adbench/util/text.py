"""Makes text safe on a terminal, in XML, in a spreadsheet and as the name of a folder.

Names of classes, files and methods come from other people. A terminal would obey control characters in them, and a
spreadsheet would run a cell that begins with "=" as a formula.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, those of ESC and CSI among them
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # these turn the direction of writing
    "\u2028\u2029\ufffe\uffff\ud800-\udfff]"  # line ends, no characters, and bytes of a name that are not UTF-8
)

_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that a spreadsheet runs as a formula, or that is guarded already (OWASP, "CSV Injection")."""

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_LONGEST = 60


def printable(text: str) -> str:
    r"""Write control characters and the like as escapes such as ``\x1b`` or ``\n``; other text stays as it is."""
    return _UNSAFE.sub(lambda found: _escape(found.group()), text)


def _escape(letter: str) -> str:
    named = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a file's name that is not text
        code -= 0xDC00
    return named.get(letter, f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def spelled(name: str, known: Iterable[str]) -> str:
    """The known name that is the same in the form NFC, in which macOS writes letters otherwise; else the name itself.

    The same spelling comes first.
    """
    names = list(known)
    same = (each for each in names if unicodedata.normalize("NFC", each) == unicodedata.normalize("NFC", name))
    return name if name in names else next(same, name)


def json_escaped(document: str) -> str:
    r"""Escape what is unsafe on a terminal as ``\u009b`` in a JSON document; programs read the same text."""
    lines = document.split("\n")
    return "\n".join(_UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", line) for line in lines)


def in_letters(number: int) -> str:
    """Count in letters, from 0: a, b, ..., z, aa, ab, ..."""
    return (in_letters(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def plural(number: int, thing: str) -> str:
    """A number of things: "1 thread", "2 threads"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def duration(seconds: float) -> str:
    """Format a time: "42 s", "3 min 20 s", "5 h 10 min", "2 d 3 h"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{round(whole / 60)} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def share_text(share: float) -> str:
    """A share in percent, with up to three digits: "1%", "0.5%", "4.17%"."""
    return f"{100 * share:.3g}%"


def share_of(text: str) -> float:
    """The share that "1%" or "0.01" stands for. Raises ``ValueError`` for other texts, and outside of 0 to 1."""
    words = text.strip()
    try:
        number = Decimal(words.removesuffix("%").rstrip())
    except ArithmeticError as error:
        raise ValueError(text) from error
    value = float(number / 100 if words.endswith("%") else number)
    if not 0 < value < 1:
        raise ValueError(text)
    return value


# ---------------------------------------------------------------- spreadsheets


def guarded(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run as a formula; ``unguarded`` removes it."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """Read text that ``guarded`` wrote."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def csv_text(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    r"""Write rows as CSV. Text is guarded, numbers keep every digit, and None or no finite number is an empty cell.

    Bytes of a file's name that are not UTF-8 are written as escapes ("\udcff").
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in (header, *rows):
        cells = [_csv_cell(cell) for cell in row]
        # before Python 3.13, csv does not quote a lone carriage return, at which a reader starts a new row
        (quoting if any("\r" in cell for cell in cells if isinstance(cell, str)) else writer).writerow(cells)
    return stored_text(text.getvalue())


def _csv_cell(cell: object) -> object:
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    return guarded(cell) if isinstance(cell, str) else cell


def safe_name(name: str) -> str:
    """Turn any name into a readable folder name that every system accepts.

    A changed name gets a digest, so that two names never share a folder.
    """
    safe = _FORBIDDEN.sub("_", name[:_LONGEST]).rstrip(". ")
    if not safe or _RESERVED.fullmatch(safe):
        safe = f"_{safe}"
    return safe if safe == name else f"{safe}-{digest_of_text(name)}"


def is_safe_name(name: str) -> bool:
    """Whether every system accepts a name of a file or folder as it is, up to 255 bytes long."""
    return not (
        not name
        or _FORBIDDEN.search(name)
        or name != name.rstrip(". ")
        or _RESERVED.fullmatch(name)
        or len(name.encode("utf-8", "surrogatepass")) > 255
    )


def stored_text(text: str) -> str:
    r"""Write bytes of a file's name that are not UTF-8 as escapes ("\udcff"): valid JSON and readable CSV."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def digest_of_text(text: str) -> str:
    """8 hex digits of a text, which may be no UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
