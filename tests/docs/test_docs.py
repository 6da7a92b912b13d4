"""The docs agree with the code and the files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_architecture_names_places_that_are_there():
    """Each file and function in the path of a command is where docs/architecture.md says."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    stops = re.findall(r"^\| \d+\. (.*?) \|", text, re.MULTILINE)
    assert 0 < len(stops) <= 10
    for stop in stops:
        place, *names = re.findall(r"`([^`]+)`", stop)
        inside = ROOT if place.startswith("plugins") else ROOT / "adbench"
        file = inside / place if place.endswith(".py") else inside / place / "__init__.py"
        source = file.read_text(encoding="utf-8")
        for name in names:
            if name.endswith(".py"):
                assert (inside / name).exists()
            else:
                assert f"def {name.rpartition('.')[2]}(" in source, (place, name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Every file that a page links to or shows exists."""
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_waits_for_its_numbers(page):
    """A word in capitals on its own line would be a placeholder for a table."""
    assert re.findall(r"^[A-Z]+$", page.read_text(encoding="utf-8"), re.MULTILINE) == []
