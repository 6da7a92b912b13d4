"""Checks for a plugin's own tests: ``check_method`` and ``run`` of ``adbench.run.check_method``."""

from .run.check_method import CheckResult, check_method, run

__all__ = ["CheckResult", "check_method", "run"]
