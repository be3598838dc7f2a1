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
        "UnreadableVideosError": "failures",
        "VideoDataModule": "module",
        "collate_clips": "collate",
        "read_annotations": "annotations",
    },
)
