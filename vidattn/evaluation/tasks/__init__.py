"""One file a task: what can be scored from files."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(__name__, {"TASKS": "built_in"})
