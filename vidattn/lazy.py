"""Exports that are imported when first used: `import torch` alone costs three seconds."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def exports(package: str, modules: dict[str, str]) -> tuple[Callable[[str], Any], list[str]]:
    """`__getattr__` and `__all__` for a package whose public names live in submodules (PEP 562).

    Args:
        package: the package's `__name__`.
        modules: public name -> submodule that defines it; a name equal to its submodule's
            is the submodule itself.
    """

    def getattribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{modules[name]}")
        return module if name == modules[name] else getattr(module, name)

    return getattribute, sorted(modules)
