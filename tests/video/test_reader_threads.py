"""Several decoder threads: the same frames, and a way back to one thread where they may differ."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.video.numbered_films import encode, read_number
from vidattn.errors import ArgumentError, DecodeError, LimitError, VideoError
from vidattn.video import open_video
from vidattn.video.decoding.cursor import DecodingCursor
from vidattn.video.decoding.frame_search import FrameSearch
from vidattn.video.decoding.packet_decoder import PacketDecoder
from vidattn.video.decoding.threads import available_threads
from vidattn.video.readers.pyav_reader import PyavReader

COUNT = 96
KINDS = {
    "h264": {"g": "16", "bf": "3"},
    "h264, one group": {"g": "200", "bf": "3", "x264-params": "scenecut=0"},
    "h264, no B-frames": {"g": "16", "bf": "0"},
    "h264, intra only": {"g": "1"},
    "hevc": {"codec": "libx265", "x265-params": "keyint=16:log-level=0:pools=none"},
    "vp9": {"codec": "libvpx-vp9", "deadline": "realtime", "cpu-used": "8", "g": "16"},
    "mpeg4": {"codec": "mpeg4", "g": "16", "bf": "2"},
}


def numbers(reader: PyavReader, indices: list[int]) -> list[int]:
    frames = reader.frames_at(indices).pixels.permute(0, 2, 3, 1).numpy()
    return [read_number(frame) for frame in frames]


def requests(generator: np.random.Generator) -> list[list[int]]:
    sparse = [np.sort(generator.choice(COUNT, n, replace=False)).tolist() for n in (3, 12, 30)]
    start = int(generator.integers(COUNT - 32))
    return [*sparse, list(range(start, start + 32)), generator.integers(0, COUNT, 9).tolist()]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_threads_change_no_frame(kind: str, suffix: str, tmp_path: Path) -> None:
    film = encode(tmp_path / f"film{suffix}", COUNT, **KINDS[kind])
    generator = np.random.default_rng(0)
    with PyavReader(film, threads=1) as one:
        for threads in (2, 4):
            with PyavReader(film, threads=threads) as several:
                for wanted in requests(generator):
                    assert numbers(several, wanted) == wanted
                    assert torch.equal(
                        several.frames_at(wanted).pixels, one.frames_at(wanted).pixels
                    )
                assert several._source.may_be_held  # nothing failed on the way


def test_reading_on_with_threads(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, **KINDS["h264"])
    with PyavReader(film, threads=3) as reader:
        for start in range(0, COUNT, 6):
            wanted = list(range(start, start + 6))
            assert numbers(reader, wanted) == wanted
        assert reader._source.cursor.threads == 3


def test_groups_that_lie_apart_are_read_by_decoders_of_their_own(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, **KINDS["h264"])
    with PyavReader(film, threads=2) as reader:
        assert numbers(reader, [10, 20]) == [10, 20]
        assert numbers(reader, list(range(9, COUNT, 10))) == list(range(9, COUNT, 10))
        assert len(reader._helpers) == 1
        files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    if files:
        assert len(os.listdir("/proc/self/fd")) == files - 2


def blank_packet(film: Path, place: int) -> None:
    """Overwrite a packet of an MP4 with zeros: the container shows nothing of it."""
    with av.open(str(film)) as container:
        packet = next(islice(container.demux(video=0), place, None))
        start, size = packet.pos, packet.size
    data = bytearray(film.read_bytes())
    data[start : start + size] = bytes(size)
    film.write_bytes(bytes(data))


def outcome(reader: PyavReader, indices: list[int]) -> str | list[int]:
    try:
        return numbers(reader, indices)
    except DecodeError as error:
        return str(error)


@pytest.mark.parametrize("place", [20, 70, COUNT - 1])
@pytest.mark.parametrize("read_on", [False, True])
def test_a_packet_that_gives_no_frame_ends_threads(
    place: int, read_on: bool, tmp_path: Path
) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, **KINDS["h264, one group"])
    blank_packet(film, place)
    spans = [list(range(start, start + 12)) for start in range(0, COUNT, 12)]
    wanted = spans if read_on else [list(range(0, COUNT, 3)), [COUNT - 2, COUNT - 1]]
    with PyavReader(film, threads=3) as several, PyavReader(film, threads=1) as one:
        found = [outcome(several, indices) for indices in wanted]
        assert found == [outcome(one, indices) for indices in wanted]
        assert any(isinstance(each, str) for each in found)
        assert several._source.cursor.threads == 1


@pytest.mark.parametrize("wanted", [[3, 40, 80], list(range(30, 60)), list(range(9, COUNT, 10))])
def test_doubtful_frames_are_read_again(
    wanted: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, **KINDS["h264"])
    monkeypatch.setattr(FrameSearch, "_is_whole", lambda self, given: False)
    with PyavReader(film, threads=2) as reader:
        for _ in range(2):
            assert numbers(reader, wanted) == wanted
            assert reader._source.cursor.threads == 1
            assert not reader._source.may_be_held


def test_a_frame_that_does_not_come_out_ends_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, **KINDS["h264, one group"])
    drain = PacketDecoder.drain
    lost = []

    def lose_others(self: PacketDecoder) -> None:
        """What is swallowed where a decoder with threads is emptied."""
        drain(self)
        if reader._cursor.threads > 1:
            kept = [frame for frame in self.ready if frame.pts in wanted_times]
            lost.append(len(self.ready) - len(kept))
            self.ready = deque(kept)

    with PyavReader(film, threads=2) as reader:
        monkeypatch.setattr(PacketDecoder, "drain", lose_others)
        for wanted in ([20, 30], [61], [41, 71]):
            wanted_times = set(reader._index.timestamps[wanted].tolist())
            threads = reader._source.cursor.threads
            assert numbers(reader, wanted) == wanted
            assert reader._source.cursor.threads == (1 if any(lost) else threads)
        assert any(lost)


def read_in_child(reader: PyavReader, answers: multiprocessing.SimpleQueue) -> None:
    try:
        reader.frames_at([50])
        answers.put("frames")
    except ArgumentError as error:
        answers.put(str(error))
    reader.close()
    answers.put("closed")
    reader.__dict__.clear()  # nobody needs its decoder any more
    gc.collect()
    answers.put("gone")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_neither_hangs_nor_reads(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, **KINDS["h264, one group"])
    context = multiprocessing.get_context("fork")
    with PyavReader(film, threads=3) as reader:
        assert numbers(reader, [40]) == [40]
        answers = context.SimpleQueue()
        child = context.Process(target=read_in_child, args=(reader, answers))
        child.start()
        child.join(30)
        if child.exitcode is None:
            child.kill()
            pytest.fail("the child hangs")
        assert "another process" in answers.get()
        assert answers.get() == "closed"
        assert answers.get() == "gone"
        assert numbers(reader, [41]) == [41]


FORKING = """
import gc, os, sys

