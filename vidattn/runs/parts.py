"""How a list is cut into parts, which processes take one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vidattn.runs.work import Group

# Short lists have parts of one group, so that few videos keep many processes busy. Long lists have
# larger ones, so that the run's folder holds few files.
MANY_PARTS = 512
LARGEST_PART = 256


@dataclass(frozen=True)
class Parts:
    """The parts of a list: consecutive groups, as many for each process that works on the list.

    Args:
        groups: numbers of the videos that are worked on together, in order.
        many: parts of one group each become larger where the list has more groups.
    """

    groups: Sequence[Group]
    many: int = MANY_PARTS

    @property
    def size(self) -> int:
        """Groups of each part; the last one may have fewer."""
        return min(max(len(self.groups) // self.many, 1), LARGEST_PART)

    def __len__(self) -> int:
        return -(-len(self.groups) // self.size)

    def __getitem__(self, part: int) -> Sequence[Group]:
        if not 0 <= part < len(self):
            raise IndexError(part)
        return self.groups[part * self.size : (part + 1) * self.size]

    def numbers(self, part: int) -> list[int]:
        """Of the videos of a part."""
        return [number for group in self[part] for number in group]


class SingleVideos(Sequence[Group]):
    """Groups of one video each, without a list for each.

    >>> SingleVideos(3)[1], list(SingleVideos(3)[1:])
    ([1], [[1], [2]])
    """

    def __init__(self, count: int) -> None:
        self._numbers = range(count)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: int | slice) -> Group | Sequence[Group]:  # type: ignore[override]
        if isinstance(place, slice):
            return [[number] for number in self._numbers[place]]
        return [self._numbers[place]]
