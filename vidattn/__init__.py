"""Video understanding with attention that selects key frames and key regions."""

from vidattn.lazy import exports

__version__ = "0.1.0"

__getattr__, __all__ = exports(
    __name__,
    {
        "attention": "attention",
        "backbones": "backbones",
        "models": "models",
        "open_video": "video",
    },
)
