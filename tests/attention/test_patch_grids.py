"""Where the maps of other people's networks lie, when the input is not of the size they expect.

The weights come from the libraries: transformers returns them, timm's dropout sees them.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vidattn.attention import RecordingError, adapt, record_maps
from vidattn.errors import ArgumentError

pytestmark = pytest.mark.oracle


def randomised(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return module.double().eval()


def maps_of(network: nn.Module, *inputs, adapt_with=None, **given):
    adapted = adapt(network, **(adapt_with or {}))
    with torch.no_grad(), record_maps(adapted) as maps:
        adapted(*inputs, **given)
    return maps


def timm_network(kind: str, **settings):
    timm = pytest.importorskip("timm")
    small = {"patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 3}
    if kind == "beit":
        return randomised(timm.models.beit.Beit(**small, **settings))
    if kind == "eva":
        return randomised(timm.models.eva.Eva(**small, **settings))
    return randomised(timm.models.VisionTransformer(**small, **settings))


def seen_by_dropout(network: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The weights (N, heads, Q, K) of each block."""
    seen: list[torch.Tensor] = []
    handles = []
    for block in network.blocks:
        block.attn.fused_attn = False
        handles.append(
            block.attn.attn_drop.register_forward_hook(lambda module, given, out: seen.append(out))
        )
    with torch.no_grad():
        network(x)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize(
    ("kind", "settings", "image", "grid", "prefix"),
    [
        # 36 patches at home, and 36 of another shape.
        ("vit", {"img_size": 24, "dynamic_img_size": True}, (16, 36), (4, 9), 1),
        ("vit", {"img_size": 24, "dynamic_img_size": True}, (12, 40), (3, 10), 1),
        ("vit", {"img_size": (12, 48)}, (12, 48), (3, 12), 1),
        (
            "vit",
            {"img_size": 24, "dynamic_img_size": True, "dynamic_img_pad": True, "reg_tokens": 4},
            (15, 34),
            (4, 9),
            5,
        ),
        (
            "vit",
            {"img_size": 24, "dynamic_img_size": True, "class_token": False, "global_pool": "avg"},
            (36, 16),
            (9, 4),
            0,
        ),
        ("eva", {"img_size": 24, "dynamic_img_size": True}, (16, 36), (4, 9), 1),
        ("eva", {"img_size": 24, "num_reg_tokens": 4}, (24, 24), (6, 6), 5),
        ("beit", {"img_size": (16, 36)}, (16, 36), (4, 9), 1),
    ],
)  # fmt: skip
def test_timm_map_has_the_shape_of_the_image(kind, settings, image, grid, prefix):
    network = timm_network(kind, **settings)
    x = torch.randn(2, 3, *image, dtype=torch.float64)
    maps = maps_of(network, x)
    expected = seen_by_dropout(network, x)
    assert len(maps) == len(expected) == 2
    for found, weights in zip(maps, expected, strict=True):
        assert found.grid == (1, *grid)
        received = weights.mean(2)[..., prefix:].reshape(2, 2, 1, *grid)
        torch.testing.assert_close(found.values, received, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("kind", ["vit", "eva"])
def test_patches_that_timm_drops_are_no_map_unless_the_caller_says_how_they_lie(kind):
    network = timm_network(kind, img_size=24, patch_drop_rate=0.5).train()
    x = torch.randn(1, 3, 24, 24, dtype=torch.float64)
    with pytest.raises(RecordingError, match=r"19 keys are not 1 tokens in front and the 6 × 6"):
        maps_of(network, x)
    assert maps_of(network, x, adapt_with={"grid": (2, 9)})[0].grid == (1, 2, 9)
    with pytest.raises(RecordingError, match=r"19 keys are not 1 tokens in front and a grid of 3"):
        maps_of(network, x, adapt_with={"grid": (3, 9)})


def test_a_grid_that_the_network_did_not_run_on_is_refused():
    network = timm_network("vit", img_size=24, dynamic_img_size=True)
    x = torch.randn(1, 3, 16, 36, dtype=torch.float64)
    with pytest.raises(RecordingError, match=r"a grid of 6 × 6, the network ran on 4 × 9"):
        maps_of(network, x, adapt_with={"grid": (6, 6)})
    assert maps_of(network, x, adapt_with={"grid": (4, 9)})[0].grid == (1, 4, 9)


def test_blocks_without_their_embedding_need_the_grid():
    network = timm_network("vit", img_size=24)
    tokens = torch.randn(1, 36, 16, dtype=torch.float64)
    with pytest.raises(RecordingError, match=r"give `adapt` the grid"):
        maps_of(network.blocks, tokens)
    assert maps_of(network.blocks, tokens, adapt_with={"grid": (4, 9)})[0].grid == (1, 4, 9)


SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
    "attn_implementation": "eager",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "prefix", "settings"),
    [
        ("ViT", 1, {}),
        ("Dinov2", 1, {"mlp_ratio": 1}),
        ("Dinov2WithRegisters", 4, {"mlp_ratio": 1, "num_register_tokens": 3}),
    ],
)
@pytest.mark.parametrize("image", [(16, 36), (24, 24), (8, 40)])
def test_transformers_image_networks_of_any_size(name, prefix, settings, image):
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, f"{name}Config")(
        image_size=24, patch_size=4, **{**SMALL, **settings}
    )
    network = randomised(getattr(transformers, f"{name}Model")(config))
    x = torch.randn(2, 3, *image, dtype=torch.float64)
    given = {"interpolate_pos_encoding": True} if name == "ViT" else {}
    maps = maps_of(network, x, **given)
    expected = network(x, output_attentions=True, **given).attentions
    grid = (image[0] // 4, image[1] // 4)
    assert len(maps) == len(expected) == 2
    for found, weights in zip(maps, expected, strict=True):
        assert found.grid == (1, *grid)
        received = weights.detach().mean(2)[..., prefix:].reshape(2, 2, 1, *grid)
        # ViT's own softmax is in float32.
        torch.testing.assert_close(found.values.double(), received.double(), atol=1e-6, rtol=1e-6)


def test_vivit():
    transformers = pytest.importorskip("transformers")
    config = transformers.VivitConfig(image_size=24, num_frames=4, tubelet_size=[2, 4, 4], **SMALL)
    network = randomised(transformers.VivitModel(config))
    clip = torch.randn(2, 4, 3, 24, 24, dtype=torch.float64)
    maps = maps_of(network, clip)
    expected = network(clip, output_attentions=True).attentions
    grid = (2, 6, 6)
    for found, weights in zip(maps, expected, strict=True):
        assert found.grid == grid
        received = weights.detach().mean(2)[..., 1:].reshape(2, 2, *grid)
        torch.testing.assert_close(found.values.double(), received.double(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("kind", ["divided_space_time", "space_only", "joint_space_time"])
@pytest.mark.parametrize(("frames", "image"), [(4, (48, 48)), (6, (24, 24)), (4, (16, 36))])
def test_timesformer_of_other_sizes_and_lengths(kind, frames, image):
    transformers = pytest.importorskip("transformers")
    config = transformers.TimesformerConfig(
        image_size=24, patch_size=4, num_frames=4, attention_type=kind, **SMALL
    )
    network = randomised(transformers.TimesformerModel(config))
    clip = torch.randn(2, frames, 3, *image, dtype=torch.float64)
    height, width = image[0] // 4, image[1] // 4
    if kind == "divided_space_time" and frames != 4:
        with pytest.raises(
            RecordingError, match=r"as if all clips had 4 frames, and mixes up .* 6"
        ):
            maps_of(network, clip)
        return
    for adapt_with in ({}, {"grid": (frames, height, width)}):
        maps = maps_of(network, clip, adapt_with=adapt_with)
        assert {found.grid for found in maps} == {(frames, height, width)}
        expected = network(clip, output_attentions=True).attentions
        for index, weights in enumerate(expected):
            found = maps.named(f"encoder.layer.{index}.attention.attention")
            received = weights.detach().mean(2)[..., 1:]
            if kind == "joint_space_time":
                received = received.reshape(2, 2, height, width, frames).permute(0, 1, 4, 2, 3)
            else:
                received = received.reshape(2, frames, 2, height, width).transpose(1, 2)
            torch.testing.assert_close(found.values, received, atol=1e-12, rtol=1e-12)
    with pytest.raises(RecordingError, match="leave the grid out"):
        maps_of(network, clip, adapt_with={"grid": (frames, width + 1, height)})


def test_videomae_in_pretraining_sees_its_encoder_and_refuses_what_is_hidden():
    transformers = pytest.importorskip("transformers")
    decoder = {
        "decoder_hidden_size": 16, "decoder_num_hidden_layers": 1,
        "decoder_num_attention_heads": 2, "decoder_intermediate_size": 16,
    }  # fmt: skip
    config = transformers.VideoMAEConfig(
        image_size=16, patch_size=4, num_frames=4, tubelet_size=2, **SMALL, **decoder
    )
    network = randomised(transformers.VideoMAEForPreTraining(config))
    clip = torch.randn(1, 4, 3, 16, 16, dtype=torch.float64)
    hidden = torch.zeros(1, 32, dtype=torch.bool)
    hidden[:, 16:] = True
    with pytest.raises(RecordingError, match=r"16 keys are not 0 tokens.*2 × 4 × 4 .*left some"):
        maps_of(network, clip, bool_masked_pos=hidden)
    maps = maps_of(network, clip, bool_masked_pos=hidden, adapt_with={"grid": (1, 4, 4)})
    # The decoder's tokens are in another order, which no grid tells.
    assert [found.name.partition(".layer")[0] for found in maps] == ["videomae.encoder"] * 2
    assert {found.grid for found in maps} == {(1, 4, 4)}
    with pytest.raises(ArgumentError, match="holds no attention known here"):
        adapt(network.decoder)
