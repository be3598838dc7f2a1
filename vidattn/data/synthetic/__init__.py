"""Synthetic actions that differ by motion only, with the truth about when and where."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "ACTIONS": "files",
        "ActionTruth": "files",
        "TRUTH_FILE": "files",
        "read_truth": "files",
        "write_actions": "files",
    },
)
