"""Scores that need no network."""

from __future__ import annotations

import numpy as np

from vidattn import selection
from vidattn.arrays import FloatArray
from vidattn.video import VideoReader, packet_evidence

# Frames held at once, and the short side that they are looked at with.
_FRAMES_AT_ONCE, _SHORT_SIDE = 64, 64


class DifferenceScorer:
    """How much each frame differs from the one before it; see `selection.difference_scores`."""

    name = "difference"
    method = "difference: mean change of the pixels from the frame before, in grey levels"

    def __call__(self, video: VideoReader) -> FloatArray:
        """(T,) in [0, 255]; 0 for the first frame."""
        chunks = video.chunks(frames_at_once=_FRAMES_AT_ONCE, short_side=_SHORT_SIDE)
        return selection.difference_scores(each.array for each in chunks)


class PacketScorer:
    """How much each frame cost to encode; nothing is decoded. See `video.packet_evidence`."""

    name = "packets"
    method = "packets: size of each packet beside others of its kind around it, without decoding"

    def __call__(self, video: VideoReader) -> FloatArray:
        """(T,) logarithms; 0 for what is usual."""
        return packet_evidence(video).values


class CoverageScorer:
    """How well each frame alone stands for the video; see `selection.coverage_scores`."""

    name = "coverage"
    method = "coverage: how well each frame alone stands for the whole video"

    def __call__(self, video: VideoReader) -> FloatArray:
        """(T,) in [0, 1]."""
        chunks = video.chunks(frames_at_once=_FRAMES_AT_ONCE, short_side=_SHORT_SIDE)
        sketch = selection.sketch_frames(each.array for each in chunks)
        return selection.coverage_scores(sketch, positions=video.frame_times.apart(0)[0])


class RandomScorer:
    """Chance: what any other score must beat.

    Args:
        seed: the same seed gives the same frames for videos of equal length.
    """

    name = "random"
    method = "random: every choice of frames is equally likely"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(self, video: VideoReader) -> FloatArray:
        """(T,) in [0, 1)."""
        return np.random.default_rng(self.seed).random(len(video))


class UniformScorer:
    """The same score for every frame: frames are spread evenly, whatever they show."""

    name = "uniform"
    method = "uniform: the middles of equal parts of the video"

    def __call__(self, video: VideoReader) -> FloatArray:
        """(T,) of 1."""
        return np.ones(len(video))
