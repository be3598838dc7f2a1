"""Pure index maths: which frames make a clip, and where it is cropped. NumPy only.

Index functions count positions 0, 1, 2, … in presentation order. For a video that is too short
they count on past its end; `pad` turns that into frames that exist and a mask.
"""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "CropPosition": "crops",
        "FrameSpacing": "spacing",
        "FrameTimes": "times",
        "Protocol": "protocols",
        "Spacing": "spacing",
        "TimeSpacing": "spacing",
        "centred_start": "dense",
        "crop_positions": "crops",
        "dense_clips": "dense",
        "dense_span": "dense",
        "pad": "padding",
        "protocol": "protocols",
        "protocol_names": "protocols",
        "random_segments": "segments",
        "random_start": "dense",
        "segment_centres": "segments",
        "segment_views": "segments",
        "sliding_windows": "windows",
        "view_starts": "dense",
        "window_starts": "windows",
    },
)
