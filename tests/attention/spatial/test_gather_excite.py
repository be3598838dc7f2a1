from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch

from vidattn.attention import build


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def windows(x, extents):
    """For each cell, what lies less than e away from its first position."""
    grid = x.shape[2:]
    cells = [range(-(-n // e)) for n, e in zip(grid, extents, strict=True)]
    for cell in itertools.product(*cells):
        cut = tuple(
            slice(max(0, c * e - e + 1), c * e + e) for c, e in zip(cell, extents, strict=True)
        )
        yield cell, x[(..., *cut)]


def mean_cells(x, extents):
    out = np.empty((*x.shape[:2], *(-(-n // e) for n, e in zip(x.shape[2:], extents, strict=True))))
    for cell, window in windows(x, extents):
        out[(..., *cell)] = window.reshape(*x.shape[:2], -1).mean(-1)
    return out


def batch_norm(x, w, name, *, training):
    axes = (0, *range(2, x.ndim))
    per_channel = (slice(None), *[None] * (x.ndim - 2))
    mean, variance = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    if training:
        mean, variance = x.mean(axes), x.var(axes)
    x = (x - mean[per_channel]) / np.sqrt(variance[per_channel] + 1e-5)
    return x * w[f"{name}.weight"][per_channel] + w[f"{name}.bias"][per_channel]


def convolved_cells(x, w, extents, *, training):
    """Depth-wise, one output position after another; size 3 where an axis still shrinks."""
    level = 0
    while max(extents) > 1:
        if level:
            x = np.maximum(x, 0)
        steps = [2 if e > 1 else 1 for e in extents]
        kernel = w[f"convolutions.{level}.weight"][:, 0]
        padded = np.pad(x, [(0, 0), (0, 0), *((step - 1,) * 2 for step in steps)])
        out = np.empty(
            (*x.shape[:2], *(-(-n // s) for n, s in zip(x.shape[2:], steps, strict=True)))
        )
        for cell in np.ndindex(out.shape[2:]):
            cut = tuple(slice(c * s, c * s + 2 * s - 1) for c, s in zip(cell, steps, strict=True))
            axes = tuple(range(2, x.ndim))
            out[(..., *cell)] = (padded[(..., *cut)] * kernel).sum(axes)
        x = batch_norm(out, w, f"norms.{level}", training=training)
        extents = [max(1, e // 2) for e in extents]
        level += 1
    return x


def network(cells, w):
    if "squeeze.weight" not in w:
        return cells
    flat = cells.reshape(*cells.shape[:2], -1)
    first, second = (
        w[f"{name}.weight"].reshape(w[f"{name}.weight"].shape[:2]) for name in ("squeeze", "excite")
    )
    hidden = np.maximum(first @ flat + w["squeeze.bias"][:, None], 0)
    return (second @ hidden + w["excite.bias"][:, None]).reshape(cells.shape)


def excite(x, cells, extents):
    out = np.empty_like(x)
    for place in np.ndindex(x.shape[2:]):
        cell = tuple(i // e for i, e in zip(place, extents, strict=True))
        out[(..., *place)] = x[(..., *place)] * sigmoid(cells[(..., *cell)])
    return out


@pytest.mark.parametrize(
    ("grid", "extent"),
    [
        ((9,), (4,)),
        ((6, 8), (2, 2)),
        ((5, 7), (2, 4)),
        ((4, 5, 6), (1, 2, 2)),
        ((3, 4, 5), (2, 4, 1)),
    ],
)
@pytest.mark.parametrize("gather", ["mean", "convolutions"])
@pytest.mark.parametrize("reduction", [4, None])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, extent, gather, reduction, training, randomise):
    module = build(
        "gather_excite",
        8,
        spatial_dims=len(grid),
        gather=gather,
        extent=extent if len(set(extent)) > 1 else extent[0],
        reduction=reduction,
    )
    randomise(module).double().train(training)
    w = {name: value.numpy().copy() for name, value in module.state_dict().items()}
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    if gather == "mean":
        cells = mean_cells(x.numpy(), extent)
    else:
        cells = convolved_cells(x.numpy(), w, list(extent), training=training)
    expected = excite(x.numpy(), network(cells, w), extent)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, atol=1e-12, rtol=1e-12)


def test_mean_of_everything_is_squeeze_and_excitation(randomise):
    ours = randomise(build("ge", 24, gather="mean", extent=None, reduction=4)).double()
    theirs = build("se", 24, reduction=4).double()
    theirs.load_state_dict(
        {
            name: value.reshape(theirs.state_dict()[name].shape)
            for name, value in ours.state_dict().items()
        }
    )
    x = torch.randn(2, 24, 3, 4, 5, dtype=torch.float64)
    mask = torch.arange(3).lt(2).reshape(1, 1, 3, 1, 1)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours(x, mask=mask), theirs(x, mask=mask))


def test_means_are_exact_under_autocast():
    module = build("ge", 8, spatial_dims=2, gather="mean", extent=2, reduction=None)
    x = torch.randn(2, 8, 5, 6)
    with torch.autocast("cpu", torch.bfloat16):
        out = module(x)
    expected = excite(x.double().numpy(), mean_cells(x.double().numpy(), (2, 2)), (2, 2))
    np.testing.assert_allclose(out, expected, atol=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("extent", [None, 2, 4])
def test_equals_timm_without_parameters(extent):
    layers = pytest.importorskip("timm.layers")  # its other settings raise a TypeError
    theirs = layers.GatherExcite(8, extent=extent or 0, use_mlp=False)
    ours = build("ge", 8, spatial_dims=2, gather="mean", extent=extent, reduction=None)
    x = torch.randn(2, 8, 8, 12, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("gather", ["mean", "convolutions"])
@pytest.mark.parametrize("extent", [2, 4])
def test_padding_on_all_sides_is_not_there(gather, extent, randomise):
    module = build("ge", 8, spatial_dims=2, gather=gather, extent=extent, reduction=4)
    randomise(module).double().eval()
    x = torch.randn(2, 8, 7, 9, dtype=torch.float64)
    mask = torch.zeros(1, 1, 7, 9, dtype=torch.bool)
    mask[..., :5, :6] = True
    out = module(x, mask=mask)
    torch.testing.assert_close(out[..., :5, :6], module(x[..., :5, :6]))
    mask = torch.zeros(1, 1, 7, 9, dtype=torch.bool)
    mask[..., 3:, 1:] = True
    other = torch.where(mask, x, torch.full_like(x, torch.inf))
    torch.testing.assert_close(
        module(x, mask=mask)[..., 3:, 1:], module(other, mask=mask)[..., 3:, 1:]
    )


def test_means_are_those_of_the_real_positions_of_each_window():
    """Of one alone in the first sample's windows."""
    module = build("ge", 8, spatial_dims=2, gather="mean", extent=(2, 3), reduction=None).double()
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64)
    mask = torch.rand(2, 1, 5, 7, generator=torch.Generator().manual_seed(0)) < 0.6
    mask[0] = False
    mask[0, 0, 2::4, 3::6] = True
    kept = mask.expand_as(x).numpy()
    zeroed = np.where(kept, x.numpy(), 0)
    shares = mean_cells(kept * 1.0, (2, 3))
    cells = mean_cells(zeroed, (2, 3)) / np.where(shares == 0, 1, shares)
    expected = np.where(kept, excite(zeroed, cells, (2, 3)), 0)
    np.testing.assert_allclose(module(x, mask=mask), expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("gather", ["mean", "convolutions"])
def test_forms_with_regions_compile_export_and_run_in_half_precision(gather, randomise):
    module = randomise(build("ge", 8, gather=gather, extent=2, reduction=4)).eval()
    x = torch.randn(2, 8, 4, 5, 6)
    mask = torch.arange(4).lt(3).reshape(1, 1, 4, 1, 1)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, mask=mask), module(x, mask=mask))
    for kept in (None, mask):
        half = copy.deepcopy(module).half()(x.half(), mask=kept)
        torch.testing.assert_close(half.float(), module(x, mask=kept), atol=0.01, rtol=0.01)
    shapes = {"x": {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}}
    exported = torch.export.export(module, (x,), dynamic_shapes=shapes).module()
    other = torch.randn(3, 8, 7, 5, 6)
    torch.testing.assert_close(exported(other), module(other))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gather": "max"}, "gather: expected 'convolutions' or 'mean', got 'max'"),
        ({"extent": None}, "extent: expected sizes for convolutions, got None"),
        ({"extent": 6}, "extent: expected powers of 2 for convolutions, got 6"),
        ({"extent": (2, 2)}, "extent: expected 3 sizes or one"),
        ({"extent": 0}, "extent: expected 3 sizes or one, got 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        build("ge", 8, **settings)
