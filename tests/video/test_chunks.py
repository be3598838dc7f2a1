"""Reading a film a few frames at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vidattn.errors import ArgumentError
from vidattn.video import open_video
from vidattn.video.span import ReaderSpan


@pytest.mark.parametrize(
    ("size", "lengths"), [(1, [1] * 10), (4, [4, 4, 2]), (5, [5, 5]), (10, [10]), (11, [10])]
)
def test_chunks_are_the_frames_in_order(
    size: int, lengths: list[int], write_flash: Callable[..., Path]
) -> None:
    with open_video(write_flash(frame_count=10)) as reader:
        chunks = list(reader.chunks(frames_at_once=size))
        whole = reader.frames_at(range(10))
    assert [len(chunk) for chunk in chunks] == lengths
    assert torch.equal(torch.cat([chunk.pixels for chunk in chunks]), whole.pixels)
    assert torch.cat([chunk.indices for chunk in chunks]).tolist() == list(range(10))


def test_chunks_of_chosen_frames(write_flash: Callable[..., Path]) -> None:
    with open_video(write_flash(frame_count=10)) as reader:
        chunks = list(reader.chunks([7, 2, 2, 9, 0], frames_at_once=2, short_side=16))
        assert [chunk.indices.tolist() for chunk in chunks] == [[7, 2], [2, 9], [0]]
        assert {chunk.size for chunk in chunks} == {(16, 24)}
        assert list(reader.chunks([], frames_at_once=2)) == []


def test_a_chunk_is_read_when_it_is_wanted(
    write_flash: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_video(write_flash(frame_count=10)) as reader:
        asked: list[list[int]] = []
        original = reader.frames_at
        monkeypatch.setattr(
            reader, "frames_at", lambda i, **kw: asked.append(list(i)) or original(i, **kw)
        )
        chunks = reader.chunks(frames_at_once=3)
        assert asked == []
        next(chunks)
        assert asked == [[0, 1, 2]]


def test_chunks_of_a_span(write_flash: Callable[..., Path]) -> None:
    with open_video(write_flash(frame_count=20)) as film:
        chunks = list(ReaderSpan(film, 0.4, None).chunks(frames_at_once=6))
        assert torch.equal(chunks[0].pixels, film.frames_at(range(10, 16)).pixels)
    assert [chunk.indices.tolist() for chunk in chunks] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]


@pytest.mark.parametrize("size", [0, -3])
def test_a_chunk_holds_at_least_one_frame(size: int, write_flash: Callable[..., Path]) -> None:
    with (
        open_video(write_flash(frame_count=2)) as reader,
        pytest.raises(ArgumentError, match=f"{size}"),
    ):
        next(reader.chunks(frames_at_once=size))


def test_pictures_are_the_same_memory(write_flash: Callable[..., Path]) -> None:
    with open_video(write_flash(frame_count=3)) as reader:
        frames = reader.frames_at([0, 1, 2])
    pictures = frames.array
    assert pictures.shape == (3, 64, 96, 3)
    assert pictures[1, 5, 7].tolist() == frames.pixels[1, :, 5, 7].tolist()
    assert pictures.ctypes.data == frames.pixels.data_ptr()
