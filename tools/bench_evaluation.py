"""What an evaluation costs beyond decoding and the network: one video, 30 clips, one thread.

Measures, in turn and several times: the frames of all clips decoded once; the network on clips
that lie ready, in the same batches; and `vidattn.evaluate`'s own loop over the same video. Prints
the ratio of the last to the sum of the others, of the fastest of each: by the clock, and by the
processor time of this process, which other programs disturb less.

Example:
  python tools/bench_evaluation.py match.mp4 --protocol pyslowfast-10x3
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import vidattn
from vidattn.data import ClipSpec, EvaluationTransform, Sample, collate_clips
from vidattn.data.evaluation_clips import EvaluationClips
from vidattn.jobs.clip_scores import EvaluationWork
from vidattn.models import LoadedRecogniser, Recogniser, RecogniserSpec
from vidattn.runs.shards import Shard
from vidattn.sampling.protocols import protocol

CLASSES = ("a", "b")


def main() -> int:
    parsed = parse()
    torch.set_num_threads(parsed.threads)
    torch.manual_seed(0)
    recogniser = Recogniser(RecogniserSpec(classes=CLASSES, backbone=parsed.backbone)).eval()
    clip = ClipSpec(frames=parsed.frames, frame_stride=parsed.stride)
    loaded = LoadedRecogniser(recogniser, clip, "random", "0" * 64)
    clips = EvaluationClips(clip, protocol=protocol(parsed.protocol))
    sample = Sample(parsed.video, ("a",), parsed.video.name)
    work = EvaluationWork(loaded, [sample], CLASSES, False, clips, batch_size=parsed.batch_size)
    steps = {
        "decode": lambda: decode(work),
        "forward": forward(work, loaded),
        "evaluate": lambda: list(work.records([[0]], Shard())),
    }
    wall, processor = fastest(steps, parsed.repeats)
    result = {
        "video": parsed.video.name,
        "protocol": parsed.protocol,
        "clips": clips.count,
        "frames_decoded": decode(work),
        "batch_size": parsed.batch_size,
        "seconds": with_ratio(wall),
        "processor_seconds": with_ratio(processor),
    }
    print(json.dumps(result, indent=2))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=Path)
    parser.add_argument("--protocol", default="pyslowfast-10x3")
    parser.add_argument("--backbone", default="slim")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--stride", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def decode(work: EvaluationWork) -> int:
    """Decode the frames that any clip wants, at the clips' short side; how many there are."""
    clips = work.clips
    with vidattn.open_video(work.samples[0].path) as reader:
        indices, _ = clips.indices(reader.frame_times)
        union = sorted(set(indices.ravel().tolist()))
        return len(reader.frames_at(union, short_side=clips.short_side))


def forward(work: EvaluationWork, loaded: LoadedRecogniser) -> Callable[[], Any]:
    """The network on clips that lie ready, normalised, in the batches of the evaluation."""
    batch = collate_clips([work.dataset()[0]])
    transform = EvaluationTransform(loaded.clip)
    parts = (batch.pixels.split(work.batch_size), batch.valid.split(work.batch_size))
    chunks = list(zip(*parts, strict=True))

    def run() -> None:
        with torch.inference_mode():
            for pixels, valid in chunks:
                loaded.recogniser(transform(pixels), valid)

    return run


def fastest(
    steps: dict[str, Callable[[], Any]], repeats: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of each step by the clock and of the processor, taken in turn."""
    wall = dict.fromkeys(steps, float("inf"))
    processor = dict(wall)
    for _ in range(repeats):
        for name, step in steps.items():
            started, used = time.perf_counter(), time.process_time()
            step()
            wall[name] = min(wall[name], time.perf_counter() - started)
            processor[name] = min(processor[name], time.process_time() - used)
    return wall, processor


def with_ratio(seconds: dict[str, float]) -> dict[str, float]:
    ratio = seconds["evaluate"] / (seconds["decode"] + seconds["forward"])
    return {name: round(value, 4) for name, value in (seconds | {"ratio": ratio}).items()}


if __name__ == "__main__":
    sys.exit(main())
