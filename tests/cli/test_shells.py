"""Completion in real shells, where they are installed: bash, zsh and fish."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import adbench, posix_only

pytestmark = posix_only

LISTS = [
    ("run -m cs", "csflow"),
    ("run -m msflow,cs", "msflow,csflow"),
    ("run --method=cs", "--method=csflow"),
    ("run --method=msflow,cs", "--method=msflow,csflow"),
]
"""What is typed, and the word that comes of it."""


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A home folder with an ``adbench`` on the path, and the script of each shell where its users put it."""
    program = tmp_path / "bin" / "adbench"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom adbench.cli.main import main\nmain()\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("HOME", "ZDOTDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def script(shell: str) -> str:
    """What ``adbench completion SHELL`` prints; skips where the shell is not installed."""
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    return adbench("completion", shell).stdout


def answer(*command: str) -> str:
    """What a command prints; it has no errors."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(("typed", "word"), LISTS[:2])
def test_bash(home, typed, word):
    """The script calls adbench, and offers what that prints."""
    (home / "script").write_text(script("bash"))
    words = f"COMP_WORDS=(adbench {typed}); COMP_CWORD=3"
    command = f"source ./script; {words}; _adbench_completion adbench; echo ${{COMPREPLY[@]}}"
    assert answer("bash", "-c", command) == f"{word}\n"


@pytest.mark.parametrize(("typed", "word"), LISTS)
def test_fish(home, typed, word):
    """The same in fish: names behind a comma and behind an equals sign, too."""
    place = home / ".config" / "fish" / "completions" / "adbench.fish"
    place.parent.mkdir(parents=True)
    place.write_text(script("fish"))
    assert answer("fish", "-c", f'complete -C "adbench {typed}"') == f"{word}\n"


def test_fish_shows_whole_descriptions(home):
    """A comma in a description doesn't end it."""
    place = home / ".config" / "fish" / "completions" / "adbench.fish"
    place.parent.mkdir(parents=True)
    place.write_text(script("fish"))
    assert answer("fish", "-c", 'complete -C "adbench compl"') == (
        "completion\tPrint the script that completes commands and names in a shell.\n"
    )
    assert answer("fish", "-c", 'complete -C "adbench label"') == (
        "label\tGive a stored run your own words, which tables show.\n"
    )


ZSHRC = r"""
autoload -Uz compinit; compinit -u -D
{script}
complete-and-note() {{ zle complete-word; print -r -- "$BUFFER" >> seen; BUFFER=; }}
zle -N complete-and-note
bindkey "^I" complete-and-note
print ready > seen
"""
"""Tab completes the word, notes the line, and begins a new one."""


def test_zsh(home):
    """The same in zsh, by keys in a terminal: Tab completes the word, and the rest of the line stays."""
    (home / ".zshrc").write_text(ZSHRC.format(script=script("zsh")))
    lines = noted(home / "seen", [f"adbench {typed}\t" for typed, _ in LISTS])
    assert lines == [f"adbench {typed.rpartition(' ')[0]} {word}" for typed, word in LISTS]


def noted(place: Path, keys: list[str]) -> list[str]:
    """Start zsh in a terminal, type the keys one after the other, and return what it notes of each."""
    import pty

    def wait(count: int) -> list[str]:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if select.select([terminal], [], [], 0.05)[0]:
                os.read(terminal, 65536)  # what the terminal shows
            lines = place.read_text().splitlines() if place.exists() else []
            if len(lines) >= count:
                return [line.rstrip() for line in lines]
        raise AssertionError(lines)

    child, terminal = pty.fork()
    if child == 0:
        os.execvp("zsh", ["zsh", "-i"])
    try:
        for number, line in enumerate(keys, 1):
            wait(number)
            os.write(terminal, line.encode())
        return wait(len(keys) + 1)[1:]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)
