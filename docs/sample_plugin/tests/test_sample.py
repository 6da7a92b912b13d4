"""Whether sample keeps the rules of adbench: it sees no test image, repeats, saves and resumes."""

from adbench import checks

import adbench_sample


def test_it_keeps_the_rules():
    """All checks of ``adbench check-method`` pass."""
    checks.check_method("sample", plugin_files=[adbench_sample.__file__])
