from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vidattn.errors import DecodeError
from vidattn.video.decoding.cursor import DecodingCursor
from vidattn.video.packets.demuxer import SALVAGE

# Containers that store when each picture is shown: of one recording, and of joined ones too.
_TIMED_FILES = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
_TIMED_STREAMS = {"mpegts", "flv"}


class FrameCount:
    """Finds frames by counting, from the first on, where packets may not be frames.

    All frames are decoded once to begin with.

    Args:
        cursor: at any place; nobody else may move it.
        look: what is done with each frame.

    Attributes:
        times: seconds of every frame that decodes, in the decoder's order; None for none.
        keys: positions of key frames.
        damage: what the decoder refused; None where it refused nothing.

    Raises:
        DecodeError: no frame can be decoded.
    """

    # What a damaged picture is patched from changes if frames are held back.
    may_be_held = False

    def __init__(self, cursor: DecodingCursor, look: Callable[[Any], None]) -> None:
        self._cursor = cursor
        self.times: list[float | None] = []
        self.keys: list[int] = []
        self.damage: str | None = None
        cursor.rewind(thorough=True)  # only what the decoder gives tells what there is
        while (frame := self._next_or_damage()) is not None:
            if frame.is_corrupt:
                self.damage = f"the decoder marks a picture as damaged; {SALVAGE}"
                break
            if self._goes_back(frame):
                before = self.times[-1]
                self.damage = (
                    f"a picture for {frame.time} s comes after that for {before} s; {SALVAGE}"
                )
                break
            look(frame)
            if frame.key_frame:
                self.keys.append(len(self.times))
            self.times.append(None if frame.pts is None else frame.time)
            del frame  # before the next is decoded
        if not self.times:
            raise DecodeError(
                cursor.path, "it has a video stream, but no frame that can be decoded"
            )
        cursor.rewind()

    def frames(self, positions: Sequence[int], *, read_on: bool) -> Iterator[Any]:
        """Frames as the decoder gives them; each must be released before the next is asked for.

        Args:
            positions: of the frames; ascending is fastest.
            read_on: makes no difference here.
        """
        yield from map(self._counted, positions)

    def _goes_back(self, frame: Any) -> bool:
        """Whether its time says that pictures come out in a wrong order.

        Streams and programs that were joined start their times over, at a key frame.
        """
        before = self.times[-1] if self.times else None
        if before is None or frame.pts is None or frame.time >= before:
            return False
        name = self._cursor.source.container.format.name
        return name in _TIMED_FILES or (name in _TIMED_STREAMS and not frame.key_frame)

    def _next_or_damage(self) -> Any | None:
        try:
            return self._cursor.next_frame()
        except DecodeError as error:
            if not self.times:
                raise
            self.damage = error.reason
            return None

    def _counted(self, position: int) -> Any:
        cursor = self._cursor
        if position >= len(self.times):
            raise DecodeError(cursor.path, f"frame {position}: {self.damage}")
        if cursor.exhausted or cursor.unplaced or cursor.emitted > position:
            cursor.rewind()
        while True:
            wanted = cursor.emitted == position
            frame = cursor.next_frame()
            if frame is None:
                raise DecodeError(cursor.path, f"frame {position}: the video ends before it")
            if wanted:
                return frame
            del frame  # before the next is decoded
