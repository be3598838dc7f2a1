"""Imported by the server that children are forked from: imports what they need, once.

A module that cannot be imported is left to the child that needs it, which says so in a sentence;
Python's own preloading ends with a traceback where a library raises anything but ImportError.
"""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module

# Names of modules, separated by spaces.
VARIABLE = "VIDATTN_PRELOAD"

for _name in os.environ.get(VARIABLE, "").split():
    with suppress(Exception):
        import_module(_name)
