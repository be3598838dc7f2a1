"""The tasks that `vidattn score` knows: name -> module with a `TASK`."""

from __future__ import annotations

TASKS: dict[str, str] = {
    "boxes": "vidattn.evaluation.tasks.boxes",
    "detection": "vidattn.evaluation.tasks.detection",
    "frame_labels": "vidattn.evaluation.tasks.frame_labels",
    "keyframes": "vidattn.evaluation.tasks.keyframes",
    "localisation": "vidattn.evaluation.tasks.localisation",
    "proposals": "vidattn.evaluation.tasks.proposals",
    "recognition": "vidattn.evaluation.tasks.recognition",
    "regions": "vidattn.evaluation.tasks.regions",
    "shots": "vidattn.evaluation.tasks.shots",
    "summaries": "vidattn.evaluation.tasks.summaries",
    "untrimmed": "vidattn.evaluation.tasks.untrimmed",
}

# Names of earlier versions -> what these tasks are called now.
RENAMED: dict[str, str] = {"segmentation": "frame_labels"}
