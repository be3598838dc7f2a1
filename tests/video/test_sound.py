"""Sound that is copied: its packets are the file's own, at the times that they had."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from vidattn.video import VideoWriter
from vidattn.video.sound import SoundTrack, kept_sound

RATE = 48_000


def write_film(path: Path, codec: str = "aac", *, seconds: float = 3.0, fps: int = 25) -> Path:
    """A grey film with a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        audio = container.add_stream(codec, rate=RATE, layout="mono")
        for number in range(round(seconds * fps)):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 99, np.uint8), format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        step, kind = 1024, audio.codec_context.format.name
        for start in range(0, round(seconds * RATE), step):
            wave = np.sin(np.arange(start, start + step) * 2 * np.pi * 440 / RATE) / 2
            planar = wave[None].astype(np.float32)
            sound = av.AudioFrame.from_ndarray(
                planar if kind.startswith("flt") else (planar * 32767).astype(np.int16),
                format=kind,
                layout="mono",
            )
            sound.sample_rate, sound.pts = RATE, start
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    return path


def packets(path: Path) -> list[tuple[float, bytes]]:
    """(seconds, content) of the sound, as FFmpeg reads it."""
    with av.open(str(path)) as container:
        return [
            (float(packet.pts * packet.time_base), bytes(packet))
            for packet in container.demux(container.streams.audio[0])
            if packet.pts is not None
        ]


def copy(source: Path, target: Path, *, frames: int, start: float = 0.0, end: float = 1e9) -> Path:
    with (
        SoundTrack(source, start_seconds=start, end_seconds=end) as sound,
        VideoWriter(target, fps=25, size=(64, 64), sound=sound) as writer,
    ):
        for number in range(frames):
            writer.write(np.full((64, 64, 3), number % 256, np.uint8))
    return target


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "aac"), ("mkv", "flac"), ("mkv", "aac")])
def test_a_whole_track_is_copied_byte_by_byte(ending: str, codec: str, tmp_path: Path) -> None:
    source = write_film(tmp_path / f"film.{ending}", codec)
    before = [each for each in packets(source) if each[0] >= 0]
    after = packets(copy(source, tmp_path / "copy.mp4", frames=75))
    assert len(before) > 30
    assert [content for _, content in after] == [content for _, content in before]
    times = [seconds for seconds, _ in before]
    assert [seconds for seconds, _ in after] == pytest.approx(times, abs=2e-3)


def test_a_part_begins_where_its_pictures_do(tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mp4")
    after = packets(copy(source, tmp_path / "copy.mp4", frames=25, start=1.0, end=2.0))
    expected = [(t - 1.0, content) for t, content in packets(source) if 1.0 <= t < 2.0]
    assert [content for _, content in after] == [content for _, content in expected]
    assert after[0][0] == pytest.approx(expected[0][0], abs=2e-3)
    assert 0 <= after[0][0] < 0.03


def test_sound_lies_near_its_pictures_in_the_file(tmp_path: Path) -> None:
    """Players read on from both: neither may wait for the end of the other."""
    source = write_film(tmp_path / "film.mp4", seconds=16)
    copied = copy(source, tmp_path / "copy.mp4", frames=400)
    with av.open(str(copied)) as container:
        order = [
            (packet.pos, packet.stream.type, float(packet.dts * packet.time_base))
            for packet in container.demux()
            if packet.dts is not None and packet.pos is not None
        ]
    latest = {"video": 0.0, "audio": 0.0}
    for _, kind, seconds in sorted(order):
        latest[kind] = max(latest[kind], seconds)
        assert abs(latest["video"] - latest["audio"]) < 4


def test_a_file_without_sound_and_a_folder_have_none(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "mute.mp4", fps=25, size=(64, 64)) as writer:
        writer.write(np.zeros((64, 64, 3), np.uint8))
    for path in (tmp_path / "mute.mp4", tmp_path):
        assert kept_sound(path, ".mp4", start_seconds=0, end_seconds=9) == (None, "none")


def test_sound_that_does_not_fit_is_left_out_with_a_word(tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mov", "pcm_mulaw")
    sound, word = kept_sound(source, ".mp4", start_seconds=0, end_seconds=9)
    assert sound is None
    assert "pcm_mulaw" in word
    assert ".mp4" in word
