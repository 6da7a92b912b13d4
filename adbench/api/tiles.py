"""Options of images that are cut into tiles, for methods that never hear of it.

With ``tile`` the input of a method is a tile: ``size`` is the tile's, so that a detector is built as for ordinary
images of that size. ``resize_to`` is then the size that whole images are brought to before they are cut, None for
their own. A user says this with ``--size`` beside ``--tile``, and a preset's ``resize_to`` doesn't count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..util.errors import OptionError
from .data import Size
from .options import O, Options, option_text


def changed(options: O, changes: Mapping[str, Any], *, owner: str) -> O:
    """The options with a user's changes; with tiles, ``size`` and ``resize_to`` are those of the whole image.

    Raises:
        OptionError: both sizes of the whole image.
    """
    made = replace(options, **changes)
    if made.tile is None:
        return made
    if changes.get("size") and changes.get("resize_to"):
        found = f"resize_to={option_text('resize_to', changes['resize_to'])} as well"
        wanted = "the size that images have before they are cut into tiles, once"
        raise OptionError(f"option size of {owner}", found=found, wanted=wanted)
    own = options.resize_to if options.tile is not None else None
    whole = changes.get("size") or changes.get("resize_to") or (None if "resize_to" in changes else own)
    return replace(made, size=made.tile, resize_to=whole)


def asked_size(options: Options) -> Size | None:
    """The size that whole images are brought to: None for their own, which only tiles can be cut out of."""
    return options.size if options.tile is None else options.resize_to
