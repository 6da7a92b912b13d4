"""Tables in LaTeX: they compile, and show which value is the best."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from awkward_tables import awkward, hostile
from hypothesis import example, given
from hypothesis import strategies as st
from made_histograms import made
from made_results import make_result

from adbench import report
from adbench.report.render import render
from adbench.report.render.latex import PACKAGES, escaped
from adbench.report.tables import Table
from adbench.util.text import printable

PDFLATEX = shutil.which("pdflatex") or ""

SCRIPTS = "零件 деталь Łódź naïve çà ő ß ŧ ½ ™ 😀 e\u0301 --force `x' [y] * ?` !` fi~"
"""Letters that usual fonts have, that they lack, and that LaTeX takes for something else."""


def ranked() -> list[Table]:
    """A leaderboard with a best value and a tied one, and a comparison."""
    results, sure = made({"best": 2.0, "near": 1.9, "none": 0.0})
    return [
        *report.leaderboard(results, confidence=sure, letters=True),
        *report.compare(results, ["best", "near"], confidence=sure),
    ]


def compile_(text: str, folder: Path) -> str:
    """Compile a document with these tables, and return TeX's log. Fails if TeX reports an error."""
    packages = "".join(f"\\usepackage{{{name}}}\n" for name in PACKAGES)
    document = f"\\documentclass{{article}}\n{packages}\\begin{{document}}\n{text}\n\\end{{document}}\n"
    (folder / "paper.tex").write_text(document, encoding="utf-8")
    command = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60)
    log = (folder / "paper.log").read_text(encoding="utf-8", errors="replace")
    assert done.returncode == 0, [line for line in log.splitlines() if line.startswith("!")]
    assert (folder / "paper.pdf").read_bytes().startswith(b"%PDF")
    return log


@pytest.mark.skipif(not PDFLATEX, reason="no pdflatex on this machine: apt-get install texlive-latex-recommended")
def test_tables_compile_whatever_the_names(tmp_path):
    """PdfLaTeX accepts each kind of table with any names, and no table is wider than the text."""
    tables = [*ranked(), *awkward(), *hostile(), *report.leaderboard([make_result(SCRIPTS, SCRIPTS)], by_class=True)]
    log = compile_(render(tables, "latex"), tmp_path)
    assert "Overfull \\hbox" not in log
    assert "Missing character" not in log


def test_the_best_value_is_bold_and_ties_have_a_dagger():
    """The digits stay below each other, and notes under the table explain both marks."""
    (table, *_) = ranked()
    text = render([table], "latex")
    rows = {line.split(" & ")[1]: line for line in text.splitlines() if re.match(r"\d & ", line)}
    assert re.search(r"& \\textbf\{\d\d\.\d\d\} &", rows["best"])
    assert re.search(r"& \d\d\.\d\d\\rlap\{\$\^\{\\dagger\}\$\} &", rows["near"])
    assert "textbf" not in rows["none"] + rows["near"]
    assert "dagger" not in rows["none"] + rows["best"]
    assert r"Bold: the best of its column.\par" in text
    assert r"$^{\dagger}$: not significantly worse than the best" in text


def test_signs_and_ranges_are_typeset():
    """A minus is no hyphen, a range has a dash, and a missing value is a dash."""
    results, sure = made({"a": 0.5, "b": 2.0})
    text = render(report.compare(results, ["b", "a"], confidence=sure), "latex")
    assert re.search(r"& \$-\$\d+\.\d\d ", text)
    assert re.search(r"& \d+\.\d--\d+\.\d &", text)
    assert not re.search(r"& -\d", text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("padim:cpu,size=64x64", "padim:cpu,size=64x64"),
        ("50% & #1 {x}_^~\\$", r"50\% \& \#1 \{x\}\_\textasciicircum{}\textasciitilde{}\textbackslash{}\$"),
        ("--force", "-{}-force"),
        ("p >= 0.05", r"p $\geq$ 0.05"),
        ("[y]*", "{[}y{]}{*}"),
        ("Łódź é", r"\L{}\'{o}d\'{z} \'{e}"),
        ("a零件", r"a{\ifdefined\Umathchar 零件\else U+96F6 U+4EF6\fi}"),
    ],
)
def test_special_characters_are_written_as_commands(text, written):
    """Characters with a meaning in LaTeX are printed; letters that its fonts lack are named by number."""
    assert escaped(text) == written


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
@example("{}\\")
def test_any_text_is_balanced_and_has_no_bare_special_character(text):
    """Whatever the text, it can't open a group, start a comment or end a cell."""
    written = escaped(printable(text))
    bare = re.sub(r"\\[{}]", "", written)
    depth = 0
    for letter in bare:
        depth += (letter == "{") - (letter == "}")
        assert depth >= 0
    assert depth == 0
    assert not re.search(r"(?<!\\)[%#_&]", written)
