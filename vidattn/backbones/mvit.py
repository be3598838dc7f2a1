from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.backbones.staged import StagedNetwork, Step, check_classes
from vidattn.backbones.token_grid import TokenGrid, to_tokens


class MViT(StagedNetwork):
    """torchvision's mvit_v1_b and mvit_v2_s.

    Stages: stem, then one for each resolution of the queries, layer1 … layer4, the class token
    left out. Attention reaches everywhere; along the shortcuts, whose kernels are odd and padded
    by half their size, features are centred on multiples of their stride. The head reads the
    class token. Positions were learned on 16 frames of 224×224; for clips of other sizes, which
    pass too, they are interpolated.
    Source: Fan et al., ICCV 2021; Li et al., CVPR 2022.

    Args:
        variant: "mvit_v1_b" or "mvit_v2_s".
        classes: size of the source's head; None for no head.
    """

    mean = (0.45, 0.45, 0.45)
    std = (0.225, 0.225, 0.225)

    def __init__(self, variant: str, *, classes: int | None = None) -> None:
        from torchvision.models import video

        network = getattr(video, variant)(num_classes=check_classes(classes) or 1)
        super().__init__(
            network,
            steps=_steps(network),
            variant=variant,
            classes=classes,
            head_path="head",
            classifier_path="head.1",
        )
        self.grids = nn.ModuleDict({stage.name: TokenGrid() for stage in self.stages})
        self.stages = tuple(replace(s, module=f"grids.{s.name}") for s in self.stages)

    def _run(self, step: Step, x: Any) -> tuple[Any, Tensor]:
        if step.name == "stem":
            tokens, sizes = self._embed(x)
        else:
            tokens, sizes = x
            for path in step.modules:
                tokens, sizes = self.network.get_submodule(path)(tokens, sizes)
        grid = self.grids[step.name](tokens[:, 1:], sizes)
        return (torch.cat([tokens[:, :1], to_tokens(grid)], 1), sizes), grid

    def _embed(self, clip: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Tokens with the class token first, and their (T', H', W')."""
        x = self.network.conv_proj(clip)
        sizes = tuple(x.shape[2:])
        own = self.network.pos_encoding
        token = own.class_token.expand(x.shape[0], 1, -1)
        tokens = torch.cat([token, to_tokens(x)], 1)
        if own.spatial_pos is not None:
            tokens = tokens + self._positions(sizes)
        return tokens, sizes

    def _positions(self, sizes: tuple[int, ...]) -> Tensor:
        """What mvit_v1_b adds to the class token and to each position, (1 + T'·H'·W', C)."""
        own = self.network.pos_encoding
        learned = (own.temporal_size, *own.spatial_size)
        places = own.temporal_pos.unsqueeze(1) + own.spatial_pos  # (T', H'·W', C)
        if sizes != learned:
            grid = places.view(*learned, -1).movedim(-1, 0).unsqueeze(0)
            places = F.interpolate(grid, sizes, mode="trilinear")[0].movedim(0, -1)
        return torch.cat([own.class_pos.unsqueeze(0), places.reshape(-1, places.shape[-1])])

    def _classify(self, x: Any) -> Tensor:
        tokens, _ = x
        return self.network.head(self.network.norm(tokens)[:, 0])


def _steps(network: Any) -> list[Step]:
    """A stage begins where the queries, and with them the shortcut, are pooled."""
    starts = [number for number, block in enumerate(network.blocks) if block.pool_skip is not None]
    ends = [*starts, len(network.blocks)]
    steps = [Step("stem", network.conv_proj.out_channels, (2, 4, 4), ("conv_proj",))]
    for number, (start, end) in enumerate(zip([0, *starts], ends, strict=True)):
        width = network.blocks[end - 1].mlp[3].out_features
        stride = 2 if number else 1
        paths = tuple(f"blocks.{block}" for block in range(start, end))
        steps.append(Step(f"layer{number + 1}", width, (1, stride, stride), paths))
    return steps
