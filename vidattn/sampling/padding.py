from __future__ import annotations

import numpy as np

from vidattn.errors import ArgumentError


def pad(indices: np.ndarray, frame_count: int) -> tuple[np.ndarray, np.ndarray]:
    """The one rule for short videos: positions past the end repeat the last frame.

    Args:
        indices: integers of any shape, 0 or more; some may be `frame_count` or more.
        frame_count: frames that the video really has, at least 1.

    Returns:
        (indices, valid): int64 below `frame_count`, and bool of the same shape, False exactly
        where a position was past the end and its frame is therefore a repeat.

    Raises:
        ArgumentError: the video has no frames, or an index is negative.
    """
    require_positive("frame_count", frame_count)
    indices = np.asarray(indices, dtype=np.int64)
    if indices.size and indices.min() < 0:
        raise ArgumentError(f"indices: expected 0 or more, got {indices.min()}")
    return np.minimum(indices, frame_count - 1), indices < frame_count


def require_positive(name: str, value: float) -> None:
    """Refuse an argument that is not above 0."""
    if not value > 0:
        raise ArgumentError(f"{name}: expected more than 0, got {value}")
