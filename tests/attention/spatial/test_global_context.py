from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build, record_maps


def context_weights(sample, w):
    """(C, L) -> (L,), position by position."""
    scores = np.array([w["score.weight"][0] @ sample[:, j] for j in range(sample.shape[1])])
    return np.exp(scores) / np.exp(scores).sum()


def reference(x, w, fusion):
    out = np.empty_like(x)
    for n, sample in enumerate(x.reshape(*x.shape[:2], -1)):
        context = sum(
            a * column for a, column in zip(context_weights(sample, w), sample.T, strict=True)
        )
        hidden = w["squeeze.weight"] @ context + w["squeeze.bias"]
        hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-5)
        hidden = np.maximum(hidden * w["norm.weight"] + w["norm.bias"], 0)
        change = (w["excite.weight"] @ hidden + w["excite.bias"])[:, None]
        y = sample + change if fusion == "add" else sample / (1 + np.exp(-change))
        out[n] = y.reshape(x.shape[1:])
    return out


@pytest.mark.parametrize("grid", [(7,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("fusion", ["add", "scale"])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, fusion, training, randomise):
    module = build("gc", 16, spatial_dims=len(grid), reduction=4, fusion=fusion)
    randomise(module).double().train(training)
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(2, 16, *grid, dtype=torch.float64)
    expected = reference(x.numpy(), weights, fusion)
    with record_maps(module) as maps:
        out = module(x)
    np.testing.assert_allclose(out.detach().numpy(), expected, atol=1e-12, rtol=1e-12)
    shown = maps[0].values.reshape(2, -1).numpy()
    for n in range(2):
        row = context_weights(x[n].flatten(1).numpy(), weights)
        np.testing.assert_allclose(shown[n], row, atol=1e-14)


@pytest.mark.parametrize("fusion", ["add", "scale"])
def test_padding_is_left_alone_in_both_forms(fusion, randomise):
    module = randomise(build("gc", 16, fusion=fusion)).double()
    x = torch.randn(2, 16, 4, 3, 3, dtype=torch.float64)
    x[:, :, 3] = torch.inf
    mask = torch.arange(4).lt(3).reshape(1, 1, 4, 1, 1)
    x.requires_grad_()
    out = module(x, mask=mask)
    torch.testing.assert_close(out[:, :, :3], module(x[:, :, :3]))
    assert out[:, :, 3].isinf().all()
    out[:, :, :3].sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad[:, :, 3] == 0).all()


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("fusion", "theirs"), [("add", "channel_add"), ("scale", "channel_mul")])
def test_equals_mmcv(fusion, theirs, randomise):
    mmcv = pytest.importorskip("mmcv.cnn")
    ours = randomise(build("gc", 16, spatial_dims=2, reduction=4, fusion=fusion)).double()
    reference = mmcv.ContextBlock(16, 1 / 4, fusion_types=(theirs,)).double()
    layers = {"score": "conv_mask", "squeeze": "0", "norm": "1", "excite": "3"}
    copy_weights(
        ours,
        reference,
        {ours: new if len(new) > 1 else f"{theirs}_conv.{new}" for ours, new in layers.items()},
    )
    x = torch.randn(2, 16, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(ours(x), reference(x), atol=1e-12, rtol=1e-12)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fusion", ["add", "scale"])
def test_equals_timm(fusion, randomise):
    layers = pytest.importorskip("timm.layers")
    ours = randomise(build("gc", 16, spatial_dims=2, reduction=4, fusion=fusion)).double()
    theirs = layers.GlobalContext(
        16, fuse_add=fusion == "add", fuse_scale=fusion == "scale", rd_ratio=1 / 4
    ).double()
    names = {"squeeze": "fc1", "norm": "norm", "excite": "fc2"}
    copy_weights(
        ours,
        theirs,
        {"score": "conv_attn", **{one: f"mlp_{fusion}.{new}" for one, new in names.items()}},
    )
    ours.norm.eps = 1e-6  # that of timm's normalisation; the paper's code has 1e-5
    x = torch.randn(2, 16, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-12, rtol=1e-12)


def test_uniform_weights_give_squeeze_and_excitation_with_addition(randomise):
    module = randomise(build("gc", 16)).double()
    torch.nn.init.zeros_(module.score.weight)
    x = torch.randn(2, 16, 3, 4, 5, dtype=torch.float64)
    hidden = module.norm(module.squeeze(x.mean((2, 3, 4)))).relu()
    expected = x + module.excite(hidden)[..., None, None, None]
    torch.testing.assert_close(module(x), expected)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="fusion: expected 'add' or 'scale', got 'mul'"):
        build("gc", 16, fusion="mul")


def copy_weights(ours, theirs, names) -> None:
    state = theirs.state_dict()
    for name, value in ours.state_dict().items():
        layer, _, kind = name.rpartition(".")
        target = f"{names[layer]}.{kind}"
        state[target] = value.reshape(state[target].shape)
    theirs.load_state_dict(state)
