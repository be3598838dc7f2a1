"""Requests to servers that are tried again, and never wait for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from vidattn.errors import InputOutputError
from vidattn.heartbeat import beat

Found = TypeVar("Found")

# Before the second attempt and those after it; a run tries a video again later, besides.
PAUSES_SECONDS = (0.5, 2.0, 8.0)
# Without an answer or a byte for so long, a server is taken for stalled.
STALL_SECONDS = 30.0
# A server that sends less than this a second, beyond the time above, is taken for stalled too.
LEAST_BYTES_A_SECOND = 2**16


class TroubleError(Exception):
    """Something that may go well at the next attempt."""


def attempted(name: str, request: Callable[[], Found]) -> Found:
    """What a request gives, at one of several attempts with growing pauses.

    Args:
        name: of the video, for the message.
        request: raises `TroubleError` where another attempt may help.

    Raises:
        InputOutputError: no attempt went well.
    """
    for pause in PAUSES_SECONDS:
        try:
            return request()
        except TroubleError:
            beat()
            time.sleep(pause)
    try:
        return request()
    except TroubleError as error:
        raise InputOutputError(name, f"{error} ({len(PAUSES_SECONDS) + 1} attempts)") from error


def seconds_for(size: int) -> float:
    """How long so many bytes may take."""
    return STALL_SECONDS + size / LEAST_BYTES_A_SECOND


def within(seconds: float, call: Callable[[], Found]) -> Found:
    """What a call gives that may wait for ever; it is left behind if it does.

    Raises:
        TroubleError: it takes longer.
    """
    found: dict[str, Any] = {}

    def run() -> None:
        try:
            found["value"] = call()
        except BaseException as error:
            found["error"] = error

    thread = threading.Thread(target=run, daemon=True, name="vidattn-request")
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TroubleError(f"the server has not answered for {seconds:.0f} s")
    if "error" in found:
        raise found["error"]
    value: Found = found["value"]
    return value
