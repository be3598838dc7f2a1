from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vidattn import backbones
from vidattn.errors import ArgumentError

# One name for each arrangement of strides: x3d_s and x3d_m differ from x3d_xs in the head only.
# EfficientNet-Lite0 pads behind only, and so takes no thin clips: see test_framewise.py.
ARRANGEMENTS = [
    name
    for name in backbones.names()
    if name not in ("slim", "x3d_s", "x3d_m", "tsm_r50", "efficientnet_lite0")
    and not name.startswith(("mvit_", "swin3d_", "videomae_"))
]


class MeanPool(nn.Module):
    """Average pooling that takes any size: padded first, as average pooling itself refuses to."""

    def __init__(self, kernel, stride, padding):
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def forward(self, x):
        t, h, w = (self.padding,) * 3 if isinstance(self.padding, int) else self.padding
        return F.avg_pool3d(F.pad(x, (w, w, h, h, t, t)), self.kernel, self.stride)


def linearise(backbone: nn.Module) -> nn.Module:
    """Make every output a positive mean of its receptive field, so that nothing cancels.

    Equal positive kernels; norms that change nothing; average for maximum pooling (a maximum
    has the gradient of one element only); no squeeze-excitation, which sees everything.
    """
    for module in list(backbone.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.MaxPool3d):
                pool = MeanPool(child.kernel_size, child.stride, child.padding)
                setattr(module, name, pool)
            elif type(child).__name__ == "FramewiseMaxPool":
                setattr(module, name, MeanPool((1, 3, 3), (1, 2, 2), (0, 1, 1)))
            elif type(child).__name__ in ("SiLU", "SqueezeExcitation"):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.Conv2d | nn.Conv3d):
                nn.init.constant_(child.weight, 1 / child.weight[0].numel())
            elif isinstance(child, nn.BatchNorm2d | nn.BatchNorm3d):
                child.reset_running_stats()
                nn.init.ones_(child.weight)
                nn.init.zeros_(child.bias)
    return backbone.double().eval()


def field_centres(backbone, axis: int, length: int) -> dict[str, tuple[float, float]]:
    """Stage -> the declared and the measured centre of a middle feature's field along one axis.

    The other axes are as short as the network allows: it is a long thin clip.
    """
    sizes = [8, 32, 32] if isinstance(backbone, backbones.S3D) else [8, 1, 1]
    sizes[axis] = length
    clip = torch.rand(1, 3, *sizes, dtype=torch.float64, requires_grad=True)
    features = backbone.features(clip)
    centres = {}
    for stage in backbone.stages:
        output = features[stage.name].movedim(2 + axis, 0)
        index = len(output) // 2
        (gradient,) = torch.autograd.grad(output[index].sum(), clip, retain_graph=True)
        reached = gradient.movedim(2 + axis, 0).flatten(1).abs().sum(1).nonzero().flatten()
        first, last = int(reached[0]), int(reached[-1])
        assert first > 0, f"{stage.name}: the field reaches the border"
        assert last < length - 1, f"{stage.name}: the field reaches the border"
        declared = stage.offset[axis] + stage.stride[axis] * index
        centres[stage.name] = (declared, (first + last) / 2)
    return centres


def check_fields(backbone, axes=(0, 1)):
    s3d = isinstance(backbone, backbones.S3D)
    lengths = (224, 448) if s3d else (352, 1184)
    linearise(backbone)
    for axis in axes:
        for stage, (declared, measured) in field_centres(backbone, axis, lengths[axis]).items():
            assert declared == measured, f"{stage}, axis {axis}"
    for stage in backbone.stages:  # the sources treat height and width alike
        assert stage.stride[1] == stage.stride[2]
        assert stage.offset[1] == stage.offset[2]


QUICK = ("r3d_18", "x3d_xs", "resnet18_2d")


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in ARRANGEMENTS],
)
def test_receptive_fields_are_centred_where_declared(name):
    check_fields(backbones.build(name))


@pytest.mark.parametrize(
    ("name", "possible"),
    [
        ("r3d_18", {2: 2, 4: 4}),
        pytest.param("r2plus1d_18", {2: 2}, marks=pytest.mark.slow),
        pytest.param("s3d", {1: 1, 2: 2, 4: 4}, marks=pytest.mark.slow),
        pytest.param("i3d_r50", {1: 1}, marks=pytest.mark.slow),
        pytest.param("r2plus1d_r50", {2: 2}, marks=pytest.mark.slow),
        pytest.param("csn_r101", {2: 2}, marks=pytest.mark.slow),
    ],
)
def test_temporal_stride_keeps_weights_and_centres(name, possible):
    original = backbones.build(name, classes=5)
    for stride in possible:
        backbone = backbones.build(name, classes=5, temporal_stride=stride).eval()
        backbone.network.load_state_dict(original.network.state_dict())  # strict
        assert backbone.stages[-1].stride == (stride, *original.stages[-1].stride[1:])
        with torch.inference_mode():
            clip = torch.rand(1, 3, 16, 32, 32)
            assert backbone(clip).shape[2] == 16 // stride
            assert backbone.logits(clip).shape == (1, 5)
        if stride < 4:
            check_fields(backbone, axes=(0,))


def test_temporal_stride_goes_from_the_deepest_stage():
    strides = [s.stride[0] for s in backbones.build("r3d_18", temporal_stride=2).stages]
    assert strides == [1, 1, 2, 2, 2]


@pytest.mark.parametrize(("name", "stride"), [("r3d_18", 3), ("r3d_18", 16), ("slow_r50", 2)])
def test_impossible_temporal_strides_are_refused(name, stride):
    with pytest.raises(ArgumentError, match=r"temporal_stride: expected one of \[1"):
        backbones.build(name, temporal_stride=stride)


def test_a_user_adds_a_backbone_in_a_few_lines():
    class Tiny(backbones.StagedNetwork):
        mean = std = (0.5, 0.5, 0.5)

        def __init__(self, *, classes=None):
            network = nn.Sequential(
                nn.Conv3d(3, 4, 3, 2, 1), nn.Conv3d(4, 8, 3, 2, 1), nn.Linear(8, 2)
            )
            super().__init__(
                network,
                steps=[
                    backbones.Step("first", 4, (2, 2, 2), ("0",)),
                    backbones.Step("second", 8, (2, 2, 2), ("1",)),
                ],
                variant="tiny",
                classes=classes,
                head_path="2",
                classifier_path="2",
            )

        def _classify(self, x):
            return self.network[2](x.mean((2, 3, 4)))

    tiny = Tiny(classes=2)
    assert tiny(torch.rand(1, 3, 8, 8, 8)).shape == (1, 8, 2, 2, 2)
    assert tiny.logits(torch.rand(1, 3, 8, 8, 8)).shape == (1, 2)
    assert tiny.stages[-1].stride == (4, 4, 4)
    assert len(Tiny().network) == 2
