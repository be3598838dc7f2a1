"""Attention for images, frames and clips: mechanisms, views, maps, insertion."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "Adapted": "adapters",
        "AttentionMap": "observe",
        "Facts": "built_in",
        "Factorised": "views",
        "Insertion": "insertion",
        "Mechanism": "mechanism",
        "Observer": "observe",
        "OverTime": "views",
        "PerFrame": "views",
        "Pooled": "mechanism",
        "Recording": "observe",
        "RecordingError": "observe",
        "Reduced": "mechanism",
        "adapt": "adapters",
        "build": "built_in",
        "catalogue": "built_in",
        "insert": "insertion",
        "record_maps": "observe",
        "rollout_map": "rollout",
    },
)
