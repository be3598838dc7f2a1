"""What a run does with each video of a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from vidattn.runs.shards import Shard

Record = dict[str, Any]
# Numbers of the videos that are worked on together.
Group = Sequence[int]


class Work(Protocol):
    """What a run does with each video; `vidattn.runs.run.work_through` does the rest.

    It must be picklable, for it is sent to the processes that do it, and to a fresh one for each
    that was lost. It opens videos in `records` alone: a video may end, block or fill the process
    that opens it.
    """

    def records(
        self, groups: Iterable[Group], shard: Shard
    ) -> Iterator[Mapping[int, Record] | float]:
        """Work on groups of videos, by their numbers, in order.

        What is found of a group must not depend on the groups before it. A video that cannot be
        used gets the record that `failures.failed` makes of its `VideoError`.

        Args:
            groups: taken one by one, when there is room for the next: a group that was taken and
                has no record yet is in work, and is suspected if the process is lost.
            shard: which of several processes this is; it chooses the device.

        Yields:
            number of the video -> what is to be known of it, as JSON types: all videos of a group
            at once, groups in order. Before that, perhaps, floats: what part of a video was done
            since, to show that something moves. Decoding a frame shows that by itself
            (`vidattn.heartbeat`): a video may take as long as it moves.

        Raises:
            ProcessError: a process that helps was lost at a video of a group in work.
            VidattnError, OSError: the run ends. (Input/output errors are tried again.)
        """
