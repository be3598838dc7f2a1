"""Decoders with threads, in processes that are forked.

A forked process has none of its parent's threads, but all decoders that wait for them. Releasing
such a decoder would wait for ever, whoever does it: `close`, the garbage collector, or the
interpreter at its end. So the child never releases one.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Protocol
from weakref import WeakValueDictionary


class DecoderOwner(Protocol):
    """What holds a decoder that may have threads."""

    @property
    def decoder(self) -> Any | None:
        """PyAV's codec context; None where there is none now."""


_owners: WeakValueDictionary[int, DecoderOwner] = WeakValueDictionary()
_held: list[list[Any]] = []


def outlive_forks(owner: DecoderOwner) -> None:
    """From now on, processes forked from this one keep whatever decoder the owner then has."""
    _owners[id(owner)] = owner


def _hold() -> None:
    # Before the fork: the collector may run in the child before anything of ours does.
    owners = [reference() for reference in _owners.valuerefs()]
    decoders = [owner.decoder for owner in owners if owner is not None]
    _held.append([decoder for decoder in decoders if decoder is not None])


def _let_go() -> None:
    _held.pop()


def _keep_for_ever() -> None:
    # A reference that nobody counts: what is only held by a variable goes when the process ends.
    for decoder in _held.pop():
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(decoder))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_keep_for_ever)
