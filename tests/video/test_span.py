from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vidattn.errors import ArgumentError
from vidattn.video import open_video
from vidattn.video.span import ReaderSpan


def test_a_span_counts_its_frames_and_keeps_their_times(write_flash: Callable[..., Path]) -> None:
    path = write_flash(frame_count=50, fps=25)
    with open_video(path) as film:
        span = ReaderSpan(film, 0.4, 1.2)  # frames 10 to 29
        assert (len(span), span.first, span.reaches_the_end) == (20, 10, False)
        assert span.duration_seconds == pytest.approx(0.8)
        found, expected = span.frames_at([0, 19]), film.frames_at([10, 29])
        assert (found.pixels == expected.pixels).all()
        assert found.seconds.tolist() == expected.seconds.tolist() == pytest.approx([0.4, 1.16])
        assert found.indices.tolist() == [0, 19]
        between = span.frames_between(0.0, 0.5)
        assert between.seconds.tolist() == pytest.approx([0.4, 0.44, 0.48])
        for wrong in (-1, 20):
            with pytest.raises(IndexError):
                span.frames_at([wrong])


@pytest.mark.parametrize(
    ("start", "end", "count", "duration"),
    [(None, None, 50, 2.0), (1.6, None, 10, 0.4), (None, 0.1, 3, 0.12), (1.6, 99.0, 10, 0.4)],
)
def test_open_ends(
    write_flash: Callable[..., Path],
    start: float | None,
    end: float | None,
    count: int,
    duration: float,
) -> None:
    with open_video(write_flash(frame_count=50, fps=25)) as film:
        span = ReaderSpan(film, start, end)
        assert len(span) == count
        assert span.duration_seconds == pytest.approx(duration)
        assert span.reaches_the_end == (end is None or end > 2)


@pytest.mark.parametrize(("start", "end"), [(2.5, None), (None, 0.0), (1.0, 0.5), (0.41, 0.43)])
def test_a_span_without_frames_says_where_they_are(
    write_flash: Callable[..., Path], start: float | None, end: float | None
) -> None:
    with (
        open_video(write_flash(frame_count=50, fps=25)) as film,
        pytest.raises(ArgumentError, match=r"flash\.mp4: no frame lies .* from 0\.00 to 1\.96"),
    ):
        ReaderSpan(film, start, end)


def test_what_is_damaged_is_counted_from_the_span(
    write_flash: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    damage = [(0, 4, "before"), (8, 12, "cut"), (29, 40, "cut"), (45, 46, "after")]
    with open_video(write_flash(frame_count=50, fps=25), salvage=True) as film:
        assert ReaderSpan(film, 0.4, 1.2).valid_indices() == list(range(20))
        monkeypatch.setattr(type(film), "damaged_spans", property(lambda self: damage))
        assert ReaderSpan(film, 0.4, 1.2).damaged_spans == [(0, 2, "cut"), (19, 19, "cut")]


@pytest.mark.parametrize(
    ("start", "end", "name"),
    [
        (float("nan"), None, "start"),
        (None, float("nan"), "end"),
        (0.2, float("nan"), "end"),
        (float("nan"), 1.0, "start"),
    ],
)
def test_a_time_that_is_no_number_is_refused(
    write_flash: Callable[..., Path], start: float | None, end: float | None, name: str
) -> None:
    with (
        open_video(write_flash(frame_count=10, fps=25)) as film,
        pytest.raises(ArgumentError, match=f"{name}: expected seconds, got nan"),
    ):
        ReaderSpan(film, start, end)
