from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vidattn.backbones.pytorchvideo_networks import (
    AverageProbabilities,
    HeadPooling,
    check_pooling,
    create,
)
from vidattn.backbones.staged import (
    StagedNetwork,
    Step,
    WindowAverage,
    at_positions,
    average_pool,
    check_classes,
)
from vidattn.errors import ArgumentError

ALPHA = 4


class SlowFast(StagedNetwork):
    """pytorchvideo's slowfast_r50: T frames in, of which the slow pathway sees every fourth.

    A stage's features are both pathways in one tensor with the slow one's T' = T / 4: first the
    slow channels (up to layer3 with what the fast pathway has passed on), then the fast ones,
    averaged over five frames around each slow frame, so that both are centred on frame 4·t.
    What is inserted at a stage changes both pathways of the next one; the identity changes
    nothing.
    Source: Feichtenhofer et al., ICCV 2019.

    Args:
        variant: "slowfast_r50".
        classes: size of the source's head; None for no head. The head takes up to 32 frames.
        slow_frames: "strided" takes frames 0, 4, 8, …, on which the stages' strides are exact;
            "spread" takes them evenly from the first to the last frame, as in the source's
            evaluation: of 32 frames 0, 4, 8, 13, … 31, up to three later than the strides say.
        head_pooling: see `VideoBlocks`; None is pytorchvideo's own, logits.
        fusion_norm: a norm and a rectifier behind each convolution from the fast pathway to the
            slow one; MMAction2 has neither.
    """

    mean = (0.45, 0.45, 0.45)
    std = (0.225, 0.225, 0.225)

    def __init__(
        self,
        variant: str = "slowfast_r50",
        *,
        classes: int | None = None,
        slow_frames: Literal["strided", "spread"] = "strided",
        head_pooling: HeadPooling | None = None,
        fusion_norm: bool = True,
    ) -> None:
        if slow_frames not in ("strided", "spread"):
            raise ArgumentError(f'slow_frames: expected "strided" or "spread", got {slow_frames!r}')
        settings = {"model_depth": 50, "slowfast_fusion_conv_kernel_size": (7, 1, 1)}
        network = create("slowfast.create_slowfast", settings, check_classes(classes))
        if not fusion_norm:
            for block in network.blocks[:4]:
                block.multipathway_fusion.norm = block.multipathway_fusion.activation = None
        super().__init__(
            network,
            steps=_steps(),
            variant=variant,
            classes=classes,
            head_path="blocks.6",
            classifier_path="blocks.6.proj",
        )
        self.slow_frames = slow_frames
        whole = check_pooling(head_pooling) == "whole"
        network.blocks[5].pool = nn.ModuleList(
            nn.AdaptiveAvgPool3d(1) if whole else WindowAverage((frames, 7, 7))
            for frames in (32 // ALPHA, 32)
        )
        if head_pooling == "probabilities" and classes is not None:
            network.blocks[6].output_pool = AverageProbabilities()
        self.joins = nn.ModuleDict({stage.name: JoinPathways() for stage in self.stages})
        self.stages = tuple(replace(s, module=f"joins.{s.name}") for s in self.stages)

    def _enter(self, clip: Tensor) -> list[Tensor]:
        frames = clip.shape[2]
        if frames % ALPHA or frames < 2 * ALPHA:
            raise ArgumentError(f"clip: expected 8, 12, 16, … frames, got {frames}")
        if self.slow_frames == "strided":
            return [clip[:, :, ::ALPHA], clip]
        spread = torch.linspace(0, frames - 1, frames // ALPHA).long()
        return [clip.index_select(2, spread.to(clip.device)), clip]

    def _run(self, step: Step, x: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        slow, fast = self.network.get_submodule(step.modules[0])(list(x))
        joined = self.joins[step.name]([slow, fast])
        return _part(joined, slow, fast), joined

    def _classify(self, x: Any) -> Tensor:
        slow, fast = x
        if fast.shape[2] > 32:
            raise ArgumentError(f"logits: expected up to 32 frames, got {fast.shape[2]}")
        return self.network.blocks[6](self.network.blocks[5]([slow, fast]))

    def position_logits(self, features: Tensor) -> Tensor:
        """See `Backbone.position_logits`; nearly so, as neighbours share fast frames."""
        return at_positions(self.network.get_submodule(self.classifier_path), features)


class JoinPathways(nn.Module):
    """[slow (N, C, T', H, W), fast (N, D, 4·T', H, W)] -> (N, C + D, T', H, W)."""

    def forward(self, pathways: list[Tensor]) -> Tensor:
        """Average the fast pathway around each slow frame; append its channels."""
        slow, fast = pathways
        return torch.cat([slow, _slowed(fast)], 1)


def _slowed(fast: Tensor) -> Tensor:
    # An odd window: four frames would be centred half a frame off the slow one.
    return average_pool(
        fast, (5, 1, 1), stride=(ALPHA, 1, 1), padding=(2, 0, 0), count_include_pad=False
    )


def _part(joined: Tensor, slow: Tensor, fast: Tensor) -> list[Tensor]:
    """The pathways after a change of `joined`; each fast frame takes its slow frame's change."""
    changed_slow, changed_fast = joined.split([slow.shape[1], fast.shape[1]], 1)
    frames = torch.arange(fast.shape[2], device=fast.device)
    nearest = ((frames + ALPHA // 2) // ALPHA).clamp(max=slow.shape[2] - 1)
    change = changed_fast - _slowed(fast)
    return [changed_slow, fast + change.index_select(2, nearest)]


def _steps() -> list[Step]:
    slow, fast = (64, 256, 512, 1024, 2048), (8, 32, 64, 128, 256)
    steps = []
    for number, (wide, narrow) in enumerate(zip(slow, fast, strict=True)):
        passed_on = 2 * narrow if number < 4 else 0
        stride = (1, 2, 2) if number > 1 else (1, 1, 1) if number else (ALPHA, 4, 4)
        name = f"layer{number}" if number else "stem"
        steps.append(Step(name, wide + passed_on + narrow, stride, (f"blocks.{number}",)))
    return steps
