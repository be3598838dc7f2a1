"""Work on one thing while a thread of its own reads the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from vidattn.threads import threads_in_use

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")


def is_worth_it(device: torch.device) -> bool:
    """Whether a thread may read while a network works: not where one thread was asked for."""
    return threads_in_use() > 1 or device.type != "cpu"


class ReadingAhead(Generic[Item]):
    """The items of an iterator, in order; the next is found while the last is worked on.

    Begins at once, so that the first is perhaps ready when somebody asks for it. One item waits at
    most. An error of the iterator is raised where its item would have come.

    Args:
        items: used in a thread, one item after the other, until `close` or its end.
    """

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="vidattn-ahead")
        self._next: Future[list[Item]] | None = self._begin()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if self._next is None:
            raise StopIteration
        try:
            found = self._next.result()
        except BaseException:
            self.close()
            raise
        if not found:
            self.close()
            raise StopIteration
        self._next = self._begin()
        return found[0]

    def close(self) -> None:
        """Wait until nothing is being read; what was read and not taken is lost."""
        self._next = None
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self) -> Future[list[Item]]:
        return self._pool.submit(lambda: list(islice(self._items, 1)))


def begun_ahead(
    numbers: Iterable[int], begin: Callable[[int, ExitStack], Item], *, ahead: bool
) -> Generator[tuple[int, Item | Exception], None, None]:
    """Begin with one video before the one in front of it is worked on.

    Args:
        numbers: of the videos.
        begin: opens a video and begins to read it; what is to be closed afterwards goes on the
            stack. Its errors are given in place of what it returns, when it is that video's turn.
        ahead: False to begin with a video when it is its turn.

    Yields:
        each number and what `begin` returned or raised.
    """
    waiting: deque[tuple[int, Item | Exception, ExitStack]] = deque()
    try:
        for number in numbers:
            waiting.append((number, *_begun(number, begin)))
            if len(waiting) > ahead:
                yield from _turn(waiting)
        while waiting:
            yield from _turn(waiting)
    finally:
        for *_, stack in waiting:
            stack.close()


def _begun(
    number: int, begin: Callable[[int, ExitStack], Item]
) -> tuple[Item | Exception, ExitStack]:
    with ExitStack() as stack:
        try:
            begun: Item | Exception = begin(number, stack)
        except Exception as error:
            return error, ExitStack()
        return begun, stack.pop_all()


def _turn(
    waiting: deque[tuple[int, Item | Exception, ExitStack]],
) -> Iterator[tuple[int, Item | Exception]]:
    number, begun, stack = waiting.popleft()
    with stack:
        yield number, begun
