"""The shots of a video, by what its frames look like, or by a network that is made for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from vidattn import selection
from vidattn.inference.glances import glance_at
from vidattn.naming import choose
from vidattn.notebook import html_table
from vidattn.selection import Transition
from vidattn.selection.transitions import TransitionKind
from vidattn.threads import each_in_one_thread
from vidattn.video import VideoReader, open_video
from vidattn.video.sources.addresses import AllowRemote, VideoLike

if TYPE_CHECKING:
    from vidattn.inference.transnetv2 import TransNetDetector

# What is looked at of each frame.
SHORT_SIDE = 32
BUILT_IN, TRANSNET = "built-in", "transnetv2"
DETECTORS = (BUILT_IN, TRANSNET)


@dataclass(frozen=True)
class Shot:
    """One shot.

    Attributes:
        number: from 1.
        start_frame, end_frame: it fills start_frame … end_frame − 1; frames of a gradual transition
            belong to no shot.
        start_seconds, end_seconds: on the video's own clock; the end is when the next frame begins.
        begins_with: "cut", "dissolve", "fade" or "wipe", or "gradual" if the detector does not say
            which of these; None for the first shot.
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
        detector: what found them.
    """

    video: str
    shots: tuple[Shot, ...]
    transitions: tuple[Transition, ...]
    frame_count: int
    fps: float
    duration_seconds: float
    size: tuple[int, int]
    detector: str = BUILT_IN

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
            "detector": self.detector,
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
        return cls(values["video"], shots, transitions, *about, values["detector"])


def find_shots(
    video: VideoLike,
    *,
    detector: str | TransNetDetector = BUILT_IN,
    device: str = "cpu",
    decoder: str = "pyav",
    salvage: bool = False,
    allow_remote: AllowRemote = (),
) -> Shots:
    """Find the shots of a video of any length, in bounded memory; see `selection.find_transitions`.

    With the built-in detector, frames that no other frame references are not decoded in stretches
    where little changes, as far as the sizes of the packets tell. Every transition rests on frames
    that were decoded.

    Args:
        video, decoder, allow_remote: see `vidattn.open_video`.
        detector: "built-in", or "transnetv2": a trained network, which takes much longer and needs
            `pip install 'vidattn[transnetv2]'`; or a `TransNetDetector` that is loaded already.
        device: where a network is put.
        salvage: read damaged videos too. Damaged frames are used like others.

    Raises:
        VideoError: the video cannot be used.
        MissingLibraryError: the library of the detector is not installed.
        UnknownNameError: there is no such detector.
    """
    network = loaded_detector(detector, device)
    with open_video(video, decoder, salvage=salvage, allow_remote=allow_remote) as reader:
        transitions = tuple(_transitions(reader, network))
        shots = tuple(_shots(reader, transitions))
        about = (len(reader), reader.fps, reader.duration_seconds, reader.size)
        name = BUILT_IN if network is None else TRANSNET
        return Shots(reader.path, shots, transitions, *about, name)


def stream_shots(
    video: VideoLike,
    *,
    detector: str | TransNetDetector = BUILT_IN,
    device: str = "cpu",
    decoder: str = "pyav",
    salvage: bool = False,
    allow_remote: AllowRemote = (),
) -> Iterator[Shot]:
    """The shots of `find_shots`, each as soon as it is certain where it ends.

    With the built-in detector, that is about 1,100 frames behind its end, so a film of hours gives
    its first shots at once.

    Args:
        video, detector, device, decoder, salvage, allow_remote: see `find_shots`.

    Raises:
        VideoError, MissingLibraryError, UnknownNameError: see `find_shots`.
    """
    network = loaded_detector(detector, device)
    with open_video(video, decoder, salvage=salvage, allow_remote=allow_remote) as reader:
        yield from _shots(reader, _transitions(reader, network))


def loaded_detector(detector: str | TransNetDetector, device: str) -> TransNetDetector | None:
    """The network of a detector; None for the built-in one, which has none.

    Raises:
        MissingLibraryError, UnknownNameError: see `find_shots`.
        ArgumentError: there is no such device.
    """
    if not isinstance(detector, str):
        return detector
    if choose("detector", detector, DETECTORS) == BUILT_IN:
        return None
    from vidattn.inference.transnetv2 import TransNetDetector

    return TransNetDetector(device)


def _transitions(reader: VideoReader, network: TransNetDetector | None) -> Iterator[Transition]:
    if network is not None:
        yield from network.transitions(reader)
        return
    with glance_at(reader, frames_at_once=64, short_side=SHORT_SIDE) as (pictures, glance):
        yield from each_in_one_thread(selection.find_transitions(pictures, glance))


def _shots(reader: VideoReader, transitions: Iterable[Transition]) -> Iterator[Shot]:
    """The shots between transitions, which come in order."""
    seconds = reader.frame_times.seconds
    film_end = max(float(seconds[0]) + reader.duration_seconds, float(seconds[-1]))
    number, start, kind = 1, 0, None
    for each in transitions:
        end = each.last_old + 1
        yield Shot(number, start, end, float(seconds[start]), float(seconds[end]), kind)
        number, start, kind = number + 1, each.first_new, each.kind
    yield Shot(number, start, len(seconds), float(seconds[start]), film_end, kind)
