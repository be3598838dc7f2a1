"""Annotated videos -> batches of clips."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "ClipBatch": "collate",
        "ClipDataset": "dataset",
        "ClipLoader": "loader",
        "ClipSpec": "spec",
        "EvaluationTransform": "transforms",
        "LabelledClip": "collate",
        "Mixing": "mixing",
        "Sample": "annotations",
        "TrainTransform": "transforms",
        "TrainingLoader": "loader",
        "UnreadableVideosError": "failures",
        "VideoDataModule": "module",
        "WorkerError": "workers",
        "collate_clips": "collate",
        "read_annotations": "annotations",
    },
)
