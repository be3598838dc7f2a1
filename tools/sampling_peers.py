"""Other projects' own index functions, taken out of a checkout of theirs and run as they are."""

from __future__ import annotations
import __future__

import ast
import bisect
import math
import random
import subprocess
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidattn.sampling.views import ClipShape

Peer = Callable[[int, float, ClipShape], "np.ndarray | None"]


def commit_of(checkout: Path) -> str:
    """The commit of a checkout, or what an installed package says that it was built from."""
    version = checkout / "version.py"
    if version.exists() and not (checkout / ".git").exists():
        values: dict[str, Any] = {}
        exec(version.read_text(), values)
        return f"{values['__version__']} ({values['git_version']})"
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def taken_from(file: Path, names: tuple[str, ...], **known: Any) -> types.SimpleNamespace:
    """Functions and classes of a file by name, without running the rest of it.

    Args:
        known: what their own modules would have imported.
    """
    tree = ast.parse(file.read_text())
    kept = [node for node in tree.body if getattr(node, "name", None) in names]
    missing = set(names) - {node.name for node in kept}  # type: ignore[attr-defined]
    if missing:
        raise SystemExit(f"{file}: expected to define {sorted(missing)}")
    module = ast.Module(body=kept, type_ignores=[])
    flags = __future__.annotations.compiler_flag
    values = {"np": np, "torch": torch, "math": math, "random": random, "warnings": warnings}
    values |= known
    exec(compile(module, str(file), "exec", flags=flags, dont_inherit=True), values)
    return types.SimpleNamespace(**values)


class _Registry:
    """Stands for a registry of transforms: its decorator does nothing."""

    @staticmethod
    def register_module() -> Callable[[type], type]:
        return lambda registered: registered


def pyslowfast_views(checkout: Path, *, offset: bool = False) -> Peer:
    """The two functions, and `decode`, which calls the newer twin of one, must agree."""
    names = ("get_start_end_idx", "get_multiple_start_end_idx", "temporal_sampling", "decode")
    peer = taken_from(checkout / "slowfast/datasets/decoder.py", names)

    def views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
        frames = torch.arange(frame_count)
        peer.decode.__globals__["torchvision_decode"] = lambda *_, **__: ([frames], fps, True, None)
        span = np.maximum(1.0, clip.stride * clip.frames / clip.target_fps * fps)
        found = []
        for view in range(clip.views):
            start, end, _ = peer.get_start_end_idx(frame_count, span, view, clip.views, offset)
            found.append(peer.temporal_sampling(frames, start, end, clip.frames))
            (whole,), _, _ = peer.decode(
                None,
                [clip.stride],
                [clip.frames],
                view,
                clip.views,
                target_fps=clip.target_fps,
                backend="torchvision",
                use_offset=offset,
            )
            assert torch.equal(found[-1], whole)
        return torch.stack(found).numpy()

    return views


def something_views(checkout: Path) -> Peer:
    peer = taken_from(
        checkout / "slowfast/datasets/ssv2.py",
        ("Ssv2",),
        DATASET_REGISTRY=types.SimpleNamespace(register=lambda: lambda registered: registered),
    )

    def views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
        data = peer.Ssv2.__new__(peer.Ssv2)
        data.cfg = types.SimpleNamespace(DATA=types.SimpleNamespace(NUM_FRAMES=clip.frames))
        data.mode, data._path_to_videos = "test", [range(frame_count)]
        return np.array([data.get_seq_frames(0)] * clip.views)

    return views


def timesformer_views(checkout: Path) -> Peer:
    names = ("get_start_end_idx", "temporal_sampling", "decode")
    peer = taken_from(checkout / "timesformer/datasets/decoder.py", names)

    def views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
        frames = torch.arange(frame_count)
        peer.decode.__globals__["pyav_decode"] = lambda *_: (frames, fps, True)
        settings = (clip.stride, clip.frames)
        found = [
            peer.decode(None, *settings, view, clip.views, target_fps=clip.target_fps)
            for view in range(clip.views)
        ]
        return torch.stack(found).numpy()

    return views


def _mmaction2(checkout: Path) -> types.SimpleNamespace:
    names = ("SampleFrames", "DenseSampleFrames", "UniformSample")
    return taken_from(
        checkout / "mmaction/datasets/transforms/loading.py",
        names,
        TRANSFORMS=_Registry,
        BaseTransform=object,
    )


def _inds(transform: Any, frame_count: int, fps: float, frames: int) -> np.ndarray:
    results = {"total_frames": frame_count, "start_index": 0, "avg_fps": fps}
    call = getattr(transform, "transform", transform)
    return call(results)["frame_inds"].reshape(-1, frames).astype(np.int64)


def mmaction2_views(checkout: Path) -> Peer:
    peer = _mmaction2(checkout)

    def views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
        transform = peer.SampleFrames(
            clip.frames, clip.stride, clip.views, test_mode=True, target_fps=clip.target_fps
        )
        return _inds(transform, frame_count, fps, clip.frames)

    return views


