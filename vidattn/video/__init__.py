"""Video files and folders of frame images, as exact frames with their times."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "Clip": "clip",
        "Frames": "frames",
        "Geometry": "clip",
        "VideoReader": "reader",
        "VideoWriter": "writer",
    },
)
