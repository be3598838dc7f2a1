"""Video files and folders of frame images, as exact frames with their times."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "Clip": "clip",
        "DECODERS": "opening",
        "Frames": "frames",
        "Geometry": "clip",
        "ImageFolderReader": "image_folder",
        "Limits": "limits",
        "VideoReader": "reader",
        "VideoWriter": "writer",
        "available_decoders": "opening",
        "open_video": "opening",
    },
)
