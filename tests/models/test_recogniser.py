from __future__ import annotations

import copy

import pytest
import torch

from vidattn.errors import ArgumentError, UnknownNameError
from vidattn.models import InsertionSpec, Recogniser, RecogniserSpec
from vidattn.models.pooling import POOLINGS

SLIM = {"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 2]}


def build(**settings: object) -> Recogniser:
    spec = RecogniserSpec(
        **{"classes": ("a", "b", "c"), "backbone_settings": SLIM, **settings}  # type: ignore[arg-type]
    )
    return Recogniser(spec).eval()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_shapes_and_sums(pooling: str) -> None:
    torch.manual_seed(0)
    out = build(pooling=pooling)(torch.randn(2, 3, 8, 20, 28))
    assert out.logits.shape == (2, 3)
    assert out.frame_scores.shape == out.frame_weights.shape == (2, 4)
    assert out.region_weights.shape == (2, 4, 5, 7)
    torch.testing.assert_close(out.frame_weights.sum(1), torch.ones(2))
    torch.testing.assert_close(out.region_weights.sum((2, 3)), torch.ones(2, 4))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_gets_no_weight(pooling: str) -> None:
    valid = torch.tensor([[True] * 4 + [False] * 4, [True] * 8])
    out = build(pooling=pooling)(torch.randn(2, 3, 8, 16, 16), valid)
    assert (out.frame_weights[0, 2:] == 0).all()
    assert (out.frame_weights[1] > 0).all()
    torch.testing.assert_close(out.frame_weights.sum(1), torch.ones(2))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_logits_are_the_weighted_mean_of_features_through_the_head(pooling: str) -> None:
    torch.manual_seed(1)
    network = build(pooling=pooling).double()
    clip = torch.randn(2, 3, 8, 16, 16, dtype=torch.float64)
    out = network(clip)
    features = network.backbone(clip)
    if pooling == "joint":  # the reference: one softmax, written out
        score = network.pooling.positions.score
        x = features.movedim(1, -1)
        hidden = torch.tanh(x @ score.hidden.weight.T + score.hidden.bias)
        hidden = hidden * torch.sigmoid(x @ score.gate.weight.T + score.gate.bias)
        weights = (hidden @ score.score.weight[0]).flatten(1).softmax(1).view(2, 4, 4, 4)
        torch.testing.assert_close(
            out.frame_weights[..., None, None] * out.region_weights, weights, atol=1e-12, rtol=0
        )
    joint = out.frame_weights[..., None, None] * out.region_weights
    pooled = torch.einsum("ncthw,nthw->nc", features, joint.double())
    expected = pooled @ network.head.weight.T + network.head.bias
    tolerance = 1e-6 if pooling in ("average", "temporal") else 1e-12  # float32 uniform weights
    torch.testing.assert_close(out.logits, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_logits_are_the_weighted_mean_of_those_of_positions(pooling: str) -> None:
    torch.manual_seed(3)
    network = build(pooling=pooling)
    valid = torch.tensor([[True] * 8, [True] * 4 + [False] * 4])
    clip = torch.randn(2, 3, 8, 16, 16)
    assert network(clip, valid).position_logits is None
    out = network(clip, valid, position_logits=True)
    assert (out.position_logits[1, :, 2:] == torch.finfo(torch.float32).min).all()
    joint = out.frame_weights[..., None, None] * out.region_weights
    mean = (out.position_logits.double() * joint.double().unsqueeze(1)).sum((2, 3, 4))
    torch.testing.assert_close(out.logits, mean.float(), atol=1e-5, rtol=0)


def test_inserted_attention_starts_as_the_identity_and_then_learns() -> None:
    torch.manual_seed(2)
    plain = build()
    insertions = (
        InsertionSpec("squeeze_excitation", "stem"),
        InsertionSpec("self_attention", "layer1", scope="time", settings={"heads": 2}),
    )
    changed = build(attention=insertions)
    missing = changed.load_state_dict(plain.state_dict(), strict=False)
    assert not missing.unexpected_keys
    clip = torch.randn(1, 3, 8, 16, 16)
    torch.testing.assert_close(changed(clip).logits, plain(clip).logits, atol=1e-6, rtol=0)
    changed(clip).logits.square().sum().backward()
    for module in changed.inserted:
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        assert any(gradient.abs().sum() > 0 for gradient in gradients)
    copy.deepcopy(changed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "jiont"}, "joint"),
        ({"stage": "layer9"}, "layer1"),
        ({"backbone": "slimm"}, "slim"),
        ({"attention": (InsertionSpec("squeeze_excitatoin", "stem"),)}, "squeeze_excitation"),
    ],
)
def test_unknown_names_answer_with_close_matches(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        build(**settings)


def test_a_foreign_class_must_be_allowed() -> None:
    spec = RecogniserSpec(classes=("a",), backbone="os.path.join")
    with pytest.raises(ArgumentError, match="must be allowed by name"):
        Recogniser(spec)
    with pytest.raises((ArgumentError, TypeError)):
        Recogniser(spec, allow=["os.path.join"])


def test_spec_survives_json_and_refuses_unknown_keys() -> None:
    spec = RecogniserSpec(
        classes=("a", "b"), attention=(InsertionSpec("cbam", "stem", scope="frame"),), dropout=0.5
    )
    assert RecogniserSpec.from_json(spec.to_json()) == spec
    with pytest.raises(ArgumentError, match="colour"):
        RecogniserSpec.from_json({**spec.to_json(), "colour": 1})


@pytest.mark.parametrize("values", [{"classes": ()}, {"classes": ("a", "a")}, {"dropout": 1.0}])
def test_spec_refuses_what_makes_no_sense(values: dict[str, object]) -> None:
    with pytest.raises(ArgumentError):
        RecogniserSpec(**{"classes": ("a",), **values})  # type: ignore[arg-type]


def test_unknown_settings_of_poolings_are_named() -> None:
    settings = {"hidden_channels": 8}
    spec = RecogniserSpec(classes=("a", "b"), pooling="average", pooling_settings=settings)
    with pytest.raises(ArgumentError, match=r"average pooling has none.*hidden_channels"):
        Recogniser(spec)
    spec = RecogniserSpec(classes=("a", "b"), pooling_settings={"hidden": 8})
    with pytest.raises(ArgumentError, match="did you mean hidden_channels"):
        Recogniser(spec)


@pytest.mark.parametrize(
    ("backbone", "attention", "alone"),
    [
        ("resnet18_2d", (), True),
        ("efficientnet_lite0", (), True),
        ("resnet18_2d", (InsertionSpec("squeeze_excitation", "layer1", scope="frame"),), True),
        ("resnet18_2d", (InsertionSpec("squeeze_excitation", "layer1", scope="clip"),), False),
        ("tsm_r50", (), False),
        ("slim", (), False),
    ],
)
def test_per_frame_networks_are_those_where_other_frames_change_nothing(
    backbone: str, attention: tuple[InsertionSpec, ...], alone: bool
) -> None:
    spec = RecogniserSpec(classes=("a", "b"), backbone=backbone, attention=attention)
    network = Recogniser(spec).eval()
    for added in network.inserted:  # it starts as the identity; 0.5 lets it work
        for name, parameter in added.named_parameters():
            if parameter.numel() == 1 or name.endswith("gamma"):
                torch.nn.init.constant_(parameter, 0.5)
    clip = torch.rand(1, 3, 4, 32, 32)
    other = clip.clone()
    other[:, :, 0] = 1 - other[:, :, 0]
    with torch.inference_mode():
        change = (network.backbone(clip) - network.backbone(other)).abs().amax((0, 1, 3, 4))
    assert change[0] > 0
    assert bool((change[1:] == 0).all()) == alone == network.per_frame
