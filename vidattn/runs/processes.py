from __future__ import annotations

from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from vidattn.errors import ProcessError, VidattnError
from vidattn.pools import interrupts_held
from vidattn.runs.shards import Shard
from vidattn.runs.waiting import Tick


def in_processes(count: int, share: Callable[..., None], *arguments: Any, tick: Tick) -> None:
    """Run `share(shard, tick, *arguments)` in `count` new processes and wait for them.

    They are started afresh: a forked decoder library may hold a lock that nobody will release.

    Args:
        share: importable by name.
        arguments: picklable.
        tick: called here with what the processes tick there.

    Raises:
        VidattnError, OSError: what one of them met; the others are ended.
        ProcessError: one of them ended otherwise, such as for want of memory.
    """
    context = get_context("spawn")
    running: dict[Any, Any] = {}
    try:
        for rank in range(count):
            receiver, sender = context.Pipe(duplex=False)
            shard = Shard(rank, count, local_rank=rank)
            process = context.Process(target=_child, args=(sender, share, shard, arguments))
            with interrupts_held():
                process.start()
            sender.close()
            running[receiver] = process
        while running:
            for ready in wait(list(running)):
                _receive(ready, running, tick)
    finally:
        for process in running.values():
            process.terminate()
            process.join()


def _receive(receiver: Any, running: dict[Any, Any], tick: Tick) -> None:
    try:
        message = receiver.recv()
    except EOFError:
        process = running.pop(receiver)
        process.join()
        if process.exitcode != 0:
            raise ProcessError(
                f"a process ended with exit code {process.exitcode} before its share was done; "
                "the same command goes on from here"
            ) from None
        return
    if isinstance(message, Exception):
        raise message
    tick(message)


def _child(
    sender: Connection, share: Callable[..., None], shard: Shard, arguments: tuple[Any, ...]
) -> None:
    try:
        share(shard, sender.send, *arguments)
    except BrokenPipeError:  # the parent is no more, nobody waits for this
        return
    except (VidattnError, OSError) as error:
        sender.send(error)
