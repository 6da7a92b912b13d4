"""Reads and checks the fields of a checkpoint one by one, since the file may come from other people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from ..api.data import EvalSize, Setting
from ..util.errors import CheckpointError
from ..util.foreign import is_finite, is_share, is_whole, shown


class Fields:
    """Reads the fields of a checkpoint, each of its type, or raises ``CheckpointError``."""

    def __init__(self, path: Path, saved: Mapping[str, Any], hint: str) -> None:
        self.path, self.saved, self.hint = path, saved, hint

    def take(self, name: str, fits: Callable[[Any], bool], wanted: str, *default: Any) -> Any:
        """A field that ``fits``; without a ``default`` it must exist."""
        if name not in self.saved and default:
            return default[0]
        value = self.saved.get(name)
        if name not in self.saved or not (fits(value) or (default and value is default[0])):
            raise self.odd(name, shown(value) if name in self.saved else "nothing", wanted)
        return value

    def odd(self, name: str, found: str, wanted: str) -> CheckpointError:
        """The error about a field, with its value."""
        return CheckpointError(f"checkpoint {self.path}, '{name}'", found=found, wanted=wanted, hint=self.hint)

    def text(self, name: str) -> str:
        """A text that isn't empty."""
        return str(self.take(name, lambda value: isinstance(value, str) and value != "", "a text"))

    def whole(self, name: str, least: int, *default: int) -> int:
        """A whole number."""
        return int(self.take(name, lambda value: is_whole(value, least), f"a whole number from {least} up", *default))

    def share(self, name: str, most: float) -> float:
        """A share; 0 if the field is missing."""
        return float(self.take(name, lambda value: is_share(value, most), f"a number from 0 to {most:g}", 0.0))

    def table(self, name: str, *default: Mapping[str, Any]) -> Mapping[str, Any]:
        """A dict with texts as keys."""
        found: Mapping[str, Any] = self.take(name, _is_table, "a dict with texts for keys", *default)
        return found

    def texts(self, name: str) -> tuple[str, ...] | None:
        """A list of texts; None if the field is missing."""
        found = self.take(name, _are_texts, "a list of texts", None)
        return None if found is None else tuple(found)

    def numbers(self, name: str) -> tuple[float, float] | None:
        """Two finite numbers in ascending order; None if the field is missing."""
        found = self.take(name, _ascend, "two finite numbers in ascending order", None)
        return None if found is None else (float(found[0]), float(found[1]))

    def setting(self) -> Setting:
        """The setting of its training."""
        found: Setting = self.take("setting", _is_setting, "one of " + ", ".join(get_args(Setting)), "one-class")
        return found

    def shots(self) -> int | None:
        """Training images of each class in the setting "few-shot"."""
        found: int | None = self.take("shots", lambda value: is_whole(value, 1), "a number or None", None)
        return found

    def eval_size(self) -> EvalSize | None:
        """Size at which maps are compared; lists, which other writers may leave, become sizes."""

        def fits(value: Any) -> bool:
            return value == "native" if isinstance(value, str) else isinstance(value, (list, tuple)) and _is_size(value)

        found = self.take("eval_size", fits, "height and width, 'native' or None", None)
        return (int(found[0]), int(found[1])) if isinstance(found, (list, tuple)) else found


def _is_size(value: Any) -> bool:
    return len(value) == 2 and all(is_whole(side, 1) for side in value)


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _are_texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value)


def _ascend(value: Any) -> bool:
    """Whether a value is two finite numbers in ascending order."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return False
    return all(map(is_finite, value)) and bool(value[0] <= value[1])


def _is_setting(value: object) -> bool:
    return isinstance(value, str) and value in get_args(Setting)
