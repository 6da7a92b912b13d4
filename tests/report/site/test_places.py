"""Names of the pages' files: safe on every system, and different for different things."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import make_result

from adbench.report.site import places

NAMES = st.one_of(
    st.text(max_size=12), st.sampled_from(["con", "CON", "a/b", "..", "padim", "Padim", "padim ", "aux", ""])
)


@settings(max_examples=50)
@given(NAMES, NAMES)
def test_files_of_methods_are_safe_and_differ_in_any_case(one, other):
    """Only small letters, digits and hyphens, no name that Windows keeps for itself, no two methods in one file."""
    first, second = places.method_page(one), places.method_page(other)
    assert re.fullmatch(r"methods/[a-z0-9-]+\.html", first)
    assert first.removeprefix("methods/") not in ("con.html", "aux.html")
    assert (first == second) == (one == other)


@settings(max_examples=30)
@given(NAMES, NAMES, NAMES)
def test_files_of_runs_are_safe_and_differ(dataset, class_name, method):
    """Two runs share a file only if data set, class, method and run are the same."""
    one = make_result(method, class_name, dataset=dataset)
    assert re.fullmatch(r"runs/[a-z0-9-]+\.html", places.run_page(one))
    assert places.run_page(one) == places.run_page(make_result(method, class_name, dataset=dataset))
    assert places.run_page(one) != places.run_page(make_result(method, f"{class_name}x", dataset=dataset))


def test_a_plain_name_stays_as_it_is():
    """Addresses of methods can be guessed."""
    assert places.method_page("inp-former") == "methods/inp-former.html"
