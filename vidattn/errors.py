"""The errors a person may meet. Each message names the file or argument and what was expected."""

from __future__ import annotations


class VidattnError(Exception):
    """Anything wrong with what the program was given; the command line prints it as one line."""


class VideoError(VidattnError):
    """A video cannot be used. `path` is the file, as the caller named it."""

    def __init__(self, path: object, reason: str) -> None:
        self.path = str(path)
        self.reason = reason
        super().__init__(f"{self.path}: {reason}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        # Two arguments in, one message out: without this, no worker process could send it back.
        return type(self), (self.path, self.reason)


class VideoNotFoundError(VideoError):
    """There is no such file or folder."""


class NotAVideoError(VideoError):
    """Empty, not a media file, or a media file without a video stream."""


class UnsafePathError(VideoError):
    """A protocol, a playlist or a leading `-` where a path was expected."""


class DecodeError(VideoError):
    """The file is a video, but frames that it should have could not be decoded."""


class LimitError(VideoError):
    """The file asks for more pixels, packets or seconds than allowed."""


class InputOutputError(VideoError):
    """The disk or the network failed while a video was read: that says nothing of the video."""


class UndoneError(VidattnError):
    """A run has left videos undone; the same command tries them again."""


class TooManyFailuresError(VidattnError):
    """A run was stopped, because more of its videos have failed than may."""


class DecoderUnavailableError(VidattnError):
    """The decoder is not installed, or cannot load here."""


class ProcessError(VidattnError):
    """A process that shares a run ended before its share was done, or at a video.

    Attributes:
        videos: those that it was perhaps at.
    """

    videos: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """What happened, without numbers that differ from run to run."""
        return str(self)


class AnnotationError(VidattnError):
    """An annotation file is wrong. `line` is 1-based; 0 where the whole file is meant."""

    def __init__(self, path: object, line: int, reason: str) -> None:
        self.path = str(path)
        self.line = line
        self.reason = reason
        super().__init__(f"{self.path}:{line}: {reason}" if line else f"{self.path}: {reason}")

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        return type(self), (self.path, self.line, self.reason)


class MalformedFileError(VidattnError):
    """A file of predictions or truth cannot be scored. `line` is 1-based; 0: the whole file."""

    def __init__(self, path: object, line: int, expected: str, got: str) -> None:
        self.path = str(path)
        self.line = line
        self.expected = expected
        self.got = got
        place = f"{self.path}:{line}" if line else self.path
        super().__init__(f"{place}: expected {expected}, got {got}")

    def __reduce__(self) -> tuple[type, tuple[str, int, str, str]]:
        return type(self), (self.path, self.line, self.expected, self.got)


class MissingLibraryError(VidattnError):
    """A file needs an optional library that is not installed; the message says which."""


class ArgumentError(VidattnError, ValueError):
    """An argument or setting is out of range or unknown."""


class UnknownNameError(ArgumentError):
    """A name is in no table; the message lists the close matches."""


class CheckpointError(VidattnError):
    """A checkpoint cannot be loaded, or does not fit the model."""


class TooShortError(ArgumentError):
    """A video has fewer frames than an evaluation protocol can make a clip of."""


class NotFiniteError(VidattnError):
    """A loss, gradient, class score or weight is NaN or infinite: nothing would be learned."""


class EarlierRunError(VidattnError):
    """A training would write over files of an earlier one; the message says how it may."""
