"""From a path to frames: one reader interface, several decoders behind it."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "Clip": "clip",
        "Frames": "frames",
        "Geometry": "clip",
        "VideoReader": "reader",
    },
)
