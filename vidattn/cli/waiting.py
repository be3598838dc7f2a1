"""How threads wait for each other while a network trains on the CPU."""

from __future__ import annotations

import os

_CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def wait_passively() -> None:
    """Have OpenMP's threads sleep while they wait, unless the environment says how they wait.

    By default they spin, which takes the core from the very thread that they wait for as soon as
    another process runs. It changes no result. Call it before torch is imported: the OpenMP library
    reads its environment once.
    """
    if not any(name in os.environ for name in _CHOICES):
        os.environ["OMP_WAIT_POLICY"] = "passive"
