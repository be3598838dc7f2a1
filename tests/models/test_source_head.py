from __future__ import annotations

import pytest
import torch

from vidattn import backbones
from vidattn.data import ClipSpec
from vidattn.errors import ArgumentError
from vidattn.models import Recogniser, RecogniserSpec, load, save

SLIM = {"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 2]}


def build(backbone: str = "slim", **settings: object) -> Recogniser:
    torch.manual_seed(0)
    spec = RecogniserSpec(("a", "b", "c"), backbone, settings, pooling="source")
    return Recogniser(spec).eval()


def test_logits_are_the_source_networks_own() -> None:
    from torchvision.models.video import r3d_18

    recogniser = build("r3d_18")
    source = r3d_18(num_classes=3).eval()
    recogniser.backbone.source_network.load_state_dict(source.state_dict())
    clip = torch.randn(2, 3, 8, 48, 48)
    with torch.inference_mode():
        torch.testing.assert_close(recogniser(clip).logits, source(clip))


def test_frame_scores_add_up_to_the_strongest_logit() -> None:
    recogniser = build(**SLIM).double()
    clip = torch.randn(4, 3, 8, 20, 28, dtype=torch.float64)
    out = recogniser(clip, position_logits=True)
    torch.testing.assert_close(out.frame_scores.mean(1), out.logits.max(1).values)
    torch.testing.assert_close(out.position_logits.mean((2, 3, 4)), out.logits)
    torch.testing.assert_close(out.frame_weights, out.frame_scores.softmax(1).float())
    torch.testing.assert_close(out.region_weights.sum((2, 3)), torch.ones(4, 4))
    strongest = out.logits.argmax(1)
    for number, name in enumerate(strongest.tolist()):  # the map's peak is the class's own
        share = out.position_logits[number, name]
        assert int(out.region_weights[number, 0].argmax()) == int(share[0].argmax())


def test_padding_has_no_weight_but_the_head_sees_it_as_its_source_does() -> None:
    recogniser = build(**SLIM)
    clip = torch.randn(1, 3, 8, 16, 16)
    valid = torch.tensor([[True] * 4 + [False] * 4])
    out = recogniser(clip, valid)
    assert (out.frame_weights[0, 2:] == 0).all()
    torch.testing.assert_close(out.frame_weights.sum(1), torch.ones(1))
    torch.testing.assert_close(out.logits, recogniser(clip).logits)


def test_a_head_that_is_no_mean_says_so_by_equal_weights() -> None:
    recogniser = build("x3d_xs")
    clip = torch.randn(1, 3, 4, 64, 64)
    out = recogniser(clip)
    assert (out.frame_scores == 0).all()
    torch.testing.assert_close(out.frame_weights, torch.full((1, 4), 0.25))
    torch.testing.assert_close(out.region_weights, torch.full((1, 4, 2, 2), 0.25))
    with pytest.raises(ArgumentError, match="x3d_xs has none"):
        recogniser(clip, position_logits=True)


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"dropout": 0.5}, "dropout"), ({"stage": "layer1"}, "stage"),
     ({"pooling_settings": {"gated": True}}, "pooling_settings"),
     ({"backbone_settings": {"classes": 3}}, "backbone_settings")],
)  # fmt: skip
def test_what_the_source_head_has_itself_is_refused(
    settings: dict[str, object], named: str
) -> None:
    with pytest.raises(ArgumentError, match=f"^{named}"):
        RecogniserSpec(("a", "b"), pooling="source", **settings)  # type: ignore[arg-type]


def test_a_checkpoint_keeps_the_source_head(tmp_path) -> None:
    recogniser = build(**SLIM)
    save(tmp_path / "model.ckpt", recogniser, ClipSpec())
    found = load(tmp_path / "model.ckpt").recogniser
    assert found.spec == recogniser.spec
    clip = torch.randn(1, 3, 8, 16, 16)
    assert torch.equal(found(clip).logits, recogniser(clip).logits)


@pytest.mark.parametrize("name", ["r3d_18", "resnet18_2d", "slow_r50"])
def test_shares_of_positions_average_to_the_logits(name: str) -> None:
    torch.manual_seed(0)
    backbone = backbones.build(name, classes=4).double().eval()
    with torch.inference_mode():
        logits, features = backbone.classify(torch.randn(2, 3, 8, 64, 64, dtype=torch.float64))
        shares = backbone.position_logits(features)
    assert shares is not None
    torch.testing.assert_close(shares.mean((2, 3, 4)), logits)
