from __future__ import annotations

from vidattn.sampling.evaluation_protocol import Protocol
from vidattn.sampling.views import pyslowfast_views

PRESETS = (
    Protocol(
        name="pyslowfast-10x3",
        summary=(
            "10 clips × 3 crops; a clip spans frames · stride frames at 30 fps; clip i starts at "
            "room · i / 10 and so never reaches the end; softmax averaged"
        ),
        source="PySlowFast: datasets/decoder.py, datasets/kinetics.py, configs/Kinetics",
        frames=None,
        stride=None,
        target_fps=30,
        views=10,
        crops=3,
        short_side=256,
        crop_size=256,
        aggregation="probabilities",
        sampler=pyslowfast_views,
        cropping="pyslowfast-3",
    ),
)
