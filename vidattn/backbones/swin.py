from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from vidattn.backbones.staged import StagedNetwork, Step, check_classes
from vidattn.backbones.token_grid import ChannelsFirst

WIDTHS = {"swin3d_t": 96, "swin3d_s": 96, "swin3d_b": 128}


class Swin3D(StagedNetwork):
    """torchvision's swin3d_t, swin3d_s and swin3d_b.

    Stages: stem, layer1 … layer4. Patches are 2×4×4 and do not overlap, merging takes 2×2 of
    them: features are centred between frames, on 0.5 + 2·t, and between pixels, on 1.5 + 4·i
    and so on. Attention reaches further, in windows of 8×7×7.
    Source: Liu et al., CVPR 2022 (Video Swin Transformer).

    Args:
        variant: see above.
        classes: size of the source's head; None for no head.
    """

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(self, variant: str, *, classes: int | None = None) -> None:
        from torchvision.models import video

        network = getattr(video, variant)(num_classes=check_classes(classes) or 1)
        width = WIDTHS[variant]
        steps = [
            Step("stem", width, (2, 4, 4), ("patch_embed", "pos_drop"), (0.5, 1.5, 1.5)),
            Step("layer1", width, (1, 1, 1), ("features.0",)),
        ]
        for number in (1, 2, 3):
            paths = (f"features.{2 * number - 1}", f"features.{2 * number}")
            step = Step(f"layer{number + 1}", width << number, (1, 2, 2), paths, (0.0, 0.5, 0.5))
            steps.append(step)
        super().__init__(
            network,
            steps=steps,
            variant=variant,
            classes=classes,
            head_path="head",
            classifier_path="head",
        )
        self.grids = nn.ModuleDict({stage.name: ChannelsFirst() for stage in self.stages})
        self.stages = tuple(replace(s, module=f"grids.{s.name}") for s in self.stages)

    def _run(self, step: Step, x: Any) -> tuple[Any, Tensor]:
        for path in step.modules:
            x = self.network.get_submodule(path)(x)
        grid = self.grids[step.name](x)
        return grid.movedim(1, -1), grid

    def _classify(self, x: Tensor) -> Tensor:
        return self.network.head(self.network.norm(x).mean((1, 2, 3)))

    def position_logits(self, features: Tensor) -> Tensor:
        """See `Backbone.position_logits`."""
        shares: Tensor = self.network.head(self.network.norm(features.movedim(1, -1)))
        return shares.movedim(-1, 1)
