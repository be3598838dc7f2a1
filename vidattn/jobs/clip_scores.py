from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from vidattn.data import ClipBatch, ClipDataset, EvaluationTransform, Sample
from vidattn.data.loader import ClipLoader, evaluation_loader
from vidattn.errors import ArgumentError
from vidattn.models import LoadedRecogniser


@dataclass(frozen=True, eq=False)
class ClipScores:
    """What a model says of every test clip, before anything is averaged.

    Attributes:
        logits: float32 (clips, classes).
        video_ids: of each clip.
        labels: int64 (videos,), or multi-hot (videos, classes), by video in order of appearance.
        groups: of each video, in that order; the video itself where it has none.
        failures: videos that could not be read -> why.
    """

    logits: NDArray[np.float32]
    video_ids: list[str]
    labels: NDArray[Any]
    groups: list[str]
    failures: dict[str, str]


def score_clips(
    loaded: LoadedRecogniser,
    samples: Sequence[Sample],
    *,
    views: int = 1,
    crops: int = 1,
    batch_size: int = 8,
    workers: int = 0,
    decoder: str = "pyav",
    progress: bool = True,
) -> ClipScores:
    """Run a recogniser over views × crops clips of every video.

    Args:
        batch_size: clips that go through the network at once; the clips of one video always
            go together.
        workers: processes that decode; 0 decodes in this one.

    Raises:
        ArgumentError: a label that the model does not know, or a number out of range.
    """
    spec = loaded.recogniser.spec
    if batch_size < 1:
        raise ArgumentError(f"batch_size: expected at least 1, got {batch_size}")
    dataset = ClipDataset(
        samples,
        spec=loaded.clip,
        classes=spec.classes,
        training=False,
        views=views,
        crops=crops,
        multi_label=spec.multi_label,
        decoder=decoder,
    )
    videos_at_once = max(batch_size // (views * crops), 1)
    loader = evaluation_loader(dataset, batch_size=videos_at_once, workers=workers)
    logits: list[torch.Tensor] = []
    video_ids: list[str] = []
    labels: dict[str, torch.Tensor] = {}
    for batch, scores in _batches(loaded, loader, progress):
        logits.append(scores)
        video_ids += batch.video_id
        labels.update(zip(batch.video_id, batch.labels, strict=True))
    if not logits:
        reasons = "; ".join(f"{path}: {why}" for path, why in list(dataset.failures.items())[:5])
        raise ArgumentError(f"data: none of the {len(dataset)} videos can be read ({reasons})")
    groups = {sample.video_id: sample.group or sample.video_id for sample in samples}
    return ClipScores(
        torch.cat(logits).numpy(),
        video_ids,
        torch.stack(list(labels.values())).numpy(),
        [groups[name] for name in labels],
        dataset.failures,
    )


def _batches(
    loaded: LoadedRecogniser, loader: ClipLoader, progress: bool
) -> Iterator[tuple[ClipBatch, torch.Tensor]]:
    """Each batch with its logits, on the CPU."""
    device = next(loaded.recogniser.parameters()).device
    transform = EvaluationTransform(loaded.clip).to(device)
    for batch in track(
        loader,
        description="evaluating",
        console=Console(stderr=True),
        disable=not progress,
        transient=True,
    ):
        with torch.inference_mode():
            there = batch.to(device)
            recognition = loaded.recogniser(transform(there.pixels), there.valid)
            yield batch, recognition.logits.float().cpu()
