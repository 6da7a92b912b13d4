"""The docs keep up with the house."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_room_is_in_the_table_of_rooms():
    """A new module that is not listed in docs/architecture.md fails here."""
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = [path.name for path in (ROOT / "adbench").glob("*.py") if path.name != "__init__.py"]
    assert [room for room in rooms if f"`{room}`" not in table] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Every file that a page links to or shows is there."""
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_waits_for_its_numbers(page):
    """A word in capitals on a line of its own is where a table was meant to go."""
    assert re.findall(r"^[A-Z]+$", page.read_text(encoding="utf-8"), re.MULTILINE) == []
