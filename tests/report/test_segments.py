from __future__ import annotations

import pytest

from tests.report.test_page import EVIL, Reader
from vidattn.errors import ArgumentError
from vidattn.report import Segment, SegmentRows, render_page


def test_parts_lie_where_they_are_in_time() -> None:
    segments = [Segment("walk", 2.0, 4.0, 1.0), Segment("run", 4.0, 5.0, 0.0)]
    segments.append(Segment("walk", 5.0, 10.0, 0.5))
    page = Reader(render_page("p", [SegmentRows("film", segments, 2.0, 10.0)]))
    parts = [part for part in page.all("rect") if part["class"] == "fill"]
    assert [(part["x"], part["width"]) for part in parts] == [
        ("0.0%", "25.0%"), ("37.5%", "62.5%"), ("25.0%", "12.5%")
    ]  # fmt: skip
    assert [part["opacity"] for part in parts] == ["1.0", "0.625", "0.25"]
    assert "2.00 – 4.00 s, 100%" in page.text
    assert [each["aria-label"] for each in page.all("svg")] == ["walk: 7.0 s", "run: 1.0 s"]


def test_names_are_no_markup() -> None:
    page = Reader(render_page("p", [SegmentRows(EVIL, [Segment(EVIL, 0.0, 1.0, 1.0)], 0.0, 1.0)]))
    assert page.all("script") == []
    assert page.text.count(EVIL) == 2


def test_a_still_has_no_length() -> None:
    Reader(render_page("p", [SegmentRows("film", [Segment("a", 3.0, 3.0, 1.0)], 3.0, 3.0)]))


@pytest.mark.parametrize(
    "segment",
    [
        Segment("a", -1.0, 1.0, 1.0),
        Segment("a", 0.0, 3.0, 1.0),
        Segment("a", 1.0, 0.5, 1.0),
        Segment("a", 0.0, 1.0, 1.5),
        Segment("a", float("nan"), 1.0, 1.0),
    ],
)
def test_what_lies_outside_is_refused(segment: Segment) -> None:
    with pytest.raises(ArgumentError, match="segments: expected times from 0 to 2"):
        SegmentRows("film", [segment], 0.0, 2.0)
