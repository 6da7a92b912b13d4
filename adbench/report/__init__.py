"""Tables and pages of results, and how they are written.

``adbench.report.leaderboard`` and the others are functions, not the modules of the same names.
"""

from .by_option import by_option
from .compare import compare
from .leaderboard import leaderboard
from .runs import list_runs, trial_table, verdict_table
from .undefined import with_reasons

__all__ = ["by_option", "compare", "leaderboard", "list_runs", "trial_table", "verdict_table", "with_reasons"]
