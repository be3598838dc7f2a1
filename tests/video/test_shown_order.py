"""Times of frames never go back, whatever the file says of its packets."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.video.numbered_films import encode
from vidattn.errors import DecodeError
from vidattn.video import open_video
from vidattn.video.decoding.cursor import DecodingCursor

PACKED = [
    "RATRACE_wave_f_nm_np1_fr_goo_37.avi",
    "TrumanShow_wave_f_nm_np1_fr_med_26.avi",
    "SchoolRulesHowTheyHelpUs_wave_f_nm_np1_ba_med_0.avi",
    "hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi",
]


@pytest.mark.parametrize("salvage", [False, True])
@pytest.mark.parametrize("name", PACKED)
def test_packed_b_frames(shared_data: Path, name: str, salvage: bool) -> None:
    """XviD's packets hold two pictures or none: each frame is shown after the one before."""
    [path] = (shared_data / "codecs").rglob(name)
    with open_video(path, salvage=salvage) as reader:
        steps = np.diff(reader.seconds_of(range(len(reader))))
        rate = reader.fps
    assert (steps >= 0).all()
    assert salvage or (steps > 0.9 / rate).all()
    assert np.median(steps) == pytest.approx(1 / rate)


@pytest.mark.parametrize("share", [0.64, 0.7, 0.8, 0.9])
def test_a_packet_that_is_cut_gives_no_frame(tmp_path: Path, share: float) -> None:
    whole = encode(tmp_path / "whole.avi", codec="mpeg4", g="10", bf="0")
    data = whole.read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(data[: int(len(data) * share)])
    with open_video(whole) as truth, open_video(cut) as reader:
        found = range(len(reader))
        assert reader.frames_at(found).pixels.equal(truth.frames_at(found).pixels)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_pictures_in_a_wrong_order_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """The tenth picture comes out with a time before that of the ninth."""
    path = encode(tmp_path / f"film.{suffix}", bf="0", g="40")
    monkeypatch.setattr("vidattn.video.readers.pyav_reader.suspicion", lambda *_: "made up")
    give = DecodingCursor.next_frame

    def disordered(self: DecodingCursor) -> object:
        frame = give(self)
        if frame is not None and self.emitted == 10:
            step = 2.5 / float(self.source.stream.average_rate)
            return SimpleNamespace(
                time=frame.time - step, pts=frame.pts, key_frame=False, is_corrupt=False
            )
        return frame

    monkeypatch.setattr(DecodingCursor, "next_frame", disordered)
    with open_video(path) as reader:
        seconds = reader.seconds_of(range(len(reader)))
        assert (np.diff(seconds) > 0).all()
        assert len(reader.frames_at(range(9))) == 9
        with pytest.raises(DecodeError, match=r"comes after that for .*--salvage"):
            reader.frames_at([9])
