"""The shots of a video, by what its frames look like: no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from vidattn import selection
from vidattn.inference.glances import glance_at
from vidattn.notebook import html_table
from vidattn.selection import Transition
from vidattn.selection.transitions import TransitionKind
from vidattn.video import VideoReader, open_video

# What is looked at of each frame.
SHORT_SIDE = 32


@dataclass(frozen=True)
class Shot:
    """One shot.

    Attributes:
        number: from 1.
        start_frame, end_frame: it fills start_frame … end_frame − 1; frames of a gradual transition
            belong to no shot.
        start_seconds, end_seconds: on the video's own clock; the end is when the next frame begins.
        begins_with: "cut", "dissolve", "fade" or "wipe"; None for the first shot.
    """

    number: int
    start_frame: int
    end_frame: int
    start_seconds: float
    end_seconds: float
    begins_with: TransitionKind | None

    @property
    def duration_seconds(self) -> float:
        """How long it is shown."""
        return self.end_seconds - self.start_seconds


@dataclass(frozen=True, eq=False, repr=False)
class Shots:
    """The shots of one video, in time order; has a length and an index.

    Attributes:
        video: as it was given.
        shots: at least one.
        transitions: between them: one fewer.
        frame_count, fps, duration_seconds, size: of the video.
    """

    video: str
    shots: tuple[Shot, ...]
    transitions: tuple[Transition, ...]
    frame_count: int
    fps: float
    duration_seconds: float
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.shots)

    def __getitem__(self, number: int) -> Shot:
        return self.shots[number]

    def __iter__(self) -> Iterator[Shot]:
        return iter(self.shots)

    def __repr__(self) -> str:
        return f"<Shots of {Path(self.video).name}: {len(self)} in {self.duration_seconds:.1f} s>"

    def _repr_html_(self) -> str:
        """What a notebook shows: a row a shot."""
        rows = [
            (str(each.number), f"{each.start_seconds:.2f}", f"{each.end_seconds:.2f}",
             each.begins_with or "")
            for each in self.shots
        ]  # fmt: skip
        return html_table(repr(self)[1:-1], ("shot", "start s", "end s", "begins with"), rows)

    def in_words(self) -> str:
        """How many shots."""
        return f"{len(self)} shots in {self.duration_seconds:.1f} s"

    def to_json(self) -> dict[str, Any]:
        """What `shots.json` holds of one video."""
        return {
            "video": self.video,
            "frames": self.frame_count,
            "fps": self.fps,
            "duration_seconds": self.duration_seconds,
            "size": list(self.size),
            "shots": [vars(each) for each in self.shots],
            "transitions": [[each.last_old, each.first_new] for each in self.transitions],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        shots = tuple(Shot(**each) for each in values["shots"])
        transitions = tuple(
            Transition(last_old, first_new, shot.begins_with or "cut")
            for (last_old, first_new), shot in zip(values["transitions"], shots[1:], strict=True)
        )
        height, width = values["size"]
        about = (values["frames"], values["fps"], values["duration_seconds"], (height, width))
        return cls(values["video"], shots, transitions, *about)


def find_shots(path: str | Path, *, decoder: str = "pyav", salvage: bool = False) -> Shots:
    """Find the shots of a video of any length, in bounded memory; see `selection.find_transitions`.

    Args:
        path: a video file, or a folder of frame images.
        decoder: see `vidattn.open_video`.
        salvage: read damaged videos too. Damaged frames are used like others.

    Raises:
        VideoError: the video cannot be used.
    """
    with open_video(path, decoder=decoder, salvage=salvage) as reader:
        with glance_at(reader, frames_at_once=64, short_side=SHORT_SIDE) as (pictures, glance):
            found = tuple(selection.find_transitions(pictures, glance))
        return _shots(reader, found)


def _shots(reader: VideoReader, transitions: tuple[Transition, ...]) -> Shots:
    pairs = [[each.last_old, each.first_new] for each in transitions]
    bounds = selection.shot_bounds(pairs, len(reader)).tolist()
    seconds = reader.frame_times.seconds
    film_end = float(seconds[0]) + reader.duration_seconds
    shots = [
        Shot(
            number,
            start,
            end,
            float(seconds[start]),
            float(seconds[end]) if end < len(seconds) else max(film_end, float(seconds[-1])),
            transitions[number - 2].kind if number > 1 else None,
        )
        for number, (start, end) in enumerate(bounds, start=1)
    ]
    return Shots(
        reader.path,
        tuple(shots),
        transitions,
        len(reader),
        reader.fps,
        reader.duration_seconds,
        reader.size,
    )