os.register_at_fork(after_in_child=gc.collect)  # before any hook of the readers
gc.disable()

from vidattn.video import open_video


def use(state):
    reader = open_video(sys.argv[1], threads=3)
    reader.frames_at([40])
    if state == "garbage":
        reader.itself = reader
    return reader


kept = use(sys.argv[2])
if sys.argv[2] == "garbage":
    del kept
child = os.fork()
if child:
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("state", ["open", "garbage"])
def test_a_forked_process_collects_garbage_and_ends(state: str, tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, **KINDS["h264, one group"])
    command = [sys.executable, "-c", FORKING, str(film), state]
    parent = subprocess.Popen(command, start_new_session=True)
    try:
        assert parent.wait(60) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system tells no threads")
def test_a_closed_reader_has_no_threads(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, **KINDS["h264, one group"])
    threads = Path("/proc/self/task")
    before = len(list(threads.iterdir()))
    with PyavReader(film, threads=3) as reader:
        assert numbers(reader, [10, 11, 12]) == [10, 11, 12]
        assert len(list(threads.iterdir())) > before
    assert len(list(threads.iterdir())) == before


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system tells no threads")
@pytest.mark.parametrize(
    ("kind", "name"),
    [(PacketDecoder, "_left_out"), (PacketDecoder, "_counts"), (DecodingCursor, "_begin_at")],
)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("max pixel count")])
def test_errors_that_are_kept_hold_no_threads(
    kind: type, name: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, **KINDS["h264"])
    threads = Path("/proc/self/task")
    before = len(list(threads.iterdir()))
    with PyavReader(film, threads=3) as reader:
        assert numbers(reader, [10, 11, 12]) == [10, 11, 12]

        def fail(self: object, *arguments: object) -> bool:
            raise error

        monkeypatch.setattr(kind, name, fail)
        with pytest.raises((KeyboardInterrupt, LimitError)) as caught:
            reader.frames_at([72, 73])
        assert caught.traceback
    assert len(list(threads.iterdir())) == before


