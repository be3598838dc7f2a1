"""Names that a person types, and the answer when there is no such name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NoReturn

from vidattn.errors import UnknownNameError

SHOWN = 30


def choose(
    what: str, name: str, known: Iterable[str], *, renamed: Mapping[str, str] | None = None
) -> str:
    """`name` if it is known.

    Args:
        what: the kind of thing, which begins the message.
        known: the names that there are.
        renamed: names of earlier versions -> what these are called now.

    Raises:
        UnknownNameError: it is not; the message has the new name, or the close matches, or else
            all names.
    """
    names = sorted(known)
    if name in names:
        return name
    if renamed and name in renamed:
        raise UnknownNameError(f"{what}: {name!r} is now called {renamed[name]!r}")
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


def refuse_renamed(
    package: str, find: Callable[[str], Any], renamed: Mapping[str, str]
) -> Callable[[str], Any]:
    """A package's `__getattr__` that answers public names of earlier versions with the new ones.

    Args:
        package: its name.
        find: its `__getattr__` for all other names.
        renamed: old name -> what to write now.
    """

    def find_public(name: str) -> Any:
        if name not in renamed:
            return find(name)
        # `from package import name` replaces the words of an AttributeError by its own.
        importing = "importlib._bootstrap" in sys._getframe(1).f_code.co_filename
        error = ImportError if importing else AttributeError
        raise error(f"{package}.{name} is now called {renamed[name]}")

    return find_public
