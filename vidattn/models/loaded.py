from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from vidattn.data import ClipSpec
from vidattn.models.recogniser import Recogniser

# What a checkpoint calls a model of this kind.
RECOGNISER = "recogniser"
# How many classes are named in a line, and in a notebook.
_SHOWN_CLASSES = 3
_LISTED_CLASSES = 20


@dataclass(frozen=True, repr=False)
class LoadedRecogniser:
    """A recogniser with all that is needed to use it.

    `vidattn.load` gives one that predicts, too; its length is the number of classes.

    Attributes:
        recogniser: in evaluation mode.
        clip: how clips are made for it.
        path: the file it came from.
        digest: SHA-256 of that file, hexadecimal.
    """

    recogniser: Recogniser
    clip: ClipSpec
    path: str
    digest: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the logits."""
        return self.recogniser.spec.classes

    @property
    def multi_label(self) -> bool:
        """Whether several classes may hold at once."""
        return self.recogniser.spec.multi_label

    def __len__(self) -> int:
        return len(self.classes)

    def __repr__(self) -> str:
        spec, clip = self.recogniser.spec, self.clip
        return (
            f"<{type(self).__name__} {spec.backbone}, "
            f"{len(self)} classes ({_some(self.classes, _SHOWN_CLASSES)}), "
            f"clips of {clip.frames} × {clip.crop_size} × {clip.crop_size}, from {self.path}>"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: what it is, its classes and its clips."""
        left = "style='text-align:left'"
        cells = "".join(
            f"<tr><th {left}>{name}</th><td {left}>{escape(words)}</td></tr>"
            for name, words in self._facts()
        )
        return f"<table>{cells}</table>"

    def _facts(self) -> list[tuple[str, str]]:
        spec, clip = self.recogniser.spec, self.clip
        inserted = [f"{each.mechanism} after {each.stage}" for each in spec.attention]
        pace = f" at {clip.frames_per_second:g} frames a second" if clip.frames_per_second else ""
        spacing = (
            f"in steps of {clip.frame_stride}{pace}"
            if clip.sampling == "dense"
            else f"spread over the whole video ({clip.sampling})"
        )
        several = ", several at once" if self.multi_label else ""
        return [
            ("kind", RECOGNISER),
            ("file", self.path),
            ("network", f"{spec.backbone}, {spec.pooling} pooling"),
            ("attention", ", ".join(inserted) or "none inserted"),
            (f"{len(self)} classes{several}", _some(self.classes, _LISTED_CLASSES)),
            (
                "clip",
                f"{clip.frames} frames, {spacing}; {clip.crop_size} × {clip.crop_size} pixels",
            ),
        ]


def _some(names: Sequence[str], count: int) -> str:
    return ", ".join([*names[:count], *(["…"] if len(names) > count else [])])
