from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from vidattn.video.packets.demuxer import typed_errors

_TINY = 16


@dataclass(frozen=True)
class Orientation:
    """How a decoded picture is turned to be shown: mirrored left to right, then turned.

    Attributes:
        mirrored: left and right change sides, before the turn.
        quarter_turns: counter-clockwise turns by 90 degrees, 0 to 3.
    """

    mirrored: bool = False
    quarter_turns: int = 0

    @classmethod
    def of(cls, path: str, frame: Any) -> Orientation:
        """From a PyAV frame: its display matrix, or its rotation where that cannot be read.

        Args:
            path: of the video, for messages.
            frame: `av.VideoFrame`.

        Raises:
            DecodeError: FFmpeg cannot convert this frame.
        """
        # A frame that was asked for its side data is held by it until the garbage collector comes.
        # So a tiny copy is asked, which has the same, and the picture can go at once.
        with typed_errors(path, "cannot convert a frame"):
            tiny: Any = VideoReformatter().reformat(
                frame,
                width=_TINY,
                height=_TINY,
                format="gray",
                interpolation=Interpolation.POINT,
                threads=1,
            )
        try:
            matrix = tiny.side_data.get("DISPLAYMATRIX")
        except ValueError:  # PyAV knows no name for another piece of side data of this frame
            return cls(False, round(frame.rotation / 90) % 4)
        return cls() if matrix is None else cls.from_matrix(bytes(matrix))

    @classmethod
    def from_matrix(cls, matrix: bytes) -> Orientation:
        """From FFmpeg's display matrix, nine native 32-bit integers.

        A point (x, y), y downwards, is shown at (a·x + c·y, b·x + d·y) with a, b = the first
        two numbers and c, d = the fourth and fifth. Turns that are no multiple of 90 degrees
        are rounded to the nearest.
        """
        numbers = np.frombuffer(matrix, np.int32)
        if numbers.size < 5:
            return cls()
        a, b, c, d = (float(numbers[i]) for i in (0, 1, 3, 4))
        mirrored = a * d - b * c < 0
        # The first column says where "right" goes; mirrored, "right" was "left" before the turn.
        x, y = (-a, -b) if mirrored else (a, b)
        return cls(mirrored, round(np.degrees(np.arctan2(-y, x)) / 90) % 4)

    def shown_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Stored (height, width) -> (height, width) as shown; also the other way round."""
        return (size[1], size[0]) if self.quarter_turns % 2 else size

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """A view of the picture (H, W, C) as it is to be shown."""
        if self.mirrored:
            picture = picture[:, ::-1]
        return np.rot90(picture, self.quarter_turns) if self.quarter_turns else picture
