"""Networks that decide: backbone, attention, pooling and head, and the files they live in."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "InsertionSpec": "spec",
        "LoadedRecogniser": "checkpoint",
        "Locator": "locate",
        "Recogniser": "recogniser",
        "RecogniserSpec": "spec",
        "Recognition": "recogniser",
        "load": "checkpoint",
        "save": "checkpoint",
    },
)
