from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vidattn.errors import DecodeError
from vidattn.video.cursor import DecodingCursor
from vidattn.video.index import FrameIndex
from vidattn.video.plan import DecodingPlan


@dataclass(frozen=True)
class _Way:
    """How frames are looked for.

    Attributes:
        threads: of the decoder.
        frugal: pictures that no other one refers to are not decoded, unless they are wanted, and
            the decoder is emptied behind the last wanted one.
        seeks: decoding starts at the key frame before the wanted one; if not, at the first frame,
            with a decoder that was told all that can be known of the stream.
    """

    threads: int
    frugal: bool
    seeks: bool


class FrameSearch:
    """Finds frames of an indexed video with one decoder, by the cheapest way that gives them.

    A way that fails is given up for good, unless all others fail too: what is left out may
    change the order in which a decoder gives frames, a key packet may be no clean start (gradual
    refresh, lost references), and decoders with threads refuse what those with one patch up.

    Args:
        cursor: at any place; nobody else may move it.
        index: of the video.
    """

    def __init__(self, cursor: DecodingCursor, index: FrameIndex) -> None:
        self.cursor = cursor
        self._index = index
        ways = [(cursor.threads, True, True), (1, True, True), (1, False, True), (1, False, False)]
        self._ways = [_Way(*way) for way in dict.fromkeys(ways)]
        self._best = self._ways[0]

    @property
    def may_be_held(self) -> bool:
        """Whether frames may be held while others are decoded: not once a way has failed.

        Decoders patch holes in damaged pictures from recycled memory: holding frames back changes
        what they find there.
        """
        return self._ways[0] == self._best

    def frames(self, positions: Sequence[int], *, read_on: bool) -> Iterator[Any]:
        """Frames as the decoder gives them; each must be released before the next is asked for.

        Args:
            positions: of the frames; ascending is fastest.
            read_on: the next request will go on behind the last of them.
        """
        plan = DecodingPlan.make(self._index, positions, read_on=read_on)
        for position, last in zip(positions, plan.lasts, strict=True):
            yield self._find(position, plan.wanted, last)

    def _find(self, position: int, wanted: Container[int], last: int | None) -> Any:
        tried: list[_Way] = []
        while True:
            way = self._ways[0]
            try:
                return self._search(position, way, wanted, last)
            except DecodeError:
                tried.append(self._ways.pop(0))
                hopeless = not self._ways
                self._ways = self._ways or tried
                self.cursor.use_threads(self._ways[0].threads)
                self.cursor.rewind(thorough=not self._ways[0].seeks)
                if hopeless:  # the frame is to blame, not the ways
                    raise

    def _search(self, position: int, way: _Way, wanted: Container[int], last: int | None) -> Any:
        index, cursor = self._index, self.cursor
        time = int(index.timestamps[position])
        start = int(index.starts[position]) if way.seeks else 0
        if self._must_move(time, start, int(index.packets[position])):
            cursor.seek(start)
        while True:
            frame = cursor.next_frame(wanted, last=last) if way.frugal else cursor.next_frame()
            if frame is None:
                raise DecodeError(cursor.path, f"frame {position}: the video ends before it")
            late = frame.pts is not None and frame.pts > time
            if late or (cursor.sought and frame.is_corrupt):
                seconds = float(time * cursor.stream.time_base)
                raise DecodeError(cursor.path, f"frame {position}: nothing decodes at {seconds} s")
            if frame.pts == time:
                return frame
            del frame  # before the next is decoded

    def _must_move(self, time: int, start: int, packet: int) -> bool:
        cursor = self.cursor
        behind = cursor.last_timestamp is not None and cursor.last_timestamp >= time
        gone = cursor.emptied and cursor.position <= packet
        return (
            cursor.astray
            or behind
            or gone
            or cursor.spent
            or start > cursor.position
            or time in cursor.passed
        )
