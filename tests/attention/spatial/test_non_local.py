from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from vidattn.attention import build, record_maps

FORMS = ["gaussian", "embedded_gaussian", "dot_product", "concatenation"]


def pooled(tokens, grid, step):
    """(L, D) -> (K, D): maxima of blocks, one by one; H and W (of a 1-D input, T) are cut."""
    steps = {1: (step,), 2: (step, step), 3: (1, step, step)}[len(grid)]
    x = tokens.reshape(*grid, -1)
    corners = itertools.product(*(range(n // s) for n, s in zip(grid, steps, strict=True)))
    blocks = (
        x[tuple(slice(i * s, i * s + s) for i, s in zip(corner, steps, strict=True))]
        for corner in corners
    )
    return np.stack([block.reshape(-1, x.shape[-1]).max(0) for block in blocks])


def pairs(form, theta, phi, w, scale):
    """f, (L, K), pair by pair."""
    f = np.empty((len(theta), len(phi)))
    for i, j in np.ndindex(f.shape):
        if form == "concatenation":
            f[i, j] = max(0.0, w["pair.weight"][0] @ np.concatenate([theta[i], phi[j]]))
        else:
            f[i, j] = theta[i] @ phi[j]
    if form in ("dot_product", "concatenation"):
        return f / len(phi)
    return np.exp(scale * f) / np.exp(scale * f).sum(1, keepdims=True)


def reference(x, w, form, scale, step=1, *, input_first=False):
    out = np.empty_like(x)
    for n, sample in enumerate(x):
        tokens = sample.reshape(len(sample), -1).T
        read = pooled(tokens, x.shape[2:], step) if input_first else tokens
        theta, phi = tokens, read
        if form != "gaussian":
            theta = tokens @ w["query.weight"].T + w["query.bias"]
            phi = read @ w["key.weight"].T + w["key.bias"]
        g = read @ w["value.weight"].T + w["value.bias"]
        if not input_first:
            phi, g = pooled(phi, x.shape[2:], step), pooled(g, x.shape[2:], step)
        mixed = pairs(form, theta, phi, w, scale) @ g
        out[n] = (mixed @ w["output.weight"].T + w["output.bias"]).T.reshape(sample.shape)
    return x + out


@pytest.mark.parametrize("grid", [(7,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, form, step, training, randomise):
    module = build("non_local", 8, spatial_dims=len(grid), pairwise=form, subsample=step)
    randomise(module).double().train(training)
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    scale = 8**-0.5 if form == "gaussian" else 4**-0.5
    expected = reference(x.numpy(), weights, form, scale, step)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("grid", [(7,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("form", FORMS)
def test_subsampled_input_equals_formula(grid, form, randomise):
    settings = {"pairwise": form, "subsample": 2, "subsample_input": True}
    module = build("non_local", 8, spatial_dims=len(grid), **settings)
    randomise(module).double()
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    scale = 8**-0.5 if form == "gaussian" else 4**-0.5
    expected = reference(x.numpy(), weights, form, scale, 2, input_first=True)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_padding_is_not_in_a_subsampled_input(form, randomise):
    settings = {"pairwise": form, "subsample": 2, "subsample_input": True}
    module = randomise(build("non_local", 8, **settings)).double()
    x = torch.randn(1, 8, 2, 4, 5, dtype=torch.float64)
    x[:, :, 1], x[..., 3, :] = torch.inf, torch.nan
    mask = x.isfinite().all(1, keepdim=True)
    with record_maps(module, affinities="full") as maps:
        out = module(x, mask=mask)[:, :, :1, :3]
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    alone = x[:, :, :1].clone()
    alone[..., 3, :] = -20  # never the maximum of a block
    scale = 8**-0.5 if form == "gaussian" else 4**-0.5
    expected = reference(alone.numpy(), weights, form, scale, 2, input_first=True)[..., :3, :]
    np.testing.assert_allclose(out.detach().numpy(), expected, atol=1e-12, rtol=1e-12)
    assert (maps[0].values[:, :, 1] == 0).all()


@pytest.mark.parametrize("form", FORMS[:2])
def test_scale_of_the_papers_text(form, randomise):
    module = randomise(build("non_local", 8, pairwise=form, scale=1.0)).double()
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    expected = reference(x.numpy(), weights, form, 1.0)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, atol=1e-12, rtol=1e-12)


def test_per_frame_equals_formula(randomise):
    module = randomise(build("non_local", 8, scope="frame")).double()
    weights = {name: value.numpy() for name, value in module.module.state_dict().items()}
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    expected = [reference(x[:, :, t].numpy(), weights, "embedded_gaussian", 0.5) for t in range(3)]
    out = module(x).detach().numpy()
    np.testing.assert_allclose(out, np.stack(expected, 2), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(
    ("form", "instantiation"), [("embedded_gaussian", "softmax"), ("dot_product", "dot_product")]
)
@pytest.mark.parametrize("subsample", [1, 2])
def test_equals_pytorchvideo(form, instantiation, subsample, randomise):
    from pytorchvideo.layers.nonlocal_net import NonLocal as Reference

    settings = {"subsample": subsample, "subsample_input": subsample > 1}
    ours = randomise(build("non_local", 8, pairwise=form, **settings)).double()
    layers = ("conv_theta", "conv_phi", "conv_g", "conv_out")
    theirs = Reference(
        **{
            theirs: pointwise(getattr(ours, name))
            for theirs, name in zip(layers, ("query", "key", "value", "output"), strict=True)
        },
        pool=nn.MaxPool3d((1, 2, 2)) if subsample > 1 else None,
        instantiation=instantiation,
    )
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-12, rtol=1e-12)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("grid", [(7,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("subsample", [False, True])
def test_equals_mmcv(grid, form, subsample, randomise):
    mmcv = pytest.importorskip("mmcv.cnn")
    rank = len(grid)
    scale = 1.0 if form == "gaussian" else None  # mmcv's gaussian form has none
    step = 2 if subsample else 1
    ours = build("non_local", 8, spatial_dims=rank, pairwise=form, scale=scale, subsample=step)
    randomise(ours).double()
    theirs = getattr(mmcv, f"NonLocal{rank}d")(8, mode=form, sub_sample=subsample).double()
    weights = {
        "query.": ("theta.conv.",),
        "key.": ("phi.conv.", "phi.0.conv."),
        "value.": ("g.conv.", "g.0.conv."),
        "output.": ("conv_out.conv.",),
        "pair.": ("concat_project.conv.",),
    }
    state = theirs.state_dict()
    for name, value in ours.state_dict().items():
        layer, _, kind = name.rpartition(".")
        found = next(new + kind for new in weights[layer + "."] if new + kind in state)
        state[found] = value.reshape(state[found].shape)
    theirs.load_state_dict(state)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", [1, 2])
def test_map_is_the_mean_row_and_padding_is_not_in_it(form, step, randomise):
    module = randomise(build("non_local", 8, pairwise=form, subsample=step)).double()
    x = torch.randn(1, 8, 2, 4, 5, dtype=torch.float64)
    mask = torch.ones(1, 1, 2, 4, 5, dtype=torch.bool)
    mask[:, :, 1] = False
    with record_maps(module, affinities="full") as maps:
        padded = module(x, mask=mask)[:, :, :1]
        alone = module(x[:, :, :1])
    torch.testing.assert_close(padded, alone)
    keys = 20 if step == 1 else 4
    torch.testing.assert_close(maps[0].affinity[..., :20, :keys], maps[1].affinity)
    assert (maps[0].affinity[..., keys:] == 0).all()
    torch.testing.assert_close(maps[0].values[:, :, :1], maps[1].values)
    assert (maps[0].values[:, :, 1] == 0).all()
    row = maps[1].affinity[0, 0].mean(0)
    if step == 2:  # a pooled key's weight belongs to four positions, and the last column is cut
        row = (
            torch.zeros(4, 5)
            .double()
            .index_put(
                (torch.arange(4)[:, None], torch.arange(4)),
                row.reshape(2, 2).repeat_interleave(2, 0).repeat_interleave(2, 1) / 4,
            )
        )
    torch.testing.assert_close(maps[1].values.flatten(), row.flatten())


@pytest.mark.parametrize("form", FORMS)
def test_map_in_pieces_is_the_mean_row(form, randomise, monkeypatch):
    monkeypatch.setattr("vidattn.attention.spatial.non_local.CHUNK", 2 * 20 * 3)  # three queries
    module = randomise(build("non_local", 8, spatial_dims=2, pairwise=form)).double()
    w = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(2, 8, 4, 5, dtype=torch.float64)
    with record_maps(module) as maps:
        module(x)
    for n, tokens in enumerate(x.flatten(2).transpose(1, 2).numpy()):
        theta = phi = tokens
        if form != "gaussian":
            theta = tokens @ w["query.weight"].T + w["query.bias"]
            phi = tokens @ w["key.weight"].T + w["key.bias"]
        rows = pairs(form, theta, phi, w, module.scale)
        np.testing.assert_allclose(maps[0].values[n].flatten(), rows.mean(0), rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_trainable_compiled_and_exported(form, randomise):
    module = randomise(build("non_local", 8, pairwise=form, subsample=2)).double()
    x = torch.randn(2, 8, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    mask = torch.ones(2, 1, 2, 4, 4, dtype=torch.bool)
    mask[0, ..., 1:] = False
    for kept in (None, mask):
        parameters = tuple(module.parameters())
        assert torch.autograd.gradcheck(
            lambda x, *_, kept=kept: module(x, mask=kept), (x, *parameters), fast_mode=True
        )
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, mask=mask), module(x, mask=mask))
    shapes = {"x": {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}}
    exported = torch.export.export(module, (x.detach(),), dynamic_shapes=shapes)
    other = torch.randn(3, 8, 5, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(exported.module()(other), module(other))


def test_half_precision_survives_what_would_overflow():
    module = build("non_local", 64, hidden_channels=64).half()
    with torch.no_grad():
        for name in ("query", "key"):
            getattr(module, name).weight.copy_(torch.eye(64) * 20)
    out = module(torch.randn(1, 64, 2, 4, 4).half() * 4)
    assert out.isfinite().all()


@pytest.mark.parametrize("form", FORMS[2:])
def test_forms_without_softmax_hold_no_table_of_pairs(form):
    # 20,000 positions: one table alone would be 1.6 GB.
    module = build("non_local", 2, spatial_dims=1, pairwise=form)
    assert module(torch.randn(1, 2, 20_000)).shape == (1, 2, 20_000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pairwise": "gausian"}, "pairwise: expected one of gaussian, .*, got 'gausian'"),
        ({"pairwise": "dot_product", "scale": 1.0}, "scale: dot_product has none, got 1.0"),
        ({"subsample": 0}, "subsample: expected at least 1, got 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        build("non_local", 8, **settings)


def pointwise(linear: nn.Linear) -> nn.Conv3d:
    made = nn.Conv3d(linear.in_features, linear.out_features, 1).double()
    with torch.no_grad():
        made.weight.copy_(linear.weight.reshape(made.weight.shape))
        made.bias.copy_(linear.bias)
    return made


def test_map_of_pooled_keys_is_shared_by_the_real_positions_of_their_blocks(randomise):
    module = randomise(build("non_local", 8, spatial_dims=2, subsample=2)).double()
    x = torch.randn(2, 8, 4, 6, dtype=torch.float64)
    mask = torch.rand(2, 1, 4, 6, generator=torch.Generator().manual_seed(1)) < 0.6
    with torch.no_grad(), record_maps(module) as maps:
        module(x, mask=mask)
    values = maps[0].values.squeeze(2)
    assert not values[~mask].any()
    torch.testing.assert_close(values.sum((2, 3)), torch.ones(2, 1).double())
    for row, column in itertools.product(range(0, 4, 2), range(0, 6, 2)):
        block = values[..., row : row + 2, column : column + 2]
        torch.testing.assert_close(block, block.amax((2, 3), keepdim=True) * (block > 0))
