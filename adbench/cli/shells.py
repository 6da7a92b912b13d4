"""Scripts for zsh and fish: those of click, and what they lack.

click's zsh script replaces a whole ``--method=cs`` by ``csflow``; in fish nothing is offered for it, and names and
descriptions end at their first comma, so that ``msflow,cs`` isn't completed. bash takes ``=`` for the end of a word.
"""

from __future__ import annotations

from click.shell_completion import CompletionItem, FishComplete, ZshComplete, add_completion_class

BEFORE_ANSWER = "    response=("
"""The line of click's zsh script that asks adbench."""

BEHIND_EQUALS = "    [[ ${words[CURRENT]} == --*=* ]] && compset -P 1 '*='\n\n"
"""Tells zsh to complete only what follows ``--option=``."""

OFFER, OFFER_BEHIND = "compadd -U -V", 'compadd -U -i "$IPREFIX" -V'
"""Its line that offers names, and what makes it keep what stands before them."""

ALL_COMMAS, FIRST_COMMA = 'string split ","', 'string split -m 1 ","'
"""In fish an answer is KIND,NAME and perhaps a description: its other commas belong to them."""


class Zsh(ZshComplete):
    """Completion for zsh, of values behind ``=``, too."""

    source_template = ZshComplete.source_template.replace(BEFORE_ANSWER, BEHIND_EQUALS + BEFORE_ANSWER, 1).replace(
        OFFER, OFFER_BEHIND
    )


class Fish(FishComplete):
    """Completion for fish, of lists with commas and of values behind ``=``, too."""

    source_template = FishComplete.source_template.replace(ALL_COMMAS, FIRST_COMMA, 1)

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """The offers for the last word, as whole words: fish drops what doesn't begin with the typed text."""
        name, equals, _ = incomplete.partition("=")
        found = super().get_completions(args, incomplete)
        if not (equals and name.startswith("--")):
            return found
        return [CompletionItem(f"{name}={item.value}", item.type, item.help) for item in found]


def register() -> None:
    """Let click use these classes."""
    add_completion_class(Zsh)
    add_completion_class(Fish)
