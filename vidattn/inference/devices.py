"""Where a network is put."""

from __future__ import annotations

import torch

from vidattn.errors import ArgumentError


def usable_device(name: str | torch.device) -> torch.device:
    """The device of this name.

    Raises:
        ArgumentError: it is not there.
    """
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ArgumentError(f"device: {str(name)!r} cannot be used here ({reason})") from error
