"""What people and programs see of results: tables of them, and how tables are written.

``adbench.report.leaderboard`` and the others are the functions, not the modules of the same names.
"""

from .compare import compare
from .leaderboard import leaderboard
from .runs import list_runs, trial_table

__all__ = ["compare", "leaderboard", "list_runs", "trial_table"]
