"""Checks for a plugin's own tests: ``check_method`` for a method and ``check_dataset`` for a data set.

``run`` gives the result of each of a method's checks.
"""

from .run.check_dataset import check_dataset
from .run.check_method import check_method, run
from .run.check_outcome import CheckResult

__all__ = ["CheckResult", "check_dataset", "check_method", "run"]
