from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

import av
import numpy as np

from vidattn.errors import DecodeError
from vidattn.video.decoding.picture import RgbConverter
from vidattn.video.decoding.resize import resized_size
from vidattn.video.limits import DEFAULT_LIMITS, Limits
from vidattn.video.metadata import VideoMetadata
from vidattn.video.readers.indexed_reader import IndexedReader
from vidattn.video.readers.lenient_decoder import LenientDecoder
from vidattn.video.readers.survey import NOTHING, Survey
from vidattn.video.sources.addresses import VideoLike, as_source


class SalvagingReader(IndexedReader):
    """The frames that are left in a damaged file, and which of them are as they were encoded.

    Opening decodes the whole file once. A frame is valid where its packet, and every packet
    from its key frame on, is complete and was decoded without a complaint; damage makes what
    follows invalid up to the next key frame, where decoding starts afresh. An invalid frame
    shows what the decoder makes of it; where no picture comes out, the nearest earlier one that
    does is shown, or black if there is none. Damage that leaves a well-formed stream behind
    cannot be seen by any decoder: see docs/decoders.md for how often that happens.

    Requests decode from the beginning of the file, or go on from the last frame given.

    Args:
        video: see `vidattn.open_video`.
        limits: what the file may ask for.

    Attributes:
        valid: bool (frames,).
        damage: index of an invalid frame -> what is wrong there.

    Raises:
        VideoNotFoundError, NotAVideoError, UnsafePathError, LimitError: as they say.
        DecodeError: no frame can be decoded at all.
    """

    def __init__(self, video: VideoLike, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.source = as_source(video)
        self.path = str(self.source)
        self.decoder = f"pyav {av.__version__}"
        self._limits = limits
        self._content = self.source.find(limits)
        self._converter = RgbConverter()
        try:
            self._survey = survey = Survey.make(self._content, limits)
        except BaseException:
            self._content.close()
            raise
        self._seconds, self._valid = survey.seconds, survey.valid
        self._keys = np.flatnonzero(survey.keys)
        self._pass: LenientDecoder | None = None
        self._frames: Iterator[tuple[int, Any]] = iter(())
        self._next_rank = 0
        self.fps = survey.fps
        self.duration_seconds = survey.duration_seconds
        self.timestamps_made_up = survey.timestamps_made_up
        self._size = survey.orientation.shown_size(survey.stored_size)
        self.damage = survey.reasons

    @property
    def metadata(self) -> VideoMetadata:
        """As the interface says."""
        survey = self._survey
        spans = self.damaged_spans
        return replace(
            super().metadata,
            codec=survey.codec,
            container=survey.container_format,
            quarter_turns=survey.orientation.quarter_turns,
            mirrored=survey.orientation.mirrored,
            sample_aspect_ratio=survey.sample_aspect_ratio,
            damage=spans[0][2] if spans else None,
            packet_count=survey.packet_count,
            declared_frames=survey.declared_frames,
        )

    @property
    def valid(self) -> np.ndarray:
        """bool (frames,), read-only."""
        mask = self._survey.valid.view()
        mask.flags.writeable = False
        return mask

    def valid_indices(self) -> list[int]:
        """As the interface says."""
        return np.flatnonzero(self._survey.valid).tolist()

    @property
    def damaged_spans(self) -> list[tuple[int, int, str]]:
        """As the interface says, with what was noticed first."""
        spans = []
        for valid, run in groupby(
            range(len(self)), key=lambda place: bool(self._survey.valid[place])
        ):
            places = list(run)
            if not valid:
                reasons = [self.damage[place] for place in places if place in self.damage]
                spans.append((places[0], places[-1], _foremost(reasons)))
        return spans

    def close(self) -> None:
        """Release the file; asking for frames afterwards is an error."""
        self._closed = True
        self._stop()
        self._content.close()

    def _decode(self, indices: np.ndarray, short_side: int | None) -> np.ndarray:
        size = resized_size(self.size, short_side)
        rows = np.zeros((len(indices), *size, 3), np.uint8)
        wanted: dict[int, list[int]] = {}
        for place, index in enumerate(indices.tolist()):
            rank = self._shown_rank(index)
            if rank != NOTHING:
                wanted.setdefault(rank, []).append(place)
        for rank in sorted(wanted):
            frame = self._frame(rank)
            rows[wanted[rank]] = self._converter.picture(
                self.path, frame, size, self._survey.orientation
            )
            del frame  # before the next is decoded
        return rows

    def _shown_rank(self, index: int) -> int:
        """The frame that is shown at a place: its own, or the nearest earlier one."""
        there = np.flatnonzero(self._survey.ranks[: index + 1] != NOTHING)
        return int(self._survey.ranks[there[-1]]) if len(there) else NOTHING

    def _frame(self, rank: int) -> Any:
        if self._pass is None or rank < self._next_rank:
            self._start()
        for _, frame in self._frames:
            self._next_rank += 1
            if self._next_rank > rank:
                return frame
            del frame
        raise DecodeError(self.path, "another decoding gives other frames; did the file change?")

    def _start(self) -> None:
        self._stop()
        self._pass = LenientDecoder(self._content, self._limits, restarts=self._survey.restarts)
        self._frames = self._pass.frames()

    def _stop(self) -> None:
        self._frames = iter(())
        self._next_rank = 0
        if self._pass is not None:
            self._pass.close()
            self._pass = None


def _foremost(reasons: list[str]) -> str:
    """The first that says more than what follows from another."""
    return next((reason for reason in reasons if not reason.startswith("refers to")), "unknown")
