from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vidattn.errors import DecodeError
from vidattn.video.decoding.cursor import DecodingCursor
from vidattn.video.decoding.plan import DecodingPlan
from vidattn.video.packets.demuxer import SALVAGE
from vidattn.video.packets.index import FrameIndex


class DoubtError(Exception):
    """Frames handed out before may have been patched: they must be asked for once more."""


@dataclass(frozen=True)
class _Way:
    """How frames are looked for.

    Attributes:
        frugal: pictures that no other one refers to are not decoded, unless they are wanted, and
            the decoder is emptied behind the last wanted one.
        seeks: decoding starts at the key frame before the wanted one; if not, at the first frame,
            with a decoder that was told all that can be known of the stream.
    """

    frugal: bool
    seeks: bool


@dataclass(frozen=True)
class _Given:
    """A frame that was handed out, with what is decoded beside it."""

    position: int
    wanted: Container[int]
    last: int | None


class FrameSearch:
    """Finds frames of an indexed video with one decoder, by the cheapest way that gives them.

    A way that fails is given up for good, unless all others fail too: what is left out may
    change the order in which a decoder gives frames, and a key packet may be no clean start
    (gradual refresh, lost references).

    A decoder with threads patches damaged pictures otherwise than one without. So what it gives
    counts only once all that was decoded for it has come out whole; where it does not, threads
    are given up, and `frames` raises `DoubtError`.

    Args:
        cursor: at any place; nobody else may move it.
        index: of the video.

    Attributes:
        may_be_held: whether frames may be held while others are decoded: not once anything has
            failed. Decoders patch holes in damaged pictures from recycled memory: holding frames
            back changes what they find there.
    """

    def __init__(self, cursor: DecodingCursor, index: FrameIndex) -> None:
        self.cursor = cursor
        self.may_be_held = True
        self._index = index
        self._ways = [_Way(True, True), _Way(False, True), _Way(False, False)]
        self._unconfirmed: _Given | None = None

    def frames(self, positions: Sequence[int], *, read_on: bool) -> Iterator[Any]:
        """Frames as the decoder gives them.

        Unless `may_be_held`, each must be released before the next is asked for.

        Args:
            positions: of the frames; ascending is fastest.
            read_on: the next request will go on behind the last of them.

        Raises:
            DecodeError: a frame cannot be decoded.
            DoubtError: `may_be_held` was true and is so no more: ask once more for all of them.
        """
        plan = DecodingPlan.make(self._index, positions, read_on=read_on)
        for number, (position, last) in enumerate(zip(positions, plan.lasts, strict=True)):
            try:
                frame = self._find(_Given(position, plan.wanted, last))
            except DecodeError:
                if not read_on:
                    raise
                # Only what lies behind the wanted frames may be damaged: decode no further.
                yield from self.frames(positions[number:], read_on=False)
                return
            yield frame
            del frame  # before the next is decoded
        self._confirm()

    def use_one_thread(self) -> None:
        """Decode as one thread does, and let no frame be held, from now on."""
        self.may_be_held = False
        self._unconfirmed = None
        if self.cursor.threads > 1:
            self.cursor.use_threads(1)
            self._start_over()

    def _find(self, given: _Given) -> Any:
        tried: list[_Way] = []
        while True:
            try:
                return self._search(given, self._ways[0])
            except DecodeError:
                if self.may_be_held:
                    self.use_one_thread()
                    raise DoubtError from None
                tried.append(self._ways.pop(0))
                hopeless = not self._ways
                self._ways = self._ways or tried
                self._start_over()
                if hopeless:  # the frame is to blame, not the ways
                    raise

    def _start_over(self) -> None:
        self.cursor.rewind(thorough=not self._ways[0].seeks)

    def _search(self, given: _Given, way: _Way) -> Any:
        index, cursor, position = self._index, self.cursor, given.position
        time = int(index.timestamps[position])
        start = int(index.starts[position]) if way.seeks else 0
        if cursor.must_move(time, start, int(index.packets[position])):
            self._confirm()
            cursor.seek(start)
        while True:
            frame = (
                cursor.next_frame(given.wanted, last=given.last)
                if way.frugal
                else cursor.next_frame()
            )
            if frame is None:
                raise DecodeError(cursor.path, f"frame {position}: the video ends before it")
            late = frame.pts is not None and frame.pts > time
            if late or frame.is_corrupt:
                what = f"nothing decodes at {float(time * cursor.source.stream.time_base)} s"
                if not late:
                    what = f"a picture that it may refer to is damaged; {SALVAGE}"
                raise DecodeError(cursor.path, f"frame {position}: {what}")
            if frame.pts == time:
                self._unconfirmed = given if cursor.threads > 1 else None
                return frame
            del frame  # before the next is decoded

    def _confirm(self) -> None:
        """Look at what was decoded for the frames handed out and is shown after them."""
        given, self._unconfirmed = self._unconfirmed, None
        if given is None:
            return
        try:
            whole = self._is_whole(given)
        except DecodeError:
            whole = False
        if not whole:
            self.use_one_thread()
            raise DoubtError

    def _is_whole(self, given: _Given) -> bool:
        cursor, index = self.cursor, self._index
        if given.last is None:  # the rest is not lost: the next request goes on there
            group = slice(index.starts[given.position], index.packets[given.position] + 1)
            latest = int(cursor.table.presentation[group].max())
            coming = cursor.look_ahead(latest, given.wanted)
            return not any(frame.is_corrupt for frame in coming)
        whole = True
        while (frame := cursor.next_frame(given.wanted, last=given.last)) is not None:
            whole &= not frame.is_corrupt
        return whole and cursor.pending == 0
