"""What a lenient pass over a file found: which frames there are, and which of them are whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidattn.errors import DecodeError
from vidattn.video.decoding.complaints import listening
from vidattn.video.decoding.orientation import Orientation
from vidattn.video.decoding.timing import duration_seconds, filled, frame_rate, in_shown_order
from vidattn.video.limits import Limits
from vidattn.video.packets.index import MISSING, PacketTable, packets_are_frames
from vidattn.video.readers.lenient_decoder import LenientDecoder
from vidattn.video.sources.source import SourceContent

# Stands for the picture of a place from whose packet none came.
NOTHING = -1


@dataclass(frozen=True)
class _Emitted:
    """One frame that came out of the decoder; its size is (height, width) as stored."""

    packet: int
    seconds: float | None
    key: bool
    size: tuple[int, int]
    orientation: Orientation


@dataclass(frozen=True, eq=False)
class Survey:
    """All places of a video in presentation order, with what can be shown at each.

    Attributes:
        seconds: float64 (n,).
        ranks: int64 (n,), which of the frames, as the decoder emits them; NOTHING for none.
        valid: bool (n,), the frame is what was encoded, as far as a decoder can tell.
        keys: bool (n,), a valid key frame.
        reasons: place -> what is wrong there.
        emitted_count: how many frames the decoder emits.
        packet_count, declared_frames: packets that are in the file; frames that its header says.
        restarts: see `LenientDecoder`.
    """

    seconds: np.ndarray
    ranks: np.ndarray
    valid: np.ndarray
    keys: np.ndarray
    reasons: dict[int, str]
    emitted_count: int
    packet_count: int
    declared_frames: int
    restarts: frozenset[int]
    stored_size: tuple[int, int]
    orientation: Orientation
    fps: float
    duration_seconds: float
    timestamps_made_up: bool
    sample_aspect_ratio: float
    codec: str
    container_format: str
    stream_index: int

    @classmethod
    def make(cls, content: SourceContent, limits: Limits) -> Survey:
        """Decode the whole file once.

        Raises:
            NotAVideoError, LimitError: as when opening.
            DecodeError: no frame comes out at all.
        """
        with listening():
            decoder = LenientDecoder(content, limits)
            try:
                return cls._of(content.name, decoder, limits)
            finally:
                decoder.close()

    @classmethod
    def _of(cls, path: str, decoder: LenientDecoder, limits: Limits) -> Survey:
        stream = decoder.stream
        declared_rate = float(stream.average_rate or stream.guessed_rate or 0)
        emitted = list(_emissions(path, decoder))
        if not emitted:
            reason = next(iter(decoder.damage.values()), "no packet holds one")
            raise DecodeError(path, f"no frame can be decoded ({reason})")
        table = PacketTable.of(decoder.rows)
        size = Counter(frame.size for frame in emitted).most_common(1)[0][0]
        plain = packets_are_frames(table, decoder.container, stream)
        tainted = _tainted(decoder, emitted, table, plain=plain)
        if plain:
            places, times = _by_time(emitted, table, stream.time_base)
        else:
            places, times = _by_emission(emitted, decoder)
        seconds = filled(times, 1 / (declared_rate or 25.0))
        seconds = in_shown_order(seconds, decoder.container.format.name)
        fps = frame_rate(seconds, declared_rate)
        tail = float(int(table.durations[table.presentation.argmax()]) * stream.time_base)
        duration = duration_seconds(seconds, tail, fps)
        limits.check_seconds(path, duration)
        ranks = np.array([rank for _, rank in places], np.int64)
        shown = np.array([rank != NOTHING and emitted[rank].size == size for rank in ranks])
        valid = shown & ~tainted[[packet for packet, _ in places]]
        return cls(
            seconds=seconds,
            ranks=np.where(shown, ranks, NOTHING),
            valid=valid,
            keys=valid & np.array([emitted[rank].key for rank in ranks]),
            reasons=_reasons(decoder, places, valid),
            emitted_count=len(emitted),
            packet_count=len(table),
            declared_frames=stream.frames,
            restarts=frozenset(decoder.restarts),
            stored_size=size,
            orientation=next(frame.orientation for frame in emitted if frame.size == size),
            fps=fps,
            duration_seconds=duration,
            timestamps_made_up=None in times,
            sample_aspect_ratio=float(stream.sample_aspect_ratio or 1),
            codec=stream.codec_context.name,
            container_format=decoder.container.format.name,
            stream_index=stream.index,
        )


def _emissions(path: str, decoder: LenientDecoder) -> Iterator[_Emitted]:
    for packet, frame in decoder.frames():
        found = _Emitted(
            packet,
            None if frame.pts is None else frame.time,
            frame.key_frame,
            (frame.height, frame.width),
            Orientation.of(path, frame),
        )
        del frame  # before the next is decoded
        yield found


def _tainted(
    decoder: LenientDecoder, emitted: list[_Emitted], table: PacketTable, *, plain: bool
) -> np.ndarray:
    """bool (packets,): damaged, or decoded after damage and before the next clean start.

    Args:
        plain: each packet stands for one frame, so that one from which none comes was lost.
    """
    ranks: dict[int, int] = {}
    for rank, frame in enumerate(emitted):
        ranks.setdefault(frame.packet, rank)
    restarts = set(decoder.restarts)
    tainted = np.zeros(len(table), np.bool_)
    key_rank, key_time, before, state, known = -1, MISSING, False, False, False
    for position in range(len(table)):
        harmed, adrift = position in decoder.damage, position in decoder.losses
        state, known = state or adrift, known or adrift
        if table.keys[position]:
            key_time = int(table.presentation[position])
            if position in ranks and emitted[ranks[position]].key:
                key_rank, before = ranks[position], state
                # Where damage was known, the decoder was started afresh, and gave this frame.
                afresh = position in restarts or not known
                if afresh and not harmed and position - 1 not in decoder.noticed:
                    state = known = False
        lost = plain and position not in ranks and not table.discarded[position]
        # Frames shown before their key frame refer to what came before it, and nothing to them.
        state |= harmed or (lost and table.presentation[position] >= key_time)
        known |= harmed
        leads = position in ranks and ranks[position] < key_rank
        tainted[position] = state or lost or (leads and before)
    for position in decoder.noticed:  # decoders notice late, and not all of a burst of damage
        tainted[max(position - 1, 0)] = True
    return tainted


Places = list[tuple[int, int]]  # (position of the packet, rank of the frame) of each place


def _by_time(
    emitted: list[_Emitted], table: PacketTable, time_base: Any
) -> tuple[Places, list[float | None]]:
    """A place for every packet that is to be shown, by its time."""
    ranks = {frame.packet: rank for rank, frame in enumerate(emitted)}
    shown = np.flatnonzero(~table.discarded)
    order = shown[np.argsort(table.presentation[shown], kind="stable")].tolist()
    unit = time_base.numerator / time_base.denominator
    times: list[float | None] = [float(table.presentation[packet]) * unit for packet in order]
    return [(packet, ranks.get(packet, NOTHING)) for packet in order], times


def _by_emission(
    emitted: list[_Emitted], decoder: LenientDecoder
) -> tuple[Places, list[float | None]]:
    """A place for every frame that came out, and for packets that were refused."""
    places = [(frame.packet, rank) for rank, frame in enumerate(emitted)]
    given = {frame.packet for frame in emitted}
    times = [frame.seconds for frame in emitted]
    for packet in sorted(set(decoder.damage) - given):
        behind = next((at for at, (other, _) in enumerate(places) if other > packet), len(places))
        places.insert(behind, (packet, NOTHING))
        times.insert(behind, None)
    return places, times


def _reasons(decoder: LenientDecoder, places: Places, valid: np.ndarray) -> dict[int, str]:
    found = {}
    for place, (packet, rank) in enumerate(places):
        if packet in decoder.damage:
            found[place] = decoder.damage[packet]
        elif packet in decoder.losses:
            found[place] = f"before it: {decoder.losses[packet]}"
        elif rank == NOTHING:
            found[place] = "no picture comes from its packet"
        elif not valid[place]:
            found[place] = "refers to damaged pictures, or lies just before one"
    return found
