from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vidattn.errors import VidattnError, VideoError


@dataclass(frozen=True)
class Failure:
    """A video that could not be read, and why; it stands where its clips would.

    Attributes:
        error: the type of what was raised.
    """

    path: str
    reason: str
    error: type[VideoError] = VideoError


class UnreadableVideosError(VidattnError):
    """More videos than allowed could not be read; `failures` maps each path to its reason."""

    def __init__(self, failures: Mapping[str, str], allowed: int) -> None:
        self.failures = dict(failures)
        self.allowed = allowed
        shown = [f"{path}: {reason}" for path, reason in list(self.failures.items())[:5]]
        more = len(self.failures) - len(shown)
        super().__init__(
            f"{len(self.failures)} videos cannot be read, at most {allowed} are allowed to fail: "
            + "; ".join(shown)
            + (f"; and {more} more" if more > 0 else "")
        )

    def __reduce__(self) -> tuple[type, tuple[dict[str, str], int]]:
        return type(self), (self.failures, self.allowed)
