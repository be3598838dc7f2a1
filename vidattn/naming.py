"""Names that a person types, and the answer when there is no such name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from vidattn.errors import UnknownNameError

SHOWN = 30


def choose(what: str, name: str, known: Iterable[str]) -> str:
    """`name` if it is known.

    Raises:
        UnknownNameError: it is not; the message has the close matches, or else all names.
    """
    names = sorted(known)
    if name in names:
        return name
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        hint = f"did you mean {' or '.join(close)}?"
    else:
        hint = f"known are {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}"
    raise UnknownNameError(f"{what}: unknown name {name!r}; {hint}")
