from __future__ import annotations

from typing import Any

import numpy as np

from vidattn.errors import DecodeError, DecoderUnavailableError
from vidattn.video.limits import DEFAULT_LIMITS, Limits
from vidattn.video.readers.checked_reader import CheckedReader
from vidattn.video.sources.addresses import VideoLike


class TorchcodecReader(CheckedReader):
    """Frames decoded by torchcodec (exact seeking, one thread); times checked for each frame.

    Args:
        video: the path of a video file.
        limits: what the file may ask for.

    Raises:
        DecoderUnavailableError: torchcodec is not installed, or finds no FFmpeg.
        DecodeError: its frames are not those of the file's index.
    """

    name = "torchcodec"

    def __init__(self, video: VideoLike, *, limits: Limits = DEFAULT_LIMITS) -> None:
        decoders, version = _library()
        super().__init__(video, limits=limits)
        self.decoder = f"torchcodec {version}"
        try:
            self._video: Any = decoders.VideoDecoder(
                self._file,
                stream_index=self.stream_index,
                dimension_order="NHWC",
                num_ffmpeg_threads=1,
                seek_mode="exact",
            )
        except (RuntimeError, ValueError) as error:
            raise DecodeError(self.path, f"torchcodec cannot open it: {error}") from error
        self._check_count(len(self._video))

    @classmethod
    def require_library(cls) -> None:
        """As the interface says."""
        _library()

    def _read(self, indices: list[int]) -> tuple[np.ndarray, np.ndarray | None]:
        try:
            batch = self._video.get_frames_at(indices)
        except (RuntimeError, ValueError, IndexError) as error:
            raise DecodeError(self.path, f"torchcodec cannot decode: {error}") from error
        return batch.data.numpy(), batch.pts_seconds.numpy()


def _library() -> tuple[Any, str]:
    try:
        import torchcodec
        from torchcodec import decoders
    except (ImportError, RuntimeError, OSError) as error:
        raise DecoderUnavailableError(
            f"decoder torchcodec: {str(error).splitlines()[0]}; install it with "
            "`pip install vidattn[torchcodec]`, and FFmpeg 4 to 8 with your system's packages"
        ) from error
    return decoders, torchcodec.__version__
