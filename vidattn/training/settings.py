"""Groups of a training's configuration that are neither the network nor the videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from vidattn.errors import ArgumentError
from vidattn.training.parameters import refuse_out_of_range

Optimiser = Literal["adamw", "sgd"]


@dataclass(frozen=True)
class Optimisation:
    """How the network learns: optimiser, learning rates, losses.

    Args:
        optimiser: "adamw", or "sgd" with Nesterov momentum 0.9.
        learning_rate: the highest, reached after the warm-up.
        weight_decay: of weights; norms and biases do not decay.
        layer_decay: factor on the learning rate for each stage further from the head.
        warmup_fraction: share of all steps in which the learning rate rises linearly; after it,
            the rate falls along a cosine to 0.
        frozen_stages: the backbone's first stages, which keep their weights.
        label_smoothing: of the cross-entropy.
        position_loss: weight of a second loss, on the mean of each class's highest logits over
            single positions; see `strongest_mean`. It teaches features to tell classes apart
            before the attention knows where to look, and so gives it something to find.
        position_share: share of the positions of a clip that this mean is over.

    Raises:
        ArgumentError: a value is out of its range.
    """

    optimiser: Optimiser = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    layer_decay: float = 1.0
    warmup_fraction: float = 0.1
    frozen_stages: Sequence[str] = ()
    label_smoothing: float = 0.0
    position_loss: float = 0.0
    position_share: float = 0.025

    def __post_init__(self) -> None:
        if self.optimiser not in get_args(Optimiser):
            raise ArgumentError(
                f"optimiser: expected one of {get_args(Optimiser)}, got {self.optimiser!r}"
            )
        if not 0 <= self.warmup_fraction < 1:
            raise ArgumentError(f"warmup_fraction: expected [0, 1), got {self.warmup_fraction}")
        if not 0 < self.position_share <= 1:
            raise ArgumentError(f"position_share: expected (0, 1], got {self.position_share}")
        refuse_out_of_range(
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            layer_decay=self.layer_decay,
            position_loss=self.position_loss,
            label_smoothing=self.label_smoothing,
        )


@dataclass(frozen=True)
class Augmentation:
    """How training clips are varied at random; validation clips never are.

    Args:
        flip: mirror half of the clips; turn it off where classes differ by direction.
        crop_scale: smallest and largest share of the area that a random crop keeps.
        crop_ratio: smallest and largest width / height of random crops.
        colour_jitter: strength from 0 to 1; see `TrainTransform`.
        mixup_alpha: of mixup; 0 is off; see `Mixing`.
        cutmix_alpha: of CutMix; 0 is off; see `Mixing`.
    """

    flip: bool = True
    crop_scale: tuple[float, float] = (0.5, 1.0)
    crop_ratio: tuple[float, float] = (0.75, 4 / 3)
    colour_jitter: float = 0.0
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
