"""Names that a person types, and the answer when there is no such name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NoReturn

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


class Renamed:
    """An old name in a class: an error that names the new one, for class and instances alike.

    Hide it from type checkers, which then report the old name: `if not TYPE_CHECKING`.

    Args:
        new: the name to use now.
    """

    def __init__(self, new: str) -> None:
        self.new = new

    def __set_name__(self, owner: type, name: str) -> None:
        self.old = name

    def __get__(self, instance: Any, owner: type) -> NoReturn:
        raise AttributeError(f"{owner.__name__}.{self.old} is now called {self.new}")
