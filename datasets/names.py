"""What names mean to the readers: which folders and files have good images, and which defective ones."""

from __future__ import annotations

from adbench.api import GOOD, name_key

GOOD_NAMES = (GOOD, "ok", "normal", "pass", "defect_free", "no_defect")
BAD_NAMES = (
    "bad", "ng", "ko", "defect", "defects", "defective", "anomaly", "anomalous", "abnormal", "fail"
)  # fmt: skip
"""Names of folders of good and of defective images, in lower case; those of files may have capitals."""


def is_good(name: str) -> bool:
    """Whether a folder of this name has good images."""
    return name_key(name) in GOOD_NAMES


def is_bad(name: str) -> bool:
    """Whether a folder of this name has defective images, of whatever type."""
    return name_key(name) in BAD_NAMES


def plural(number: int, thing: str) -> str:
    """A number of things, for messages: "1 image", "2 images"."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
