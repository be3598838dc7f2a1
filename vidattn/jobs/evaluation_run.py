from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from vidattn import __version__, models
from vidattn.data import Sample, read_annotations
from vidattn.errors import ArgumentError
from vidattn.files import write_json
from vidattn.jobs.clip_scores import score_clips
from vidattn.jobs.evaluation_record import Evaluation, summarise
from vidattn.models import LoadedRecogniser


def evaluate(
    checkpoint: str | Path | LoadedRecogniser,
    data: str | Path | Sequence[Sample],
    *,
    root: str | Path | None = None,
    folds: Sequence[int] | None = None,
    views: int = 1,
    crops: int = 1,
    batch_size: int = 8,
    workers: int = 0,
    device: str = "cpu",
    decoder: str = "pyav",
    output: str | Path | None = None,
    progress: bool = True,
) -> Evaluation:
    """Evaluate a checkpoint clip by clip and video by video.

    A video's score is the mean of its clips' probabilities.

    Args:
        checkpoint: a file, or what `vidattn.models.load` returned.
        data: class folders, a list, a CSV, or what `read_annotations` returned.
        root: folder that the paths are relative to.
        folds: use only these values of the CSV's fold column.
        views, crops: clips a video over time, and over the longer side (1 or 3).
        batch_size, workers, decoder: see `score_clips`.
        output: folder for `evaluation.json` and `evaluation.html`; nothing is written if None.

    Raises:
        CheckpointError, AnnotationError, ArgumentError: what was given cannot be used.
    """
    loaded = (
        models.load(checkpoint, device=device) if isinstance(checkpoint, str | Path) else checkpoint
    )
    samples = _samples(data, root, folds, multi_label=loaded.recogniser.spec.multi_label)
    if output is not None:  # a folder that cannot be made is found out now, not after hours
        Path(output).mkdir(parents=True, exist_ok=True)
    clips = score_clips(
        loaded,
        samples,
        views=views,
        crops=crops,
        batch_size=batch_size,
        workers=workers,
        decoder=decoder,
        progress=progress,
    )
    settings = {
        "data": str(data) if isinstance(data, str | Path) else None,
        "folds": None if folds is None else list(folds),
        "videos_expected": len(samples),
        "views": views,
        "crops": crops,
        "aggregation": "mean of probabilities over the clips of a video",
        "clip": loaded.clip.to_json(),
        "checkpoint": loaded.path,
        "checkpoint_sha256": loaded.digest,
        "decoder": decoder,
        "versions": versions(),
    }
    found = summarise(clips, loaded.classes, settings)
    if output is not None:
        from vidattn.jobs.pages import write_evaluation_page

        write_json(Path(output) / "evaluation.json", found.to_json())
        write_evaluation_page(Path(output) / "evaluation.html", found)
    return found


def _samples(
    data: str | Path | Sequence[Sample],
    root: str | Path | None,
    folds: Sequence[int] | None,
    *,
    multi_label: bool,
) -> list[Sample]:
    if isinstance(data, str | Path):
        samples = read_annotations(data, root=root, label_separator="," if multi_label else None)
    else:
        samples = list(data)
    if folds is None:
        return samples
    known = {sample.fold for sample in samples}
    if unknown := set(folds) - known:
        there = sorted(fold for fold in known if fold is not None)
        raise ArgumentError(f"folds: expected some of {there}, got {sorted(unknown)}")
    return [sample for sample in samples if sample.fold in folds]


def versions() -> dict[str, str]:
    """What a figure depends on besides the checkpoint and the data."""
    from importlib.metadata import version

    names = ("torch", "torchvision", "av", "numpy")
    return {
        "vidattn": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }
