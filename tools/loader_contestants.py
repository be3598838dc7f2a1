"""Loaders of the same clips for tools/bench_loader.py: ours, torchcodec, decord, PyTorchVideo.

Each is given the same draws and hands out batches of the same size: uint8 squares at a random
place of frames that are resized to a short side. All run in PyTorch's DataLoader with workers that
live on, and each decodes, resizes and opens in the way that is fastest for it.
"""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vidattn.data import ClipDataset, ClipSpec, Sample
from vidattn.data.dataset import Draw
from vidattn.data.loader import training_loader
from vidattn.data.sampler import DrawSampler
from vidattn.data.workers import keep_freed_memory
from vidattn.sampling import FrameTimes

SEED = 0


class Peer(Dataset[Tensor], ABC):
    """Clips of a peer, as it would be used: opened in the worker, one draw an item."""

    def __init__(self, films: Sequence[Path], spec: ClipSpec, *, threads: int) -> None:
        self.films = [str(film) for film in films]
        self.spec = spec
        self.threads = threads

    @abstractmethod
    def open(self, film: str) -> Any:
        """The peer's reader, and what it needs to resize while it decodes."""

    @abstractmethod
    def count(self, reader: Any) -> int:
        """Frames of the video."""

    @abstractmethod
    def read(self, reader: Any, indices: list[int]) -> Tensor:
        """uint8 (T, H, W, 3), resized."""

    def __getitem__(self, draw: Draw) -> Tensor:
        reader = self.open(self.films[draw.index])
        generator = np.random.default_rng([SEED, draw.epoch, draw.occurrence, draw.index])
        times = FrameTimes.even(self.count(reader), 30.0)
        indices, _ = self.spec.training_indices(times, generator)
        frames = self.read(reader, indices.tolist())
        side = self.spec.short_side
        top, left = generator.integers(np.array(frames.shape[1:3]) - side + 1)
        return frames[:, top : top + side, left : left + side]

    def size(self, height: int, width: int) -> tuple[int, int]:
        scale = self.spec.short_side / min(height, width)
        return round(height * scale), round(width * scale)


class Torchcodec(Peer):
    """Exact seeking; resized by its own filter graph while decoding where that shrinks."""

    def __init__(self, films: Sequence[Path], spec: ClipSpec, *, threads: int) -> None:
        super().__init__(films, spec, threads=threads)
        self.mappings: dict[str, str] = {}

    def open(self, film: str) -> Any:
        from torchcodec.decoders import VideoDecoder
        from torchcodec.transforms import Resize

        size = self.size(256, 340)
        settings: dict[str, Any] = {"transforms": [Resize(size)]} if size != (256, 340) else {}
        if film in self.mappings:
            settings["custom_frame_mappings"] = self.mappings[film]
        return VideoDecoder(
            film, dimension_order="NHWC", num_ffmpeg_threads=self.threads, **settings
        )

    def count(self, reader: Any) -> int:
        return len(reader)

    def read(self, reader: Any, indices: list[int]) -> Tensor:
        return reader.get_frames_at(indices).data


def frame_mappings(films: Sequence[Path]) -> dict[str, str]:
    """What torchcodec takes in place of reading all packets: its cache of packet tables."""
    mappings = {}
    for film in films:
        with av.open(str(film)) as container:
            packets = [p for p in container.demux(video=0) if p.pts is not None]
        frames = [
            {"pts": p.pts, "duration": p.duration, "key_frame": int(p.is_keyframe)}
            for p in sorted(packets, key=lambda packet: packet.pts)
        ]
        mappings[str(film)] = json.dumps({"frames": frames})
    return mappings


class Decord(Peer):
    """Resized by its own filter graph while decoding."""

    def open(self, film: str) -> Any:
        import decord

        height, width = self.size(256, 340)
        return decord.VideoReader(
            film, ctx=decord.cpu(0), num_threads=self.threads, width=width, height=height
        )

    def count(self, reader: Any) -> int:
        return len(reader)

    def read(self, reader: Any, indices: list[int]) -> Tensor:
        frames = reader.get_batch(indices)
        # With the bridge that PyTorchVideo sets, batches are tensors already.
        return frames if isinstance(frames, Tensor) else torch.from_numpy(frames.asnumpy())


class PyTorchVideo(Peer):
    """Its reader on decord, without sound, resized while decoding; it reads whole windows."""

    def open(self, film: str) -> Any:
        from pytorchvideo.data.encoded_video_decord import EncodedVideoDecord

        height, width = self.size(256, 340)
        return EncodedVideoDecord(
            io.BytesIO(Path(film).read_bytes()),
            decode_audio=False,
            width=width,
            height=height,
            num_threads=self.threads,
        )

    def count(self, reader: Any) -> int:
        return round(float(reader.duration) * 30)

    def read(self, reader: Any, indices: list[int]) -> Tensor:
        # It reads all frames of a time, as floats; the step is taken afterwards.
        start, end = indices[0] / 30 - 1e-3, (indices[-1] + 1) / 30 - 1e-3
        window = reader.get_clip(max(start, 0.0), end)["video"]
        step = self.spec.frame_stride
        return window[:, ::step].to(torch.uint8).permute(1, 2, 3, 0)


def peer_loader(dataset: Peer, *, batch_size: int, workers: int, repeat: int) -> DataLoader[Tensor]:
    """The peer's batches of the draws that ours has; its workers keep freed memory as ours do."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=DrawSampler(len(dataset.films), seed=SEED, repeat=repeat),
        num_workers=workers,
        persistent_workers=True,
        worker_init_fn=_start,
        drop_last=True,
    )


def _start(worker: int) -> None:
    keep_freed_memory()


def our_loader(
    films: Sequence[Path],
    spec: ClipSpec,
    *,
    batch_size: int,
    workers: int,
    repeat: int,
    clips: int = 1,
) -> DataLoader[Any]:
    """Ours, as a person would use it."""
    samples = [Sample(film, ("film",), film.name) for film in films]
    dataset = ClipDataset(samples, spec=spec, classes=["film"], training=True, seed=SEED)
    return training_loader(
        dataset, batch_size=batch_size, workers=workers, repeat=repeat, clips=clips, seed=SEED
    )
