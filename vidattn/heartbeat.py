"""Signs of life: whatever takes long says now and then that it moves, for whoever may listen."""

from __future__ import annotations

from collections.abc import Callable

_listener: Callable[[], None] | None = None


def beat() -> None:
    """Say that something was done, such as one frame decoded; free where nobody listens."""
    if _listener is not None:
        _listener()


def listen(listener: Callable[[], None] | None) -> None:
    """Call `listener` at each beat of this process, and of those that it forks later.

    Args:
        listener: quick, callable from any thread; None for nobody.
    """
    global _listener
    _listener = listener
