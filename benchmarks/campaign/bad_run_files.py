"""Run files that say the same in another form, are broken, or hold values that nobody means."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from . import data
from .bad_images import Draw
from .bench import Bench, Verdict, clear_or_fault

NAME = "suite.toml"

LINES: Mapping[str, str] = {
    "data": 'data = {name = "folder", root = "images"}',
    "classes": f'classes = ["{data.CLASS}"]',
    "methods": 'methods = ["bright"]',
    "seeds": "seeds = [0]",
    "device": 'device = "cpu"',
    "threads": "threads = 1",
    "results": 'results = "results"',
    "plugin": f"plugin = [{json.dumps(str(data.BRIGHT))}]",
}
"""The lines of a file that is right, by their keys."""

SAME: Mapping[str, tuple[str, ...]] = {
    "data": ('data = [{root = "./images", name = "folder"}]', 'data.name = "folder"\ndata.root = "images/../images"'),
    "classes": ('classes = "all"', f"classes = [\n  '{data.CLASS}', # the only one\n]"),
    "methods": ('methods = [{name = "bright"}]', 'methods = "bright"', 'methods = [{name = "bright", options = {}}]'),
    "seeds": ("seeds = [0x0]", "seeds = [0, 0]"),
    "threads": ("threads = 0b1", 'threads = "1"'),
}
"""Other forms of the same, or of what may be refused; never of other numbers."""

VALUES = st.sampled_from([
    "nan", "inf", "-inf", "-1", "0", "1", "1.0", "1e308", "0.5", "true", '""', '" "', '"all"', '"é"', '"\\u202e"', "[]",
    "[[]]", "{}", "[nan]", "[true]", "[0, [1]]", "[{}]", '["bright", "bright"]', '["bright", 1]', "1979-05-27",
    "07:32:00", str(10**30), str(2**63), str(2**32), "[-1]", '{name = "folder"}', '{name = 1, root = "images"}',
    '{name = "folder", root = ["images"]}', '{nam = "folder"}', '{name = "bright", options = {batch_size = [1, "x"]}}',
    '[{name = "bright", options = {batch_size = nan}}]', '[{name = "bright", options = [1]}]', '"../.."', '"/"',
    f'"{"a" * 5000}"', "[" * 200 + "]" * 200,
])  # fmt: skip
KEYS = (
    *LINES, "preset", "setting", "shots", "size", "amp", "holdout", "target_false_alarms", "folds", "eval_size",
    "label", "track", "executor", "workers", "options", "aux", "force", "dry_run", "nothing", "", "é", "seed", "a.b",
    "data.root",
)  # fmt: skip


def try_same_file(draw: Draw[Any], bench: Bench, folder: Path) -> Verdict:
    """Lines in another order, form or line end: the numbers of the command, or a message."""
    lines = dict(LINES)
    for key in draw(st.lists(st.sampled_from(sorted(SAME)), max_size=3, unique=True)):
        lines[key] = draw(st.sampled_from(SAME[key]))
    ordered = draw(st.permutations(list(lines.values())))
    text = draw(st.sampled_from(["\n", "\r\n", "\n\n# a note\n"])).join(ordered)
    (folder / NAME).write_bytes(draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode())
    ended = bench.run(("run", NAME), folder)
    if ended.code != 0:
        return clear_or_fault(ended)
    same = bench.numbers_of(folder).equals(bench.reference("clean"))
    return Verdict("right") if same else Verdict("fault", "other numbers by a run file of the same meaning")


def try_broken_file(draw: Draw[Any], bench: Bench, folder: Path) -> Verdict:
    """A file that is cut, or has odd bytes, keys or values: a message, or a run with finite numbers."""
    lines = dict(LINES)
    if draw(st.booleans()):
        key = draw(st.sampled_from(KEYS))
        lines[key] = f"{key} = {draw(VALUES)}"
        text = "\n".join(lines.values()).encode()
    else:
        whole = "\n".join(lines.values()).encode()
        start = draw(st.integers(0, len(whole)))
        end = draw(st.integers(start, min(len(whole), start + 8)))
        text = whole[:start] + draw(st.binary(max_size=4)) + (whole[end:] if draw(st.booleans()) else b"")
    (folder / NAME).write_bytes(text)
    ended = bench.run(("run", NAME, *draw(st.sampled_from([(), ("--dry-run",)]))), folder)
    if ended.code != 0:
        said_in_table = ": can't run, " in ended.output  # what a dry run found is its result
        return Verdict("clear") if said_in_table else clear_or_fault(ended)
    for path in folder.rglob("result.json"):
        numbers = json.loads(path.read_text(encoding="utf-8"))["metrics"].values()
        if not all(number is None or math.isfinite(number) for number in numbers):
            return Verdict("fault", f"metrics {numbers}")
    return Verdict("right")
