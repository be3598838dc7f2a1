"""What the decoder gives, before any conversion, against PyAV's own sequential decode."""

from __future__ import annotations

import hashlib
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.test_codecs import PATCHED, REPRESENTATIVE, rows
from vidattn.errors import VideoError
from vidattn.video.readers.pyav_reader import PyavReader


def planes(frame: av.VideoFrame) -> str:
    """A digest of every plane's visible bytes, without the padding of its lines."""
    digest = hashlib.sha256(f"{frame.format.name} {frame.width}x{frame.height}".encode())
    for number, plane in enumerate(frame.planes):
        parts = [part for part in frame.format.components if part.plane == number]
        width = plane.width * sum((part.bits + 7) // 8 for part in parts)
        assert 0 < width <= plane.line_size
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        digest.update(lines[: plane.height, :width].tobytes())
    return digest.hexdigest()


def sequential(path: Path) -> tuple[list[float | None], list[str], int]:
    """Times, digests of the planes, and how many frames come before the first damaged one."""
    times: list[float | None] = []
    found: list[str] = []
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        try:
            for frame in container.decode(stream):
                times.append(frame.time)
                found.append(planes(frame))
        except av.error.InvalidDataError:
            pass  # damaged: what came before must be given all the same
    if path.suffix == ".avi" and None not in times:
        times.sort()  # AVI stores none: FFmpeg guesses them, packed pictures' in a wrong order
    whole = PATCHED.get(path.name, len(times))
    return times, found, whole


def check(path: Path) -> int:
    """Compare all frames, then random ones by a fresh reader; how many were compared."""
    times, expected, whole = sequential(path)
    generator = np.random.default_rng(0)
    assert whole > 0 or path.name in PATCHED, "nothing to compare with"
    with PyavReader(path) as reader:
        if path.name not in PATCHED:
            assert len(reader) == len(times)
        for index, frame in enumerate(reader.decoded_frames(range(whole))):
            assert planes(frame) == expected[index], index
            del frame
        if not reader.timestamps_made_up:
            assert reader.seconds_of(range(whole)) == pytest.approx(times[:whole], abs=1e-12)
    if not whole:
        return 0  # damaged from its first frame on: decoders patch the holes as they like
    compared = whole
    with PyavReader(path) as reader:
        for count in (1, 4, 2, 7, 3):
            wanted = generator.integers(0, whole, count)
            # In order, as a clip is read, what lies between is left out; then in any order.
            for order in (np.unique(wanted).tolist(), wanted.tolist()):
                for index, frame in zip(order, reader.decoded_frames(order), strict=True):
                    assert planes(frame) == expected[index], index
                    del frame
                    compared += 1
    return compared


def compare(folder: Path, names: tuple[str, ...] | None) -> None:
    failures, files, frames = {}, 0, 0
    for row in rows(folder):
        if row["status"] != "decodes" or (names and Path(row["path"]).name not in names):
            continue
        try:
            compared = check(folder / row["path"])
            frames += compared
            files += compared > 0
        except (AssertionError, VideoError, IndexError) as error:
            failures[row["path"]] = f"{type(error).__name__}: {error}"[:300]
    print(f"{files} files, {frames} frames equal; {len(failures)} files differ")
    assert not failures


def test_representative_files(shared_data: Path) -> None:
    compare(shared_data / "codecs", REPRESENTATIVE[::3])


@pytest.mark.slow
def test_all_files(shared_data: Path) -> None:
    compare(shared_data / "codecs", None)
