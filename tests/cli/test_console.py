"""Messages of commands in a log."""

from __future__ import annotations

from adbench.cli import console


def test_a_log_gets_a_line_now_and_then(capsys):
    """Of many texts only the first in each interval is printed."""
    clock = iter([0.0, 5.0, 20.0, 20.0, 21.0, 36.0, 36.0])
    show = console.now_and_then(lambda: next(clock))
    watch = console.counted(show, "maps of padim on demo/brick")
    for done in (1, 2, 3, 4):
        watch("score", done, 4)
    said = capsys.readouterr().err.splitlines()
    assert said == ["maps of padim on demo/brick: score 2/4", "maps of padim on demo/brick: score 4/4"]
