"""Options with values that nobody means: not a number, endless, negative, huge, empty, or in other letters."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from . import data
from .bad_images import Draw
from .bench import Bench, Verdict, clear_or_fault

NEUTRAL = ("--threads", "--label", "--device", "--keep", "--max-megapixels", "--cache-limit", "--split-seed", "--bad")
"""Options that move no number of these images."""

NUMERIC = (
    "--size", "--seed", "--seeds", "--eval-every", "--eval-size", "--holdout", "--target-false-alarms", "--folds",
    "--shots", "--test-share",
)  # fmt: skip
TEXTUAL = (
    "--amp", "--preset", "--class", "--setting", "--good", "--backbone", "--weights", "--test", "--track", "--aux",
    "--method", "--dataset", "--data-root", "--plugin",
)  # fmt: skip
OWN = ("batch_size", "size", "amp", "resize", "interpolation", "resize_to", "nothing", "", "é", "bright.batch_size")

NUMBERS = st.one_of(
    st.sampled_from([
        "nan", "inf", "-inf", "-1", "0", "1", "2", "1e308", "1e-320", "-0", "+1", "1e3", "0x10", "1_0", "１", "٣", "",
        " ", "64x", "x64", "64x64x64", "64x-64", "1,2", ",", "0,0", "1%", "-1%", "101%", "%", "NaN%", "½", "native",
        "auto", "none", "true", "1;2", str(10**30), str(2**31), str(2**63), str(2**64), "100000x100000", "1" * 5000,
    ]),
    st.integers(-10, 200).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(str),
)  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from([
        "", " ", ",", "all", "é", "e\u0301", "\u202egood", "../..", ".", "/", "nul", "CON", "a" * 300, "good,good",
        "{}", "%s", "$HOME", "~", "*", "bright", "bright,bright", "cpu", "cuda", "cuda:99", "mps", "paper",
        "one-class", "few-shot", "zero-shot", "multi-class", "a=b", "=", "\x1b[31m", "\n", "plates", "Plates",
        "plates,", "wandb,none",
    ]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
)  # fmt: skip


def try_option(draw: Draw[Any], bench: Bench, folder: Path) -> Verdict:
    """Odd options: a clear message; where the command runs, finite numbers, and the same ones if none can move."""
    words: list[str] = []
    names = set()
    for _ in range(draw(st.sampled_from([1, 1, 2]))):
        name = draw(st.sampled_from((*NEUTRAL, *NUMERIC, *TEXTUAL, "-o")))
        value = draw(NUMBERS if name in (*NUMERIC, "--threads", "--max-megapixels", "--cache-limit") else TEXTS)
        if name == "-o":
            value = f"{draw(st.sampled_from(OWN))}={draw(st.one_of(NUMBERS, TEXTS))}"
        names.add(name)
        words += [name, value]
    ended = bench.run(data.bright(Path("images"), *words), folder)
    if ended.code != 0:
        return clear_or_fault(ended)
    runs = [*(folder / "results").rglob("result.json")]
    if not runs:
        return Verdict("fault", "exit code 0 without a result")
    for path in runs:
        numbers = json.loads(path.read_text(encoding="utf-8"))["metrics"].values()
        if not all(number is None or math.isfinite(number) for number in numbers):
            return Verdict("fault", f"metrics {numbers}")
    if names <= set(NEUTRAL) and len(runs) == 1 and not bench.numbers_of(folder).equals(bench.reference("clean")):
        return Verdict("fault", "other numbers by options that move none")
    return Verdict("right")
