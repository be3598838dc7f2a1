"""A few hundred seeded mutations of real files, and what the tool does when a case misbehaves."""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
# Small, cheap, and of all usual containers and codecs.
FILES = (
    *("decord/unordered.mov", "torchcodec/animated.gif", "torchcodec/h265_video.mp4"),
    *("torchcodec/discard_first_keyframe.mp4", "torchcodec/testsrc2_mpeg4.mp4"),
    *("torchcodec/testsrc2_odd_width_mpeg2.mp4", "derived/vp9_1x1.webm", "derived/h264.flv"),
    *("derived/h264_single_frame.mp4", "derived/mpeg4_bframes.avi", "derived/theora.ogv"),
    *("derived/wmv2.wmv", "derived/mpeg1.mpg", "derived/hevc_main10.mkv", "derived/av1.mp4"),
    *("androidx/ts/sample_h262_mpeg_audio.ts", "androidx/ts/sample_h264_mpeg_audio.ts"),
)


def fuzz(shared_data: Path, tmp_path: Path, count: int, seed: int) -> dict[str, object]:
    (tmp_path / "files").mkdir()
    for name in FILES:
        source = shared_data / "codecs" / name
        (tmp_path / "files" / source.name).write_bytes(source.read_bytes())
    output = tmp_path / "fuzz.json"
    command = [sys.executable, TOOLS / "fuzz_decoding.py", tmp_path / "files", "--weigh"]
    options = [f"--count={count}", f"--seed={seed}", f"--scratch={tmp_path}", f"--output={output}"]
    paths = os.pathsep.join([str(TOOLS.parent), os.environ.get("PYTHONPATH", "")])
    found = subprocess.run(
        [*command, *options],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    return json.loads(output.read_text())


def check(found: dict[str, object], count: int) -> None:
    assert found["cases"] == count
    assert found["hangs"] == found["untyped_errors"] == found["child_crashes"] == 0
    assert found["findings"] == []
    assert int(str(found["most_mebibytes"])) < 1024


def test_three_hundred_mutations_end_well(shared_data: Path, tmp_path: Path) -> None:
    found = fuzz(shared_data, tmp_path, 300, seed=1)
    check(found, 300)
    assert isinstance(found["strict"], dict)
    assert {"frames", "NotAVideoError", "DecodeError"} <= set(found["strict"])


@pytest.mark.slow
def test_four_thousand_mutations_end_well(shared_data: Path, tmp_path: Path) -> None:
    check(fuzz(shared_data, tmp_path, 4000, seed=2), 4000)


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(str(TOOLS))
    import fuzz_decoding

    return fuzz_decoding


def test_cases_come_from_their_number_alone(tool, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for name in "ab":
        (tmp_path / f"{name}.mp4").write_bytes(random.Random(name).randbytes(3000))
    files = tool.small_files(tmp_path, 4000)
    cases = [tool.damaged(files, [1, 1], 3, case) for case in range(200)]
    assert cases[17] == tool.damaged(files, [1, 1], 3, 17)
    assert len({data for _, _, data in cases}) > 190
    used = {name for _, names, _ in cases for name in names.split("+")}
    assert used >= {damage.__name__ for damage in tool.DAMAGES}


def misbehave(path: Path, seed: int) -> dict[str, object]:
    """A reader that crashes, hangs, takes all memory, or raises what it should not."""
    if seed == 1:
        faulthandler.disable()
        os.kill(os.getpid(), 6)
    if seed == 2:
        time.sleep(60)
    if seed == 3:
        return {"strict": "UNTYPED ValueError", "trace": "…"}
    if seed == 4:
        try:
            bytearray(10**9)
        except MemoryError:
            return {"strict": "MemoryError"}
    return {"strict": "frames", "salvage": "all valid"}


def test_what_misbehaves_is_found_and_the_rest_goes_on(
    tool,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tool, "read", misbehave)
    (tmp_path / "a.mp4").write_bytes(random.Random(0).randbytes(3000))
    arguments = argparse.Namespace(
        seed=0, jobs=2, batch=4, memory=200, seconds=1.0, keep=tmp_path / "kept"
    )
    runner = tool.Runner(arguments, [tmp_path / "a.mp4"], tmp_path)
    records = sorted(runner.records(0, 8), key=lambda record: record["case"])
    assert [record["case"] for record in records] == list(range(8))
    assert [record["end"] for record in records][:3] == ["ended", "crash: SIGABRT", "hang"]
    assert records[4]["strict"] == "MemoryError"
    found = tool.summary(records)
    assert (found["hangs"], found["child_crashes"], found["untyped_errors"]) == (1, 1, 1)
    assert [finding["case"] for finding in found["findings"]] == [1, 2, 3]
    assert sorted(file.stem for file in (tmp_path / "kept").iterdir()) == [
        "case1",
        "case2",
        "case3",
    ]
