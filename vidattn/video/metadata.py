from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class VideoMetadata:
    """What there is to know of a video besides its pixels.

    Attributes:
        frame_count: frames that can really be decoded, whatever the header says.
        fps: average frames per second.
        duration_seconds: from the first frame's start to the last one's end.
        first_seconds: time of the first frame, on the file's own clock.
        size: (height, width) as shown, after rotation, in pixels.
        decoder: name and version of what decodes.
        codec, container: FFmpeg's names; "" where there is none.
        quarter_turns, mirrored: how the stored picture is turned to be shown, see `Orientation`.
        sample_aspect_ratio: width of a pixel over its height.
        intra_frame_count: frames that are decoded by themselves.
        longest_intra_frame_gap_seconds: from one of them to the next, or to the last frame.
        timestamps_made_up: the file has none, and `index / fps` stands in.
        full_decode_reason: why frames were counted by decoding all; None where they were not.
        damage: what the decoder refused; None where nothing is known.
        packet_count: packets in the file; None where there is no file of packets.
        declared_frames: frames that the header promises; 0 where it says nothing.
    """

    frame_count: int
    fps: float
    duration_seconds: float
    first_seconds: float
    size: tuple[int, int]
    decoder: str
    codec: str = ""
    container: str = ""
    quarter_turns: int = 0
    mirrored: bool = False
    sample_aspect_ratio: float = 1.0
    intra_frame_count: int = 0
    longest_intra_frame_gap_seconds: float = 0.0
    timestamps_made_up: bool = False
    full_decode_reason: str | None = None
    damage: str | None = None
    packet_count: int | None = None
    declared_frames: int = 0

    def to_json(self) -> dict[str, Any]:
        """The same as JSON types."""
        return asdict(self) | {"size": list(self.size)}