def test_errors_name_the_packet(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, **KINDS["h264, no B-frames"])
    blank_packet(film, 20)
    with PyavReader(film, threads=1) as reader:
        assert reader.frames_at([19]).indices.tolist() == [19]
        with pytest.raises(DecodeError, match="cannot decode packet 20:"):
            reader.frames_at([20])


def test_how_many_threads_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert available_threads() == 3
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(available_threads()))
    thread.start()
    thread.join()
    assert seen == [1]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert available_threads() == 4
    film = encode(tmp_path / "film.mp4", 8)
    with pytest.raises(ArgumentError, match="at least 1"):
        open_video(film, threads=0)
    with pytest.raises(ArgumentError, match="only pyav"):
        open_video(film, "decord", threads=2)
    with pytest.raises(ArgumentError, match="only pyav"):
        open_video(film, salvage=True, threads=2)


def in_worker(film: str) -> int:
    with open_video(film) as reader:
        return reader._threads


class OneVideo(torch.utils.data.Dataset):
    def __init__(self, film: Path) -> None:
        self.film = str(film)

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        return in_worker(self.film)


def test_workers_of_a_loader_have_one(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4", 8)
    loader = torch.utils.data.DataLoader(OneVideo(film), num_workers=2)
    assert [int(count) for count in loader] == [1, 1]


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".mp4", "h264"), (".avi", "mpeg4"), (".mkv", "h264, one group")]
)
@pytest.mark.parametrize("moment", [3, 10, 41])
def test_an_interrupted_request_spoils_nothing(
    suffix: str, kind: str, moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = encode(tmp_path / f"film{suffix}", COUNT, **KINDS[kind])
    counts, calls = PacketDecoder._counts, iter(range(10**6))

    def interrupted(self: PacketDecoder, packet_or_frame: object) -> bool:
        if next(calls) == moment:
            raise KeyboardInterrupt
        return counts(self, packet_or_frame)

    with PyavReader(film, threads=1) as reader:
        monkeypatch.setattr(PacketDecoder, "_counts", interrupted)
        with pytest.raises(KeyboardInterrupt):
            reader.frames_at(range(0, COUNT, 2))
        for wanted in ([50, 60, 70], [12, 13, 14], [71, 80]):
            assert numbers(reader, wanted) == wanted


@pytest.mark.parametrize("threads", [1, 4])
def test_a_file_that_changes_is_noticed_when_it_is_opened_again(
    threads: int, tmp_path: Path
) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, **KINDS["h264"])
    other = encode(tmp_path / "other.mp4", COUNT, **KINDS["h264"])
    wanted = list(range(9, COUNT, 10))
    with PyavReader(film, threads=threads) as reader:
        assert numbers(reader, [50]) == [50]
        os.replace(other, film)
        if threads == 1:
            assert numbers(reader, wanted) == wanted  # it still has the old one open
            with pytest.raises(DecodeError, match="changed"):
                reader._cursor.rewind()
            with pytest.raises(DecodeError, match="changed"):
                reader.frames_at([5])  # nor is the new one read afterwards
        else:
            with pytest.raises(DecodeError, match="changed"):
                reader.frames_at(wanted)
    with PyavReader(film, threads=4) as reader:
        film.unlink()
        with pytest.raises(VideoError):
            reader.frames_at(wanted)


def test_a_closed_reader_stays_closed(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, **KINDS["h264"])
    reader = PyavReader(film)
    frames = reader.decoded_frames([3, 40])
    next(frames)
    reader.close()
    with pytest.raises(DecodeError, match="closed"):
        next(frames)
    with pytest.raises(DecodeError, match="closed"):
        reader.frames_at([1])
    with pytest.raises(DecodeError, match="closed"):
        _ = reader.sample_aspect_ratio
    unread = PyavReader(film)
    unread.close()
    with pytest.raises(DecodeError, match="closed"):
        _ = unread.size
