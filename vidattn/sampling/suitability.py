"""Whether a protocol tests a model on something like the clips that it was trained on.

Published protocols do not repeat training exactly, and need not: 256 pixels where a network saw 224
are usual. A factor of 1.5 is not: no published figure was measured so, and networks fall off there.
Normalisation is no matter of the protocol: clips are always normalised as the model's own were.
"""

from __future__ import annotations

import typing

from vidattn.sampling import views
from vidattn.sampling.protocols.evaluation_protocol import Protocol
from vidattn.sampling.protocols.published import PROTOCOLS

# Of videos that are not known yet.
NOMINAL_FPS = 30.0
LARGEST_FACTOR = 1.5
SHOWN = 5

_SPREAD = {
    views.mmaction2_spread_views,
    views.something_views,
    views.tsm_views,
    views.tsn_views,
    views.videomae_something_views,
}


class TrainedClip(typing.Protocol):
    """What is asked of a clip that a model was trained on; a `ClipSpec` has it all."""

    @property
    def frames(self) -> int:
        """T."""

    @property
    def sampling(self) -> str:
        """ "dense" where frames are a fixed step apart, else they are spread over the video."""

    @property
    def short_side(self) -> int:
        """Pixels of the shorter side of a whole frame."""

    @property
    def crop_size(self) -> int:
        """Pixels of a side of the clip."""

    @property
    def aspect(self) -> str:
        """ "stretch" where frames were made square."""

    def stride_at(self, fps: float) -> float:
        """Frames from one to the next in a video of that rate."""


def filled(protocol: Protocol, clip: TrainedClip, fps: float = NOMINAL_FPS) -> Protocol:
    """A protocol with the model's own frames and stride where it leaves them open.

    Args:
        protocol: by name or not.
        clip: what the model was trained on.
        fps: of the video; matters where the protocol counts at no rate of its own.
    """
    stride = clip.stride_at(protocol.target_fps or fps) if clip.sampling == "dense" else 1
    return protocol.for_clip(frames=clip.frames, stride=max(round(stride), 1))


def mismatches(protocol: Protocol, clip: TrainedClip, *, per_frame: bool = False) -> list[str]:
    """In what a protocol differs from training so much that its figures mean little.

    Args:
        protocol: with or without its frames and stride.
        clip: what the model was trained on.
        per_frame: the network sees each frame by itself, so that their number and what lies
            between them do not matter to it.

    Returns:
        what differs, each in a few words; nothing where the protocol suits.
    """
    own = filled(protocol, clip)
    found = [] if per_frame else [*_frames(own, clip), *_steps(own, clip)]
    return [*found, *_sizes(own, clip)]


def suitable(clip: TrainedClip, *, per_frame: bool = False) -> dict[str, list[str]]:
    """Name of every published protocol -> why it does not suit; an empty list where it does."""
    return {each.name: mismatches(each, clip, per_frame=per_frame) for each in PROTOCOLS}


def warning(protocol: Protocol, clip: TrainedClip, *, per_frame: bool = False) -> str | None:
    """A line for somebody who is about to evaluate by this protocol; None where it suits."""
    reasons = mismatches(protocol, clip, per_frame=per_frame)
    if not reasons:
        return None
    fitting = [name for name, why in suitable(clip, per_frame=per_frame).items() if not why]
    if fitting:
        more = f" and {len(fitting) - SHOWN} more" if len(fitting) > SHOWN else ""
        hint = f"suitable are {', '.join(fitting[:SHOWN])}{more}"
    else:
        hint = "no published one suits; without --protocol, clips are made as in training"
    return f"protocol {protocol.name} does not suit this model: {'; '.join(reasons)}; {hint}"


def _frames(own: Protocol, clip: TrainedClip) -> list[str]:
    assert own.frames is not None
    if own.frames == clip.frames or _factor(own.frames, clip.frames) < LARGEST_FACTOR:
        return []
    unit = "frame" if own.frames == 1 else "frames"
    return [f"it gives {own.frames} {unit} a clip, the model was trained on {clip.frames}"]


def _steps(own: Protocol, clip: TrainedClip) -> list[str]:
    """How far apart in time the frames of a clip are."""
    assert own.frames is not None
    if min(own.frames, clip.frames) == 1:
        return []  # no step at all
    spread, trained_spread = own.sampler in _SPREAD, clip.sampling != "dense"
    if spread and trained_spread:
        return []
    step, trained = _step_seconds(own), clip.stride_at(NOMINAL_FPS) / NOMINAL_FPS
    words = "spread over the whole video" if spread else f"{step:.3g} s apart"
    trained_words = "spread over the whole video" if trained_spread else f"{trained:.3g} s apart"
    if spread != trained_spread or _factor(step, trained) >= LARGEST_FACTOR:
        return [f"its frames are {words}, in training they were {trained_words}"]
    return []


def _step_seconds(own: Protocol) -> float:
    assert own.stride is not None
    assert own.frames is not None
    if own.sampler is views.tsm_dense_views:  # spreads them over 64 frames, whatever the stride
        return max(64 // own.frames, 1) / NOMINAL_FPS
    return own.stride / (own.target_fps or NOMINAL_FPS)


def _sizes(own: Protocol, clip: TrainedClip) -> list[str]:
    found = []
    if _factor(own.crop_size, clip.crop_size) >= LARGEST_FACTOR:
        found.append(
            f"its clips have {own.crop_size} pixels, in training they had {clip.crop_size}"
        )
    elif _factor(own.short_side, clip.short_side) >= LARGEST_FACTOR:
        found.append(
            f"its frames are resized to {own.short_side} pixels, in training to {clip.short_side}"
        )
    if clip.aspect == "stretch" and own.resize_to is None:
        found.append("it keeps the shape of frames, in training they were stretched to squares")
    return found


def _factor(first: float, second: float) -> float:
    return max(first, second) / min(first, second)
