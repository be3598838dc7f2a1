"""What every decoder must do, on the same files."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.video.numbered_films import FILMS, SIZE, draw, encode, read_number, turn
from vidattn.errors import ArgumentError, DecodeError
from vidattn.video import VideoReader, available_decoders, open_video

DECODERS = available_decoders()
Film = Callable[[str], Path]


def numbers(reader: VideoReader, indices: list[int]) -> list[int]:
    pixels = reader.frames_at(indices).pixels.permute(0, 2, 3, 1).numpy()
    return [read_number(frame) for frame in pixels]


def true_seconds(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


@pytest.fixture(params=DECODERS)
def decoder(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=FILMS)
def case(request: pytest.FixtureRequest, films: Film, decoder: str) -> tuple[Path, str]:
    if decoder != "pyav" and request.param == "transport_stream":
        pytest.skip("only pyav reads every transport stream; the others refuse some")
    return films(request.param), decoder


def test_every_frame_is_the_right_one(case: tuple[Path, str]) -> None:
    path, decoder = case
    seconds = true_seconds(path)
    with open_video(path, decoder) as reader:
        assert len(reader) == len(seconds) == (1 if "one_frame" in path.name else 40)
        assert reader.size == SIZE
        assert numbers(reader, list(range(len(reader)))) == list(range(len(reader)))
        assert reader.seconds_of(range(len(reader))) == pytest.approx(seconds)
        frames = reader.frames_at(range(len(reader)))
        assert frames.seconds.tolist() == pytest.approx(seconds)
        assert frames.indices.tolist() == list(range(len(reader)))
        assert frames.source_size == SIZE
        assert frames.pixels.permute(0, 2, 3, 1).is_contiguous()
        assert not frames.timestamps_made_up
        assert reader.decoder.split()[0] == decoder


def test_rate_and_duration(films: Film, decoder: str) -> None:
    with open_video(films("b_frames"), decoder) as reader:
        assert reader.fps == pytest.approx(25)
        assert reader.duration_seconds == pytest.approx(1.6)
    with open_video(films("variable_rate"), decoder) as reader:
        assert reader.fps == pytest.approx(39 / (39 * 0.04 + 0.9), rel=0.1)
    with open_video(films("one_frame"), decoder) as reader:
        assert reader.fps > 0
        assert reader.duration_seconds == pytest.approx(0.04)


def test_any_order_and_repeats_equal_a_sequential_read(case: tuple[Path, str]) -> None:
    path, decoder = case
    generator = np.random.default_rng(0)
    with open_video(path, decoder) as reader:
        every = reader.frames_at(range(len(reader)))
    with open_video(path, decoder) as reader:
        for count in (1, 3, 8, 1, 5, 2):
            indices = generator.integers(0, len(reader), count).tolist()
            frames = reader.frames_at(indices)
            assert (frames.pixels == every.pixels[indices]).all()
            assert (frames.seconds == every.seconds[indices]).all()
            assert frames.indices.tolist() == indices


def test_walking_backwards(films: Film, decoder: str) -> None:
    with open_video(films("open_groups"), decoder) as reader:
        assert [numbers(reader, [i])[0] for i in range(39, -1, -3)] == list(range(39, -1, -3))


def test_no_frame(films: Film, decoder: str) -> None:
    with open_video(films("b_frames"), decoder) as reader:
        frames = reader.frames_at([])
        assert tuple(frames.pixels.shape) == (0, 3, *SIZE)
        assert len(reader.frames_between(50, 60)) == 0
        assert len(reader.frames_between(0.8, 0.8)) == 0


def test_frames_between_holds_its_start_and_not_its_end(films: Film, decoder: str) -> None:
    with open_video(films("late_start"), decoder) as reader:
        seconds = reader.seconds_of(range(len(reader)))
        assert seconds[0] == pytest.approx(4.0)
        frames = reader.frames_between(seconds[3], seconds[9])
        assert frames.indices.tolist() == [3, 4, 5, 6, 7, 8]
        assert reader.frames_between(seconds[9] - 1e-6, 99).indices[0] == 9
        assert len(reader.frames_between(0, 3.99)) == 0


@pytest.mark.parametrize("index", [-1, 40, 10**12])
def test_index_out_of_range(films: Film, decoder: str, index: int) -> None:
    with open_video(films("b_frames"), decoder) as reader:
        with pytest.raises(IndexError, match="expected 0 to 39"):
            reader.frames_at([0, index])
        with pytest.raises(IndexError):
            reader.seconds_of([index])
        assert numbers(reader, [7]) == [7]


def test_wrong_arguments(films: Film, decoder: str) -> None:
    with open_video(films("b_frames"), decoder) as reader:
        with pytest.raises(ArgumentError, match="whole numbers"):
            reader.frames_at([0.5])  # type: ignore[list-item]
        with pytest.raises(ArgumentError, match="short_side"):
            reader.frames_at([0], short_side=0)


def test_close(films: Film, decoder: str) -> None:
    reader = open_video(films("b_frames"), decoder)
    reader.close()
    reader.close()
    with pytest.raises(DecodeError, match="closed"):
        reader.frames_at([0])


@pytest.mark.parametrize("short_side", [1, 17, 32, 64, 500])
def test_short_side_is_the_mean_of_areas(films: Film, decoder: str, short_side: int) -> None:
    with open_video(films("b_frames"), decoder) as reader:
        whole = reader.frames_at([3, 21])
        frames = reader.frames_at([3, 21], short_side=short_side)
    side = min(short_side, 64)
    assert frames.size == (side, round(side * 1.5))
    assert frames.source_size == SIZE
    if side == 32:
        blocks = whole.pixels.double().reshape(2, 3, 32, 2, 48, 2).mean((3, 5))
        # Averaging before the conversion to RGB instead of after it moves edges a little.
        assert (frames.pixels.double() - blocks).abs().mean() < 1.5
    if side == 64:
        assert (frames.pixels == whole.pixels).all()


# Where the stored picture's right and down go, as the track header says it, and as NumPy does.
TURNS = {
    "upright": ((1, 0, 0, 1), lambda x: x),
    "quarter": ((0, 1, -1, 0), lambda x: np.rot90(x, 3)),
    "half": ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
    "three_quarters": ((0, -1, 1, 0), lambda x: np.rot90(x, 1)),
}
MIRRORS = {
    "mirrored": ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
    "upside_down": ((1, 0, 0, -1), lambda x: x[::-1]),
    "transposed": ((0, 1, 1, 0), lambda x: x.transpose(1, 0, 2)),
}


@pytest.mark.parametrize("name", TURNS)
def test_rotation_is_applied(tmp_path: Path, decoder: str, name: str) -> None:
    """Row: rotation."""
    matrix, apply = TURNS[name]
    check_turned(tmp_path, decoder, matrix, apply)


@pytest.mark.parametrize("name", MIRRORS)
def test_mirroring_is_applied_or_refused(tmp_path: Path, decoder: str, name: str) -> None:
    matrix, apply = MIRRORS[name]
    if decoder == "pyav":
        check_turned(tmp_path, decoder, matrix, apply)
    else:
        path = turn(encode(tmp_path / "turned.mp4", 3), matrix)
        with pytest.raises(DecodeError, match="mirrored"):
            open_video(path, decoder)


def check_turned(
    folder: Path, decoder: str, matrix: tuple[int, ...], apply: Callable[..., np.ndarray]
) -> None:
    path = turn(encode(folder / "turned.mp4", 3, crf="5"), matrix)
    expected = apply(draw(2))
    with open_video(path, decoder) as reader:
        assert reader.size == expected.shape[:2]
        frames = reader.frames_at([2])
        found = frames.pixels[0].permute(1, 2, 0).numpy()
        assert frames.source_size == expected.shape[:2]
        small = reader.frames_at([2], short_side=16)
    assert np.abs(found.astype(int) - expected).mean() < 3
    assert small.size == tuple(side // 4 for side in expected.shape[:2])


@pytest.mark.parametrize("salvage", [False, True])
def test_pictures_go_without_the_garbage_collector(films: Film, salvage: bool) -> None:
    """Those of all films that are opened between two of its rounds would be held together."""
    path = films("b_frames")
    gc.collect()
    gc.disable()
    try:
        with open_video(path, salvage=salvage) as reader:
            reader.frames_at([0, 20])
        left = [each for each in gc.get_objects() if type(each) is av.VideoFrame]
        assert [frame for frame in left if (frame.height, frame.width) == SIZE] == []
    finally:
        gc.enable()


def test_names_of_any_kind(films: Film, tmp_path: Path, decoder: str) -> None:
    copy = tmp_path / "b: frames é 视频 %03d.mp4"
    copy.write_bytes(films("b_frames").read_bytes())
    with open_video(copy, decoder) as reader:
        assert numbers(reader, [5]) == [5]


@pytest.mark.skipif("decord" not in DECODERS, reason="decord is not installed")
def test_decord_refuses_transport_streams(films: Film) -> None:
    with pytest.raises(DecodeError, match="container mpegts"):
        open_video(films("transport_stream"), "decord")


def test_decoders_agree(films: Film) -> None:
    """Not on the last bit everywhere: each brings its own FFmpeg."""
    for name in ("b_frames", "open_groups", "variable_rate"):
        pixels = []
        for decoder in DECODERS:
            with open_video(films(name), decoder) as reader:
                pixels.append(reader.frames_at(range(0, 40, 7)).pixels.int())
        for first, second in itertools.pairwise(pixels):
            assert (first - second).abs().max() <= 2


def test_key_frames_are_those_that_were_encoded_as_such(films: Film, decoder: str) -> None:
    path = films("b_frames")
    with av.open(str(path)) as container:
        keys = [i for i, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    with open_video(path, decoder=decoder) as reader:
        assert reader.intra_frame_indices() == keys
        frames = reader.intra_frames().pixels.permute(0, 2, 3, 1).numpy()
    assert [read_number(frame) for frame in frames] == keys


def test_clips_in_one_pass_equal_clips_one_by_one(films: Film, decoder: str) -> None:
    clips = [[4, 5, 6, 7], [6, 6, 20], [], [39, 0]]
    with open_video(films("b_frames"), decoder=decoder) as reader:
        together = reader.clips(clips, short_side=32)
        for clip, found in zip(clips, together, strict=True):
            alone = reader.frames_at(clip, short_side=32)
            assert torch.equal(found.pixels, alone.pixels)
            assert found.pixels.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(found.seconds, alone.seconds)
            assert found.indices.tolist() == clip