def mmaction2_single_frames(checkout: Path) -> Peer:
    """Clips of one frame, as many as segments: what a two-dimensional recogniser is tested with."""
    peer = _mmaction2(checkout)

    def views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
        twice = clip.views == 2
        transform = peer.SampleFrames(1, 1, clip.frames, twice_sample=twice, test_mode=True)
        return _inds(transform, frame_count, fps, clip.frames)

    return views


def mmaction2_dense(checkout: Path) -> Peer:
    peer = _mmaction2(checkout)

    def views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
        transform = peer.DenseSampleFrames(
            1, 1, clip.frames, num_sample_positions=clip.views, test_mode=True
        )
        return _inds(transform, frame_count, fps, clip.frames)

    return views


def mmaction2_spread_views(checkout: Path) -> Peer:
    peer = _mmaction2(checkout)

    def views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
        transform = peer.UniformSample(clip.frames, clip.views, test_mode=True)
        return _inds(transform, frame_count, fps, clip.frames)

    return views


def tsm_views(checkout: Path, *, dense: bool = False) -> Peer:
    peer = taken_from(checkout / "ops/dataset.py", ("TSNDataSet",), data=torch.utils.data)

    def views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
        data = peer.TSNDataSet.__new__(peer.TSNDataSet)
        data.num_segments, data.new_length = clip.frames, 1
        data.dense_sample, data.twice_sample = dense, clip.views == 2
        found = data._get_test_indices(types.SimpleNamespace(num_frames=frame_count))
        return found.reshape(-1, clip.frames) - 1

    return views


class _OldNumpy:
    """NumPy with the name that it had for `int`."""

    int = int

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def swin_views(checkout: Path) -> Peer:
    peer = taken_from(
        checkout / "mmaction/datasets/pipelines/loading.py",
        ("SampleFrames",),
        PIPELINES=_Registry,
        np=_OldNumpy(),
    )

    def views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
        transform = peer.SampleFrames(clip.frames, clip.stride, clip.views, test_mode=True)
        return _inds(transform, frame_count, fps, clip.frames)

    return views


class _NumberedVideo:
    """Stands for decord's reader: a frame is one pixel, its number."""

    def __init__(self, frame_count: int) -> None:
        self.frame_count = frame_count

    def __len__(self) -> int:
        return self.frame_count

    def seek(self, index: int) -> None:
        """Part of decord's interface; what is read does not depend on it."""

    def get_batch(self, indices: list[int]) -> Any:
        assert max(indices) < self.frame_count
        pixels = np.array(indices)[:, None, None, None]
        return types.SimpleNamespace(asnumpy=lambda: pixels)


def videomae_views(checkout: Path, *, something: bool = False) -> Peer:
    name = "SSVideoClsDataset" if something else "VideoClsDataset"
    there = types.SimpleNamespace(
        path=types.SimpleNamespace(exists=lambda _: True, getsize=lambda _: 4096)
    )
    peer = taken_from(
        checkout / ("ssv2.py" if something else "kinetics.py"),
        (name,),
        Dataset=torch.utils.data.Dataset,
        os=there,
        cpu=lambda _: None,
    )

    def views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
        kind = getattr(peer, name)
        kind.__getitem__.__globals__["VideoReader"] = lambda *_, **__: _NumberedVideo(frame_count)
        data = kind.__new__(kind)
        data.mode, data.keep_aspect_ratio = "test", True
        data.clip_len, data.frame_sample_rate = clip.frames, clip.stride
        data.num_segment, data.test_num_segment = clip.frames, clip.views
        data.short_side_size, data.test_num_crop = 1, 3
        data.data_resize = data.data_transform = lambda buffer: buffer
        data.test_seg = [(view, 0) for view in range(clip.views)]
        data.test_dataset, data.test_label_array = ["a/b.mp4"] * clip.views, [0] * clip.views
        return np.stack([data[view][0].reshape(-1) for view in range(clip.views)])

    return views


def torchvision_views(checkout: Path) -> Peer:
    clips = taken_from(
        checkout / "datasets/video_utils.py", ("VideoClips", "unfold"), bisect=bisect
    )
    sampler = taken_from(
        checkout / "datasets/samplers/clip_sampler.py",
        ("UniformClipSampler",),
        Sampler=torch.utils.data.Sampler,
        VideoClips=clips.VideoClips,
        cast=lambda _, value: value,
    )

    def views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray | None:
        known = {"video_paths": ["a"], "video_pts": [torch.arange(frame_count)], "video_fps": [fps]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # too few frames: then there are no clips
            video = clips.VideoClips(["a"], clip.frames, 1, clip.target_fps, known)
        if not len(video.clips[0]):
            return None
        numbers = list(sampler.UniformClipSampler(video, clip.views))
        return video.clips[0][numbers].numpy()

    return views
