"""Tables with names that could break a format."""

from __future__ import annotations

from made_results import make_result

from adbench import report
from adbench.report.tables import Table


def awkward() -> list[Table]:
    """Tables with every character that could break a format."""
    results = [
        make_result("a_b|c", "50% & <more> #1 {x} ~^\\ $", image=0.123456789012345),
        make_result("d\"e'f,g", "零件 [bold]", pixel=None),
    ]
    return [
        *report.leaderboard(results),
        *report.leaderboard(results, by_class=True),
        *report.compare(results, ["a_b|c", "d\"e'f,g"]),
        report.list_runs(results),
    ]


def hostile() -> list[Table]:
    """Tables whose method, class and data set are escape sequences and formulas."""
    clear, formula = "\x1b[2J\x9b31m\u202e\udcff", '=HYPERLINK("http://x")'
    results = [
        make_result(clear, formula, dataset=clear, image=0.75),
        make_result(formula, formula, dataset=clear, image=0.5),
    ]
    return [
        *report.leaderboard(results),
        *report.leaderboard(results, by_class=True),
        *report.compare(results, [clear, formula]),
        report.list_runs(results),
    ]
