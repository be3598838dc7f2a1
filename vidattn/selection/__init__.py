"""Scores -> key frames, weight maps -> key regions. Pure NumPy."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "Sketch": "coverage",
        "cells_to_pixels": "regions",
        "cover_frames": "coverage",
        "coverage_scores": "coverage",
        "difference_maps": "differences",
        "difference_scores": "differences",
        "difference_scores_and_maps": "differences",
        "energy_box": "regions",
        "merge_windows": "frames",
        "peak_location": "regions",
        "random_frames": "frames",
        "select_frames": "frames",
        "sketch_frames": "coverage",
        "stream_merged": "frames",
        "threshold_regions": "regions",
        "uniform_frames": "frames",
        "upsample_scores": "frames",
    },
)
