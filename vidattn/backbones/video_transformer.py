from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.backbones.staged import StagedNetwork, Step, at_positions, check_classes
from vidattn.backbones.token_grid import TokenGrid, to_tokens
from vidattn.errors import ArgumentError

TUBELET = (2, 16, 16)


class Shape(NamedTuple):
    """Width, number of blocks and attention heads of a transformer."""

    width: int
    depth: int
    heads: int


SHAPES = {
    "videomae_s": Shape(384, 12, 6),
    "videomae_b": Shape(768, 12, 12),
    "videomae_l": Shape(1024, 24, 16),
    "videomae_h": Shape(1280, 32, 16),
}


class TokenAttention(nn.Module):
    """Softmax attention among tokens, by heads. A bias of the keys would cancel in the softmax.

    Source: Vaswani et al., NeurIPS 2017, section 3.2.
    """

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.joint = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, C) -> (N, L, C)."""
        joint = self.joint(x).unflatten(2, (3, self.heads, -1))
        query, key, value = joint.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        found: Tensor = self.project(mixed.transpose(1, 2).flatten(2))
        return found


class TransformerBlock(nn.Module):
    """Attention, then a perceptron for each token; norms first. (N, L, C) -> (N, L, C)."""

    def __init__(self, width: int, *, heads: int, epsilon: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=epsilon)
        self.attention = TokenAttention(width, heads=heads)
        self.norm2 = nn.LayerNorm(width, eps=epsilon)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = x + self.attention(self.norm1(x))
        mapped: Tensor = self.perceptron(self.norm2(x))
        return x + mapped


class VideoTransformer(StagedNetwork):
    """The vision transformer on tubelets of 2×16×16 that VideoMAE fine-tunes.

    Fixed sines and cosines tell tokens their place; the logits come from the mean of all tokens,
    normalised. Stages: stem, then the blocks in four equal parts, layer1 … layer4, all on the
    grid of tubelets: centred on frame 0.5 + 2·t and pixel 7.5 + 16·i.
    Source: Tong et al., NeurIPS 2022 (VideoMAE); Dosovitskiy et al., ICLR 2021.

    Args:
        variant: one of `SHAPES`.
        classes: size of the head; None for no head.
        frames, size: T and H = W of the clips that it was trained on, which fix the positions.
            Other clips pass too: positions are interpolated.
        norm_epsilons: of the norms in the blocks, and of the one before the head. Hugging Face's
            network has 1e-12 and 1e-5.
    """

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(
        self,
        variant: str,
        *,
        classes: int | None = None,
        frames: int = 16,
        size: int = 224,
        norm_epsilons: Sequence[float] = (1e-6, 1e-6),
    ) -> None:
        width, depth, heads = SHAPES[variant]
        inside, last = norm_epsilons
        network = nn.Module()
        network.embedding = nn.Conv3d(3, width, TUBELET, stride=TUBELET)
        network.blocks = nn.ModuleList(
            TransformerBlock(width, heads=heads, epsilon=inside) for _ in range(depth)
        )
        network.norm = nn.LayerNorm(width, eps=last)
        network.head = nn.Linear(width, check_classes(classes) or 1)
        super().__init__(
            network,
            steps=_steps(width, depth),
            variant=variant,
            classes=classes,
            head_path="head",
            classifier_path="head",
        )
        self.grids = nn.ModuleDict({stage.name: TokenGrid() for stage in self.stages})
        self.stages = tuple(replace(s, module=f"grids.{s.name}") for s in self.stages)
        self.sizes = (frames // 2, size // 16, size // 16)
        positions = sine_positions(self.sizes[0] * self.sizes[1] * self.sizes[2], width)
        self.register_buffer("positions", positions, persistent=False)

    def _run(self, step: Step, x: Any) -> tuple[Any, Tensor]:
        if step.name == "stem":
            if any(size < wide for size, wide in zip(x.shape[2:], TUBELET, strict=True)):
                raise ArgumentError(f"clip: expected at least {TUBELET}, got {tuple(x.shape[2:])}")
            embedded = self.network.embedding(x)
            sizes = tuple(embedded.shape[2:])
            tokens = to_tokens(embedded) + self._positions_for(sizes)
        else:
            tokens, sizes = x
            for path in step.modules:
                tokens = self.network.get_submodule(path)(tokens)
        grid = self.grids[step.name](tokens, sizes)
        return (to_tokens(grid), sizes), grid

    def _positions_for(self, sizes: tuple[int, ...]) -> Tensor:
        positions = self.get_buffer("positions")
        if sizes == self.sizes:
            return positions
        grid = positions.view(*self.sizes, -1).movedim(-1, 0).unsqueeze(0)
        return to_tokens(F.interpolate(grid, sizes, mode="trilinear"))[0]

    def _classify(self, x: Any) -> Tensor:
        tokens, _ = x
        return self.network.head(self.network.norm(tokens.mean(1)))

    def position_logits(self, features: Tensor) -> Tensor:
        """See `Backbone.position_logits`: the norm of the mean, at its scale, is a mean itself."""
        norm = self.network.norm
        mean = features.mean((2, 3, 4), keepdim=True)
        scale = (mean.var(1, correction=0, keepdim=True) + norm.eps).rsqrt()
        centred = (features - features.mean(1, keepdim=True)) * scale
        return at_positions(self.network.head, centred * _wide(norm.weight) + _wide(norm.bias))


def sine_positions(count: int, width: int) -> Tensor:
    """(count, width): sines and cosines of a position's number, at falling frequencies.

    Source: Vaswani et al., NeurIPS 2017, section 3.5.
    """
    pairs = torch.arange(width, dtype=torch.float64) // 2
    angles = torch.arange(count, dtype=torch.float64)[:, None] / 10000 ** (2 * pairs / width)
    angles[:, 0::2] = angles[:, 0::2].sin()
    angles[:, 1::2] = angles[:, 1::2].cos()
    return angles.float()


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _steps(width: int, depth: int) -> list[Step]:
    steps = [Step("stem", width, TUBELET, ("embedding",), (0.5, 7.5, 7.5))]
    part = depth // 4
    for number in range(4):
        blocks = tuple(f"blocks.{number * part + block}" for block in range(part))
        steps.append(Step(f"layer{number + 1}", width, (1, 1, 1), blocks))
    return steps
