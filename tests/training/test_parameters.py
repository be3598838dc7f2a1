from __future__ import annotations

import pytest
import torch

from vidattn.errors import ArgumentError
from vidattn.models import InsertionSpec, Recogniser, RecogniserSpec
from vidattn.training import freeze, parameter_groups
from vidattn.training.parameters import stage_depths


@pytest.fixture
def recogniser() -> Recogniser:
    settings = {"widths": [4, 8, 8], "spatial_strides": [2, 2, 1], "temporal_strides": [1, 1, 1]}
    spec = RecogniserSpec(
        classes=("a", "b"),
        backbone_settings=settings,
        attention=(InsertionSpec("squeeze_excitation", "stem", settings={"reduction": 2}),),
    )
    return Recogniser(spec)


def rates(recogniser: Recogniser, **settings: float) -> dict[str, tuple[float, float]]:
    """Parameter name -> its learning rate and weight decay."""
    groups = parameter_groups(
        recogniser, **{"learning_rate": 1.0, "weight_decay": 0.1, "layer_decay": 0.5, **settings}
    )
    found = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    return {name: found[id(p)] for name, p in recogniser.named_parameters() if id(p) in found}


def test_rates_shrink_with_the_distance_from_the_head(recogniser: Recogniser) -> None:
    found = rates(recogniser)
    assert len(found) == len(list(recogniser.parameters()))
    assert found["head.weight"] == (1.0, 0.1)
    assert found["head.bias"] == (1.0, 0.0)
    assert found["backbone.layer2.first.0.weight"] == (0.5, 0.1)
    assert found["backbone.layer1.first.0.weight"] == (0.25, 0.1)
    assert found["backbone.stem.0.0.weight"] == (0.125, 0.1)
    assert found["backbone.stem.0.1.weight"] == (0.125, 0.0)  # a norm
    inserted = [rate for name, rate in found.items() if ".inserted." in name]
    assert inserted
    assert all(rate == 1.0 for rate, _ in inserted)


def test_frozen_stages_do_not_change_and_the_rest_does(recogniser: Recogniser) -> None:
    norms = freeze(recogniser, ["stem", "layer1"])
    assert len(norms) == 2 + 4 + 1  # two a factorised convolution, one in the shortcut
    before = {name: value.clone() for name, value in recogniser.state_dict().items()}
    optimizer = torch.optim.SGD(
        parameter_groups(recogniser, learning_rate=0.1, weight_decay=0.0, layer_decay=1.0)
    )
    recogniser.train()
    for norm in norms:
        norm.eval()
    recogniser(torch.randn(2, 3, 4, 16, 16)).logits.square().sum().backward()
    optimizer.step()
    changed = {n for n, v in recogniser.state_dict().items() if not torch.equal(v, before[n])}
    assert not {n for n in changed if ".stem." in n and ".inserted." not in n}
    assert not {n for n in changed if ".layer1." in n}
    assert "head.weight" in changed
    assert "backbone.layer2.first.0.weight" in changed
    assert any(".stem.inserted." in name for name in changed)


@pytest.mark.parametrize("stages", [["layer1"], ["stem", "layer2"], ["layer9"]])
def test_only_the_first_stages_can_be_frozen(recogniser: Recogniser, stages: list[str]) -> None:
    with pytest.raises(ArgumentError, match="frozen_stages"):
        freeze(recogniser, stages)


@pytest.mark.parametrize(
    ("backbone", "stem", "deepest"),
    [
        ("s3d", "network.features.0.", "network.features.14."),
        ("slowfast_r50", "network.blocks.0.", "network.blocks.4."),
        ("swin3d_t", "network.patch_embed.", "network.features.5."),
        ("mvit_v2_s", "network.conv_proj.", "network.blocks.14."),
    ],
)
def test_stages_of_wrapped_networks_have_all_their_parameters(
    backbone: str, stem: str, deepest: str
) -> None:
    with torch.device("meta"):
        recogniser = Recogniser(RecogniserSpec(("a", "b"), backbone, pooling="source"))
    depths = stage_depths(recogniser)
    count = len(recogniser.backbone.stages)

    def found(start: str) -> set[int]:
        return {d for name, d in depths.items() if name.startswith(f"backbone.{start}")}

    assert found(stem) == {count}
    assert found(deepest) == {1}
    assert found(f"network.{recogniser.backbone.head_path}.") == {0}
