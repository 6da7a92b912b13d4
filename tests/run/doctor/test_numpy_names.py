"""Names that the installed NumPy doesn't have are found in source code without running it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy
import pytest

from adbench.run.doctor.numpy_names import gone_in

SOURCE = """
import numpy as np
import numpy
import numpy.linalg
from numpy import float_, zeros


def late(x):
    np = x
    return numpy.bool8(np.float(x)) + zeros(1) + np.float32(x.float)
"""


@pytest.fixture
def source(tmp_path):
    """The file with two uses of names that are gone, and an import of a third."""
    path = tmp_path / "late.py"
    path.write_text(SOURCE)
    return path


def test_names_are_found_with_their_lines(source):
    """Attributes of the package under each of its names, and imports from it; float32 is there, so is linalg."""
    found = gone_in(source, numpy)
    assert [(each.name, each.line) for each in found] == [("float_", 5), ("bool8", 10), ("float", 10)]
    assert found[0].place.endswith("/late.py, line 5")
    assert {each.name: each.instead for each in found} == {
        "float_": "write np.float64 instead of np.float_", "float": "write float instead of np.float", "bool8": "",
    }  # fmt: skip


def test_only_what_this_numpy_lacks_counts(source):
    """Under an old NumPy that has the names, nothing is found."""
    old = SimpleNamespace(float=float, float_=float, bool8=bool, zeros=list, float32=float, linalg=None)
    assert gone_in(source, old) == []


def test_files_that_are_no_python_have_no_names(tmp_path):
    """A file that can't be parsed, or is not there, is no finding of this check."""
    broken = tmp_path / "broken.py"
    broken.write_text("import numpy as np\nnp.float(")
    assert gone_in(broken, numpy) == gone_in(tmp_path / "gone.py", numpy) == []
