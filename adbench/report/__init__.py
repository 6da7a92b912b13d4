"""Tables and pages of results, and how they are written.

``adbench.report.leaderboard`` and the others are functions, not the modules of the same names.
"""

from .compare import compare
from .leaderboard import leaderboard
from .runs import list_runs, trial_table, verdict_table

__all__ = ["compare", "leaderboard", "list_runs", "trial_table", "verdict_table"]
