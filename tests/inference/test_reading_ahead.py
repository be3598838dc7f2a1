from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
import torch

from vidattn.errors import VideoError
from vidattn.inference.reading_ahead import ReadingAhead, begun_ahead, is_worth_it
from vidattn.threads import limited_threads

WAIT_SECONDS = 10


def numbers(end: int, started: Callable[[int], None] = lambda number: None) -> Iterator[int]:
    """0 … end − 1, each begun when somebody asks for it."""
    for number in range(end):
        started(number)
        yield number


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_all_items_come_in_order(count: int) -> None:
    ahead = ReadingAhead(numbers(count))
    assert list(ahead) == list(range(count))
    assert list(ahead) == []


def test_one_item_is_read_before_it_is_asked_for_and_no_more() -> None:
    begun = [threading.Event() for _ in range(4)]
    with closing(ReadingAhead(numbers(4, lambda number: begun[number].set()))) as ahead:
        assert begun[0].wait(WAIT_SECONDS)
        assert not begun[1].wait(0.05)
        assert next(ahead) == 0
        assert begun[1].wait(WAIT_SECONDS)
        assert not begun[2].wait(0.05)


def test_items_are_read_while_the_caller_works() -> None:
    """The second item waits for what happens only after the first was given."""
    working = threading.Event()

    def items() -> Iterator[bool]:
        yield True
        yield working.wait(WAIT_SECONDS)

    with closing(ReadingAhead(items())) as ahead:
        next(ahead)
        working.set()
        assert next(ahead)


def test_an_error_is_raised_in_place_of_its_item() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise VideoError("a.mp4", "broken")

    ahead = ReadingAhead(items())
    assert next(ahead) == 1
    with pytest.raises(VideoError, match="broken"):
        next(ahead)
    assert list(ahead) == []


def test_closing_waits_for_what_is_being_read() -> None:
    entered, leave, left = threading.Event(), threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        entered.set()
        leave.wait(WAIT_SECONDS)
        left.set()
        yield 1

    ahead = ReadingAhead(items())
    assert entered.wait(WAIT_SECONDS)
    threading.Timer(0.05, leave.set).start()
    ahead.close()
    assert left.is_set()
    assert list(ahead) == []


class Opening:
    """Videos that tell what happens to them; number 2 cannot be opened."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def begin(self, number: int, stack: ExitStack) -> str:
        self.events.append(f"open {number}")
        stack.callback(self.events.append, f"close {number}")
        if number == 2:
            raise VideoError("2.mp4", "broken")
        return f"run {number}"


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        (False, "open 1, work 1, close 1, open 2, close 2, work 2, open 3, work 3, close 3"),
        (True, "open 1, open 2, close 2, work 1, close 1, open 3, work 2, work 3, close 3"),
    ],
)
def test_videos_are_begun_before_the_last_is_worked_on(ahead: bool, expected: str) -> None:
    opening = Opening()
    for number, run in begun_ahead([1, 2, 3], opening.begin, ahead=ahead):
        assert isinstance(run, VideoError) if number == 2 else run == f"run {number}"
        opening.events.append(f"work {number}")
    assert ", ".join(opening.events) == expected


def test_whoever_stops_leaves_nothing_open() -> None:
    opening = Opening()
    with closing(begun_ahead([1, 3, 4], opening.begin, ahead=True)) as runs:
        next(runs)
    assert opening.events == ["open 1", "open 3", "close 1", "close 3"]


def test_one_thread_stays_one() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    with limited_threads(1):
        assert (is_worth_it(cpu), is_worth_it(gpu)) == (False, True)
    with limited_threads(2):
        assert is_worth_it(cpu)
