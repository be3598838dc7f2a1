"""What is said where a library that a command needs is missing or broken."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator

# As it is imported -> as it is installed.
LIBRARIES = {
    "PIL": "pillow",
    "av": "av",
    "jinja2": "jinja2",
    "jsonargparse": "jsonargparse[signatures]",
    "lightning": "lightning",
    "numpy": "numpy",
    "pytorch_lightning": "pytorch-lightning",
    "pytorchvideo": "pytorchvideo",
    "rich": "rich",
    "tensorboard": "tensorboard",
    "torch": "torch",
    "torchmetrics": "torchmetrics",
    "torchvision": "torchvision",
    "yaml": "pyyaml",
}


def library_trouble(error: BaseException) -> str | None:
    """One line on the library that could not be imported, and how to install it.

    None where the error came from something else.
    """
    for name in _imported_meanwhile(error):
        if name in LIBRARIES:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            return (
                f"this command needs {name}, which cannot be imported here ({reason}); "
                f"install it with `pip install {LIBRARIES[name]}`"
            )
    return None


def _imported_meanwhile(error: BaseException) -> Iterator[str]:
    """Top-level packages whose import the error came from, the likeliest first."""
    if isinstance(error, ImportError) and error.name:
        yield error.name.partition(".")[0]
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("importlib."):
            yield str(frame.f_locals.get("name", "")).partition(".")[0]
        else:
            if frame.f_code.co_name == "<module>":
                yield module.partition(".")[0]
            statement = linecache.getline(frame.f_code.co_filename, trace.tb_lineno)
            yield from re.findall(r"^\s*(?:from|import)\s+(\w+)", statement)
        trace = trace.tb_next
