"""Video understanding with attention that selects key frames and key regions."""

from vidattn.lazy import exports

__version__ = "0.1.0"

__getattr__, __all__ = exports(
    __name__,
    {
        "attention": "attention",
        "backbones": "backbones",
        "data": "data",
        "evaluate": "jobs",
        "evaluation": "evaluation",
        "explain": "jobs",
        "extract_keyframes": "jobs",
        "load": "models",
        "models": "models",
        "open_video": "video",
        "selection": "selection",
        "show": "jobs",
        "train": "jobs",
        "write_keyframes": "jobs",
    },
)
