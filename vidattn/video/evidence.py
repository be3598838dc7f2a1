from __future__ import annotations

from vidattn.errors import ArgumentError
from vidattn.video.packets.evidence import PacketEvidence
from vidattn.video.reader import VideoReader
from vidattn.video.readers.pyav_reader import PyavReader
from vidattn.video.span import ReaderSpan


def packet_evidence(reader: VideoReader) -> PacketEvidence:
    """How much each frame cost to encode: a score of frames that needs no decoding.

    It reads the packets once. It costs about a hundredth of decoding the video. See
    `PacketEvidence` for what the numbers mean, and what they must not be used for.

    Args:
        reader: of a video file by the decoder pyav, or a part of it.

    Returns:
        One number for each frame of the reader.

    Raises:
        ArgumentError: the reader has no packets, as of a folder of images, or of another decoder.
        DecodeError: the packets cannot be read, or do not tell which frames are in them.
    """
    if isinstance(reader, ReaderSpan):
        whole = packet_evidence(reader.reader)
        return whole.part(slice(reader.first, reader.first + len(reader)))
    if not isinstance(reader, PyavReader):
        raise ArgumentError(
            f"{reader.path}: packet sizes: expected a video file, opened with the decoder pyav and "
            f"without salvage, got a {type(reader).__name__}"
        )
    return reader.packet_evidence()
