"""The command line. One file a subcommand; each imports what it needs when it runs."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(__name__, {"main": "main"})
