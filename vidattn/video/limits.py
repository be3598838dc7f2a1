from __future__ import annotations

from dataclasses import dataclass, fields

from vidattn.errors import ArgumentError, LimitError


@dataclass(frozen=True)
class Limits:
    """What a video may ask for before it is refused; checked from the header and again later.

    Attributes:
        maximum_pixels: of one frame, height times width.
        maximum_packets: compressed frames in the file.
        maximum_seconds: from the first timestamp to the last.
        maximum_copied_bytes: of a source that cannot be read in parts, such as a pipe; it is
            copied to memory, or to a temporary file, before it is opened.
    """

    maximum_pixels: int = 8192 * 8192
    maximum_packets: int = 5_000_000
    maximum_seconds: float = 48 * 3600.0
    maximum_copied_bytes: int = 2**30

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ArgumentError(f"{field.name}: expected a number above 0, got {value}")

    def check_size(self, path: str, height: int, width: int) -> None:
        """Raise LimitError where a frame of this size is too large."""
        if height * width > self.maximum_pixels:
            raise LimitError(
                path,
                f"frames of {width}x{height} pixels; at most {self.maximum_pixels} are allowed",
            )

    def check_packets(self, path: str, count: int) -> None:
        """Raise LimitError where the file has more packets than allowed."""
        if count > self.maximum_packets:
            raise LimitError(path, f"more than the allowed {self.maximum_packets} packets")

    def check_seconds(self, path: str, seconds: float) -> None:
        """Raise LimitError where the video lasts longer than allowed."""
        if seconds > self.maximum_seconds:
            raise LimitError(
                path, f"lasts {seconds:.0f} s; at most {self.maximum_seconds:.0f} s are allowed"
            )

    def check_copied(self, path: str, size: int) -> None:
        """Raise LimitError where more would be copied than allowed."""
        if size > self.maximum_copied_bytes:
            raise LimitError(
                path,
                "cannot be read in parts, and is larger than the "
                f"{self.maximum_copied_bytes} bytes that may be copied",
            )


DEFAULT_LIMITS = Limits()
