from __future__ import annotations

import doctest

import pytest

from vidattn.runs import waiting as module
from vidattn.runs.waiting import Report, waiting


def test_examples() -> None:
    assert doctest.testmod(module).failed == 0


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def lines(steps: list[tuple[float, float]], total: float, *, often: bool) -> list[str]:
    """What is said when so much is done after so many seconds, step by step."""
    said: list[str] = []
    clock = Clock()
    report = Report("evaluating", total, "videos", said.append, often=often, clock=clock)
    for passed, count in steps:
        clock.seconds += passed
        report.advance(count)
    return said


def test_the_first_clips_tell_how_long_all_will_take() -> None:
    # A tenth of a video in 4 seconds, nothing known before: 40 s a video, 150 videos.
    assert lines([(0, 0), (4, 0.1)], 150, often=False) == [
        "evaluating: about 1 h 40 min for 150 videos"
    ]


@pytest.mark.parametrize(
    ("steps", "total", "expected"),
    [
        # 90 of 100 were done by an earlier run: they say nothing of the pace.
        ([(0, 90), (10, 1)], 100, "evaluating: about 90 s for 9 videos"),
        # Processes that start late.
        ([(20, 0), (5, 0.5)], 10, "evaluating: about 95 s for 10 videos"),
    ],
)
def test_what_was_done_before_is_no_pace(
    steps: list[tuple[float, float]], total: float, expected: str
) -> None:
    assert lines(steps, total, often=False) == [expected]


@pytest.mark.parametrize(
    "steps", [[(0, 0), (1, 5)], [(0, 0), (8, 5), (8, 5)], [(0, 10)], [(0, 0), (60, 0)]]
)
def test_nothing_is_said_too_early_or_of_what_is_nearly_over(
    steps: list[tuple[float, float]],
) -> None:
    assert lines(steps, 10, often=True) == []


def test_a_line_now_and_then_where_no_bar_is_seen() -> None:
    steps = [(0.0, 0.0), *[(10.0, 1.0)] * 7]
    assert lines(steps, 20, often=True) == [
        "evaluating: about 3 min for 19 videos",
        "evaluating: 4 of 20 videos, about 3 min left",
        "evaluating: 7 of 20 videos, about 2 min left",
    ]
    assert len(lines(steps, 20, often=False)) == 1
    assert lines([*steps, (40.0, 13.0)], 20, often=True) == lines(steps, 20, often=True)  # done


def test_nothing_is_shown_where_nobody_wants_it(capfd: pytest.CaptureFixture[str]) -> None:
    with waiting("evaluating", 3, "videos", progress=False) as tick:
        for count in (0, 1.5, 1.5):
            tick(count)
    with waiting("evaluating", 3, "videos", progress=True) as tick:  # over in a moment
        tick(0)
        tick(3)
    assert capfd.readouterr() == ("", "")
