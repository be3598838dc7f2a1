from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vidattn.data.annotations import Sample
from vidattn.data.collate import ClipWithTarget
from vidattn.data.evaluation_clips import EvaluationClips
from vidattn.data.failures import Failure, UnreadableVideosError
from vidattn.data.framing import square_crop
from vidattn.data.labels import encode_labels
from vidattn.data.part import choose_in_part
from vidattn.data.replacement import stand_ins
from vidattn.data.source import FrameSource
from vidattn.data.spec import ClipSpec
from vidattn.errors import ArgumentError, TooShortError, VideoError
from vidattn.sampling.crops import CropPosition
from vidattn.sampling.protocols import Protocol
from vidattn.sampling.times import FrameTimes
from vidattn.video.clip import Clip
from vidattn.video.frames import Frames
from vidattn.video.opening import check_decoder


@dataclass(frozen=True, slots=True)
class Draw:
    """Which random clip is meant; the same draw is the same clip, in any process.

    Attributes:
        index: of the sample.
        epoch: of the training.
        occurrence: 0 for the first clip of the sample in the epoch, then 1, 2, …
        clips: this clip and so many less one that follow it, decoded together.
    """

    index: int
    epoch: int = 0
    occurrence: int = 0
    clips: int = 1


class ClipDataset(Dataset[list[ClipWithTarget] | Failure]):
    """Clips of annotated videos; each item is the clips of one video, or why it has none.

    In training an item is the clips of a `Draw`, each at a random time; those of one draw come
    from one pass over the file and are what each would be if it were drawn alone. Frames are
    squares of `short_side` pixels at a random place along the longer side, so that clips stack;
    the random resized crop to `crop_size` and the flip follow on the device (`TrainTransform`).
    In evaluation an item is views × crops clips of `crop_size`, views in order of time, numbered
    `view · crops + crop`. Frames smaller than `short_side` are enlarged to it.

    The clip drawn depends on the seed and the `Draw` alone, not on the number of workers. Files
    are opened where the item is made, so inside the worker.

    Args:
        samples: what `read_annotations` gives.
        spec: what a clip is.
        classes: names; a label's position is its class index. None: labels are not looked at, and
            clips have no target, as for prediction.
        training: random clips, else the test clips.
        views, crops: test clips a video, spread over time, and over the longer side (1 or 3).
        protocol: of a published evaluation, in place of views and crops: its frames, views,
            crops and sizes count.
        multi_label: labels as multi-hot vectors; else each sample has exactly one label.
        decoder: see `vidattn.open_video`.
        cache_frames: keep every video's resized frames in memory after its first decode, about
            4 · short_side² bytes a frame. Each worker process has its own memory: call
            `fill_cache` before the workers start, and they share it.
        maximum_failures: unreadable videos that `record` allows, never all; None for any number.
        seed: of the random clips.

    Attributes:
        report: called with a sample's number before it is read, and with None afterwards.

    Raises:
        ArgumentError: a sample has no label or one that is not among the classes, or a setting is
            out of range.
        UnknownNameError, DecoderUnavailableError: the decoder cannot be used here.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        spec: ClipSpec,
        classes: Sequence[str] | None,
        training: bool,
        views: int = 1,
        crops: int = 1,
        protocol: Protocol | None = None,
        multi_label: bool = False,
        decoder: str = "pyav",
        cache_frames: bool = False,
        maximum_failures: int | None = None,
        seed: int = 0,
    ) -> None:
        if training and (views, crops, protocol) != (1, 1, None):
            raise ArgumentError(
                "views, crops and protocol are for evaluation: training has one clip a draw"
            )
        if seed < 0:
            raise ArgumentError(f"seed: expected 0 or more, got {seed}")
        check_decoder(decoder)
        self.samples = list(samples)
        self.spec = spec
        self.training = training
        self.evaluation_clips = EvaluationClips(spec, views, crops, protocol)
        self.multi_label = multi_label
        self.source = FrameSource(
            short_side=self.evaluation_clips.short_side,
            aspect="keep" if protocol else spec.aspect,
            decoder=decoder,
            keep=cache_frames,
            size=protocol.resize_to if protocol else None,
        )
        self.maximum_failures = maximum_failures
        self.seed = seed
        self.failures: dict[str, str] = {}
        self._errors: dict[str, type[VideoError]] = {}
        self.report: Callable[[int | None], None] = _nobody_asks
        self.targets: Tensor | None = None
        if classes is not None:
            self.targets = encode_labels(self.samples, classes, multi_label=multi_label)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: int | Draw) -> list[ClipWithTarget] | Failure:
        """The clips of one video. A plain index is its first draw of epoch 0."""
        draw = draw if isinstance(draw, Draw) else Draw(range(len(self))[draw])
        sample = self.samples[draw.index]
        known = self.failures.get(sample.name)
        if known is not None:
            return Failure(sample.name, known, self._errors[sample.name])
        self.report(draw.index)
        try:
            clips = self._training(draw) if self.training else self._evaluation(draw.index)
            self.report(None)
        except VideoError as error:
            failure = Failure(sample.name, error.reason, type(error))
            self._remember(failure)
            self.report(None)
            return failure
        target = None if self.targets is None else self.targets[draw.index]
        return [ClipWithTarget(clip, target) for clip in clips]

    @property
    def labels(self) -> Tensor:
        """Of each sample: class indices, int64 (samples,), or multi-hot, (samples, classes).

        Raises:
            ArgumentError: there are no classes.
        """
        if self.targets is None:
            raise ArgumentError("classes: expected names of classes, got None: there are no labels")
        return self.targets

    def __getitems__(self, draws: Sequence[int | Draw]) -> list[list[ClipWithTarget] | Failure]:
        """The items of a batch. In training another video takes the place of one that failed.

        So batches keep their size, and every process of a training takes as many steps. Failures
        are in the list too, before what stands in for them.
        """
        items: list[list[ClipWithTarget] | Failure] = []
        for draw in draws:
            items.append(self[draw])
            if self.training and isinstance(items[-1], Failure):
                items.extend(self._in_place_of(draw))
        return items

    def record(self, failures: Iterable[Failure]) -> None:
        """Remember what workers could not read.

        Raises:
            UnreadableVideosError: more videos than `maximum_failures` have failed by now, or
                all, where a number is set.
        """
        for failure in failures:
            self._remember(failure)
        if self.maximum_failures is None:
            return
        if len(self.failures) > self._allowed_failures:
            raise UnreadableVideosError(self.failures, self._allowed_failures)

    def _remember(self, failure: Failure) -> None:
        self.failures[failure.path] = failure.reason
        self._errors[failure.path] = failure.error

    def fill_cache(self, *, threads: int = 1) -> None:
        """Decode every video now, so that workers that are started later share the frames.

        Raises:
            UnreadableVideosError: see `record`.
        """
        if not self.source.keep:
            raise ArgumentError("cache_frames is off: there is no cache to fill")

        def load(sample: Sample) -> Failure | None:
            try:
                self.source.load(sample.path)
            except VideoError as error:
                return Failure(sample.name, error.reason, type(error))
            return None

        with ThreadPoolExecutor(threads) as pool:
            self.record(failure for failure in pool.map(load, self.samples) if failure)

    @property
    def _allowed_failures(self) -> int:
        most = len(self) - 1
        return most if self.maximum_failures is None else min(self.maximum_failures, most)

    def _in_place_of(self, draw: int | Draw) -> Iterator[list[ClipWithTarget] | Failure]:
        draw = draw if isinstance(draw, Draw) else Draw(draw)
        for other in stand_ins(self.samples, draw, self.seed):
            if len(self.failures) > self._allowed_failures:
                return  # `record` ends the training
            if self.samples[other.index].name not in self.failures:
                yield (item := self[other])
                if not isinstance(item, Failure):
                    return

    def _training(self, draw: Draw) -> list[Clip]:
        generators = [
            np.random.default_rng([self.seed, draw.epoch, draw.occurrence + number, draw.index])
            for number in range(draw.clips)
        ]

        def choose(times: FrameTimes) -> tuple[np.ndarray, np.ndarray]:
            drawn = [self.spec.training_indices(times, each) for each in generators]
            indices, valid = zip(*drawn, strict=True)
            return np.stack(indices), np.stack(valid)

        sample = self.samples[draw.index]
        frames, valid = self.source.select(sample.path, choose_in_part(sample, choose))
        side = self.spec.short_side
        clips = []
        for number, generator in enumerate(generators):
            part = slice(number * self.spec.frames, (number + 1) * self.spec.frames)
            top, left = generator.integers(np.array(frames.size) - side + 1).tolist()
            shown = frames.part(part)
            position = CropPosition(top, left)
            clips.append(self._clip(draw.index, shown, valid[part], position, side, number))
        return clips

    def _evaluation(self, index: int) -> list[Clip]:
        planned, sample = self.evaluation_clips, self.samples[index]
        choose = choose_in_part(sample, planned.indices)
        try:
            frames, places, valid = self.source.clips(sample.path, choose)
        except TooShortError as error:
            raise VideoError(sample.path, str(error)) from error
        positions = planned.positions(frames.size)
        clips = []
        for view, (own, real) in enumerate(zip(places, valid, strict=True)):
            shown = frames.take(own.tolist())
            for crop, position in enumerate(positions):
                number = view * len(positions) + crop
                clips.append(self._clip(index, shown, real, position, planned.crop_size, number))
        return clips

    def _clip(
        self,
        index: int,
        frames: Frames,
        valid: np.ndarray,
        position: CropPosition,
        side: int,
        view: int,
    ) -> Clip:
        pixels, geometry = square_crop(frames, position.top, position.left, side)
        if position.flipped:
            pixels, geometry = pixels.flip(3), geometry.flipped_horizontally()
        return Clip(
            pixels=pixels,
            seconds=frames.seconds,
            indices=frames.indices,
            valid=torch.from_numpy(valid),
            geometry=geometry,
            video_id=self.samples[index].video_id,
            view=view,
        )


def _nobody_asks(index: int | None) -> None:
    """Where a dataset reports which sample it is at while it is in no worker process."""
