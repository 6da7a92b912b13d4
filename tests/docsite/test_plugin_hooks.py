"""The page of hooks has every hook."""

from __future__ import annotations

from adbench.api import hooks, registry
from docsite import plugin_hooks


def test_every_hook_is_shown_with_its_signature():
    """Each hook has a section with its declaration, its sentence and what adbench itself offers by it."""
    (page,) = plugin_hooks.pages(registry.load())
    names = [name for name in vars(hooks) if name.startswith("adbench_")]
    assert [line[3:] for line in page.text.splitlines() if line.startswith("## ")] == names
    assert "def adbench_methods() -> Sequence[Method]: ..." in page.text
    assert "Return the methods of this plugin." in page.text
    assert "`padim`" in page.text
