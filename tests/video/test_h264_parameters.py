"""Sequence parameters written bit by bit from the standard, and by x264."""

from __future__ import annotations

import random
from pathlib import Path

import av
import pytest

from tests.video.numbered_films import encode
from vidattn.video import open_video
from vidattn.video.limits import DEFAULT_LIMITS
from vidattn.video.packets.demuxer import open_container
from vidattn.video.packets.h264_parameters import tells_reordering
from vidattn.video.sources.local import LocalContent


class Writer:
    """Rec. ITU-T H.264, 7.3.2.1.1 and E.1, with whatever is optional at random."""

    def __init__(self, seed: int) -> None:
        self.bits = ""
        self.draw = random.Random(seed)

    def u(self, count: int, value: int | None = None) -> int:
        value = self.draw.getrandbits(count) if value is None else value
        self.bits += f"{value:0{count}b}"
        return value

    def ue(self, value: int | None = None) -> int:
        value = self.draw.choice((0, 1, 2, 5, 40, 300)) if value is None else value
        code = f"{value + 1:b}"
        self.bits += "0" * (len(code) - 1) + code
        return value

    def se(self, value: int) -> None:
        self.ue(2 * value - 1 if value > 0 else -2 * value)

    def sequence(self, *, order_type: int, usability: bool, restricted: bool) -> bytes:
        profile = self.draw.choice((66, 77, 88, 100, 110, 122, 244))
        self.u(8, profile), self.u(8, 0), self.u(8, 40), self.ue(0)
        if profile >= 100:
            chroma = self.ue(self.draw.choice((0, 1, 2, 3)))
            if chroma == 3:
                self.u(1)
            self.ue(2), self.ue(2), self.u(1)
            if self.u(1):
                for index in range(12 if chroma == 3 else 8):
                    if self.u(1):
                        self.scaling_list(16 if index < 6 else 64)
        self.ue(4), self.ue(order_type)
        if order_type == 0:
            self.ue()
        elif order_type == 1:
            self.u(1), self.se(-3), self.se(7), self.ue(2), self.se(1), self.se(-40)
        self.ue(4), self.u(1), self.ue(39), self.ue(22)
        if not self.u(1):
            self.u(1)
        self.u(1)
        if self.u(1):
            for _ in range(4):
                self.ue()
        if self.u(1, int(usability)):
            self.usability(restricted)
        self.bits += "1"  # the trailing bit
        raw = int(self.bits.ljust(-(-len(self.bits) // 8) * 8, "0"), 2)
        return raw.to_bytes(-(-len(self.bits) // 8), "big")

    def scaling_list(self, size: int) -> None:
        last, stop = 8, self.draw.randrange(size + 1)
        for place in range(size):
            following = 0 if place == stop else self.draw.randrange(1, 256)
            self.se((following - last + 128) % 256 - 128)
            if not following:
                return
            last = following

    def usability(self, restricted: bool) -> None:
        if self.u(1) and self.u(8, self.draw.choice((1, 255))) == 255:
            self.u(16), self.u(16)
        if self.u(1):
            self.u(1)
        if self.u(1):
            self.u(3), self.u(1)
            if self.u(1):
                self.u(24)
        if self.u(1):
            self.ue(0), self.ue(0)
        if self.u(1):
            self.u(32), self.u(32), self.u(1)
        buffered = [self.u(1), 0]
        if buffered[0]:
            self.buffering()
        buffered[1] = self.u(1)
        if buffered[1]:
            self.buffering()
        if any(buffered):
            self.u(1)
        self.u(1)
        if self.u(1, int(restricted)):
            self.u(1), self.ue(0), self.ue(0), self.ue(9), self.ue(9), self.ue(2), self.ue(4)

    def buffering(self) -> None:
        count = self.ue(self.draw.choice((0, 2)))
        self.u(4), self.u(4)
        for _ in range(count + 1):
            self.ue(), self.ue(), self.u(1)
        self.u(5), self.u(5), self.u(5), self.u(5)


def record(*units: bytes) -> bytes:
    """An avcC record (ISO/IEC 14496-15, 5.3.3.1.2), without picture parameters."""
    body = b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)
    return bytes((1, 100, 0, 40, 0xFF, 0xE0 | len(units))) + body + b"\0"


def unit(payload: bytes) -> bytes:
    """7.4.1: a 3 goes between two zeros and a byte below 4."""
    found, zeros = bytearray(b"\x67"), 0
    for byte in payload:
        if zeros >= 2 and byte < 4:
            found.append(3)
            zeros = 0
        found.append(byte)
        zeros = 0 if byte else zeros + 1
    return bytes(found)


@pytest.mark.parametrize("order_type", [0, 1, 2])
@pytest.mark.parametrize(("usability", "restricted"), [(0, 0), (1, 0), (1, 1)])
def test_what_is_written_is_read(order_type: int, usability: bool, restricted: bool) -> None:
    expected = order_type == 2 or bool(usability and restricted)
    for seed in range(200):
        writer = Writer(seed)
        payload = writer.sequence(order_type=order_type, usability=usability, restricted=restricted)
        assert tells_reordering(record(unit(payload))) is expected
        for size in range(0, len(payload) // 2, 3):  # cut off before the answer
            told = tells_reordering(record(unit(payload[:size])))
            assert not told or order_type == 2


def test_all_sets_must_tell() -> None:
    told, untold = (
        unit(Writer(0).sequence(order_type=0, usability=True, restricted=yes)) for yes in (1, 0)
    )
    assert tells_reordering(record(told, told))
    assert not tells_reordering(record(told, untold))
    assert not tells_reordering(record())
    assert not tells_reordering(record(told)[:20])
    assert not tells_reordering(record(b"\x68" + told[1:]))  # a set of another kind
    assert not tells_reordering(b"\0\0\0\1" + told)
    assert not tells_reordering(b"")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bf": "0"},
        {"profile": "baseline"},
        {"x264-params": "cqm=jvt:nal-hrd=vbr:vbv-maxrate=500:vbv-bufsize=500:fullrange=on"},
        {"x264-params": "interlaced=1:sar=4/3:colormatrix=bt709:chromaloc=1"},
        {"pixel_format": "yuv444p"},
    ],
)
def test_x264_always_tells(tmp_path: Path, settings: dict[str, str]) -> None:
    film = encode(tmp_path / "film.mkv", 24, **settings)
    with av.open(str(film)) as container:
        assert tells_reordering(bytes(container.streams.video[0].codec_context.extradata))


def test_matroska_that_does_not_tell_is_probed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = encode(tmp_path / "film.mkv", 24, bf="3")
    container, stream = open_container(LocalContent(str(film), film), DEFAULT_LIMITS, hasty=True)
    assert stream.codec_context.pix_fmt is None
    container.close()
    with open_video(film) as reader:
        expected = reader.frames_at(range(24)).pixels
    monkeypatch.setattr(
        "vidattn.video.packets.demuxer.tells_reordering", lambda configuration: False
    )
    container, stream = open_container(LocalContent(str(film), film), DEFAULT_LIMITS, hasty=True)
    assert stream.codec_context.pix_fmt == "yuv420p"
    container.close()
    with open_video(film) as reader:
        assert (reader.frames_at(range(24)).pixels == expected).all()
