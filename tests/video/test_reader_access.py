"""What a person does with a reader at hand: its length, indices, iteration, words and pictures."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vidattn
from vidattn.naming import Renamed
from vidattn.video import Clip, Frames, Geometry, VideoReader
from vidattn.video import reader as reader_module
from vidattn.video.span import ReaderSpan


@pytest.fixture
def film(write_flash: Callable[..., Path]) -> Path:
    return write_flash("a.mp4", frame_count=48)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for number in range(7):
        picture = np.full((6, 8, 3), number * 30, np.uint8)
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{number}.png")
    return tmp_path / "pictures"


def test_indices_are_those_of_a_list(folder: Path) -> None:
    """The frames of the folder are grey, 30 times their number."""
    numbers = list(range(7))
    with vidattn.open_video(folder) as reader:
        for place in (0, 3, 6, -1, -7, np.int64(2)):
            frames = reader[place]
            assert isinstance(frames, Frames)
            assert (frames.array == 30 * numbers[place]).all()
            assert frames.indices_array.tolist() == [numbers[place]]
        for part in (slice(2, 5), slice(None, None, 3), slice(-3, None), slice(None, None, -2)):
            assert reader[part].indices_array.tolist() == numbers[part]
            assert (reader[part].array[:, 0, 0, 0] // 30).tolist() == numbers[part]
        assert reader[5:2].array.shape == (0, 6, 8, 3)
        for place in (7, -8, 10**20):
            with pytest.raises(IndexError, match="pictures: frame"):
                reader[place]


def test_an_iteration_gives_every_frame_and_holds_a_few(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "_ITERATION_BYTES", 5 * 64 * 96 * 3 + 1)
    asked: list[int] = []
    with vidattn.open_video(film) as reader, vidattn.open_video(film) as other:
        whole = other.frames_at(range(48))
        ask = reader.frames_at

        def counted(indices: range, *, short_side: int | None = None) -> Frames:
            asked.append(len(indices))
            return ask(indices, short_side=short_side)

        monkeypatch.setattr(reader, "frames_at", counted)
        found = list(reader)
    assert asked == [5] * 9 + [3]
    assert [len(frames) for frames in found] == [1] * 48
    assert (np.concatenate([frames.array for frames in found]) == whole.array).all()
    assert [float(frames.seconds) for frames in found] == whole.seconds.tolist()


def test_frames_of_any_size_are_iterated_one_by_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "_ITERATION_BYTES", 1)
    with vidattn.open_video(folder) as reader:
        assert sum(1 for _ in reader) == 7


def test_a_span_is_read_by_its_own_indices(film: Path) -> None:
    with vidattn.open_video(film) as reader:
        span = ReaderSpan(reader, 0.4, 1.2)
        assert span[0].seconds_array.tolist() == reader[10].seconds_array.tolist()
        assert (span[-1].array == reader[29].array).all()
        assert [int(frames.indices_array[0]) for frames in span] == list(range(20))
        assert span.metadata.frame_count == 20
        assert span.metadata.first_seconds == pytest.approx(0.4)
        assert span.metadata.codec == "h264"


def test_words_are_short_and_say_what_it_is(film: Path, folder: Path) -> None:
    reader = vidattn.open_video(film)
    assert re.fullmatch(
        r"PyavReader\('a\.mp4', 48 frames, 96×64, 25 fps, 1\.92 s, pyav [\d.]+\)", repr(reader)
    )
    frames = reader.frames_at([3, 10])
    assert repr(frames) == "Frames(pixels (2, 3, 64, 96), 0.120 to 0.400 s)"
    assert repr(frames[0]) == "Frames(pixels (1, 3, 64, 96), 0.120 s)"
    assert repr(frames[:0]) == "Frames(pixels (0, 3, 64, 96))"
    reader.close()
    assert repr(reader).startswith("PyavReader('a.mp4', 48 frames, ")
    closed = vidattn.open_video(film)
    closed.close()
    assert repr(closed).startswith("PyavReader('a.mp4', 48 frames, 25 fps")
    with vidattn.open_video(folder) as pictures:
        assert repr(pictures).startswith("ImageFolderReader('pictures', 7 frames, 8×6, 25 fps")


def clip() -> Clip:
    return Clip(
        np.zeros((4, 3, 6, 8), np.uint8),  # type: ignore[arg-type]
        np.arange(4) / 10,  # type: ignore[arg-type]
        np.arange(4),  # type: ignore[arg-type]
        np.array([True, True, True, False]),  # type: ignore[arg-type]
        Geometry.whole((6, 8)),
        "film/1",
        2,
    )


def test_clips_have_words_and_parts_too() -> None:
    whole = clip()
    assert repr(whole) == (
        "Clip('film/1', view 2, pixels (4, 3, 6, 8), 0.000 to 0.300 s, 1 not valid)"
    )
    part = whole[1:3]
    assert (part.video_id, part.view, part.geometry) == ("film/1", 2, whole.geometry)
    assert part.indices.tolist() == [1, 2]
    assert np.shares_memory(part.array, whole.array)
    assert [len(each) for each in whole] == [1] * 4


def picture_of(text: str) -> Image.Image:
    found = re.search(r"data:image/png;base64,([A-Za-z0-9+/=]+)", text)
    assert found is not None
    return Image.open(io.BytesIO(base64.b64decode(found.group(1))))


def test_notebooks_show_frames_side_by_side(folder: Path) -> None:
    with vidattn.open_video(folder) as reader:
        picture = np.asarray(picture_of(reader._repr_html_()))
        # Six of seven frames, 128 × 96 each, 4 white pixels between them: 0, 1, 2, 4, 5, 6.
        assert picture.shape == (96, 6 * 132 - 4, 3)
        shown = [picture[48, 64 + 132 * place, 0] // 30 for place in range(6)]
        assert shown == [0, 1, 2, 4, 5, 6]
        assert (picture[:, 128:132] == 255).all()
        frames = reader.frames_at([5, 2])
    assert picture_of(frames._repr_html_()).size == (260, 96)
    assert "<img" not in frames[:0]._repr_html_()
    assert picture_of(clip()._repr_html_()).size == (4 * 132 - 4, 96)


def test_names_are_no_html(write_flash: Callable[..., Path]) -> None:
    with vidattn.open_video(write_flash("a<b>&.mp4", frame_count=3)) as reader:
        shown = reader._repr_html_()
    assert "a&lt;b&gt;&amp;.mp4" in shown
    assert "<b>" not in shown


def test_a_closed_reader_shows_its_facts_without_pictures(film: Path) -> None:
    reader = vidattn.open_video(film)
    reader.close()
    assert "48 frames" in reader._repr_html_()
    assert "<img" not in reader._repr_html_()


def test_metadata(film: Path, folder: Path) -> None:
    with vidattn.open_video(film) as reader:
        found = reader.metadata
        assert (found.frame_count, found.fps, found.duration_seconds) == (48, 25, 1.92)
        assert (found.codec, found.size, found.packet_count) == ("h264", (64, 96), 48)
        assert (found.intra_frame_count, found.longest_intra_frame_gap_seconds) == (1, 1.88)
        assert found.decoder == reader.decoder
    with vidattn.open_video(film, salvage=True) as reader:
        salvaged, exact = asdict(reader.metadata), asdict(found)
    for name in ("duration_seconds", "longest_intra_frame_gap_seconds"):
        assert salvaged.pop(name) == pytest.approx(exact.pop(name))
    assert salvaged == exact
    for decoder in vidattn.video.available_decoders():
        with vidattn.open_video(film, decoder) as reader:
            other = reader.metadata
            assert other.decoder.startswith(decoder)
            assert asdict(other) | {"decoder": ""} == asdict(found) | {"decoder": ""}
    with vidattn.open_video(folder) as reader:
        pictures = reader.metadata
    assert (pictures.codec, pictures.container, pictures.packet_count) == ("", "", None)
    assert (pictures.intra_frame_count, pictures.timestamps_made_up) == (7, True)
    assert pictures.to_json()["size"] == [6, 8]


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        (VideoReader, "keyframes", "intra_frames"),
        (VideoReader, "keyframe_indices", "intra_frame_indices"),
        (Frames, "from_rows", "from_array"),
    ],
)
def test_old_names_name_the_new_ones(kind: type, old: str, new: str) -> None:
    assert hasattr(kind, new)
    message = rf"^{kind.__name__}\.{old} is now called {new}$"
    with pytest.raises(AttributeError, match=message):
        getattr(kind, old)


def test_old_names_of_instances(film: Path) -> None:
    with (
        vidattn.open_video(film) as reader,
        pytest.raises(AttributeError, match=r"PyavReader\.keyframes is now called intra_frames"),
    ):
        reader.keyframes()  # type: ignore[attr-defined]


def test_any_class_may_rename() -> None:
    class Pump:
        speed = Renamed("rate")

    assert not hasattr(Pump, "speed")
    with pytest.raises(AttributeError, match=r"Pump\.speed is now called rate"):
        Pump().speed  # noqa: B018
