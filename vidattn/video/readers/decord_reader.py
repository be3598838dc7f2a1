from __future__ import annotations

from typing import Any

import numpy as np

from vidattn.errors import DecodeError, DecoderUnavailableError
from vidattn.video.limits import DEFAULT_LIMITS, Limits
from vidattn.video.readers.checked_reader import CheckedReader
from vidattn.video.sources.addresses import VideoLike


class DecordReader(CheckedReader):
    """Frames decoded by decord (one thread); its list of times is checked when opening.

    Never for files from people you do not trust: decord's wheels carry FFmpeg 4.1, whose known
    holes stay open.

    Args:
        video: the path of a video file.
        limits: what the file may ask for.

    Raises:
        DecoderUnavailableError: decord is not installed, or has no wheel for this machine.
        DecodeError: its frames are not those of the file's index.
    """

    name = "decord"
    refused_containers = ("mpegts",)  # it returns other frames than were asked for

    def __init__(self, video: VideoLike, *, limits: Limits = DEFAULT_LIMITS) -> None:
        library = _library()
        super().__init__(video, limits=limits)
        self.decoder = f"decord {library.__version__}"
        try:
            self._video: Any = library.VideoReader(self._file, num_threads=1)
            count = len(self._video)
            times = self._video.get_frame_timestamp(range(count))[:, 0]
        except (library.DECORDError, RuntimeError, IndexError) as error:
            raise DecodeError(self.path, f"decord cannot open it: {_first(error)}") from error
        self._check_count(count)
        # decord's clock starts at the first frame.
        self._check_times(self._seconds - self._seconds[0], times - times[0])

    @classmethod
    def require_library(cls) -> None:
        """As the interface says."""
        _library()

    def _read(self, indices: list[int]) -> tuple[np.ndarray, np.ndarray | None]:
        library = _library()
        try:
            return self._video.get_batch(indices).asnumpy(), None
        except (library.DECORDError, RuntimeError, IndexError) as error:
            raise DecodeError(self.path, f"decord cannot decode: {_first(error)}") from error


def _library() -> Any:
    try:
        import decord
    except (ImportError, RuntimeError, OSError) as error:
        raise DecoderUnavailableError(
            f"decoder decord: {_first(error)}; install it with `pip install decord` "
            "(wheels exist for x86-64 Linux and Windows only)"
        ) from error
    return decord


def _first(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
