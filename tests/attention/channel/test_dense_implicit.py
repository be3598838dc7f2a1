from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vidattn.attention import build, record_maps
from vidattn.attention.channel.dense_implicit import DenseImplicitStage


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def step(x: np.ndarray, hidden: np.ndarray, cell: np.ndarray, module):
    """The output and the state after, (N, C) each."""
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    channels = x.shape[1]

    def layers(name: str, z: np.ndarray) -> np.ndarray:
        narrow = z @ state[f"{name}.0.weight"].T + state[f"{name}.0.bias"]
        return np.maximum(narrow, 0) @ state[f"{name}.2.weight"].T + state[f"{name}.2.bias"]

    means = x.reshape(*x.shape[:2], -1).mean(2)
    gates = layers("from_input", means) + layers("from_hidden", hidden)
    enter, forget, new, leave = (gates[:, k * channels : (k + 1) * channels] for k in range(4))
    cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(new)
    hidden = sigmoid(leave) * sigmoid(cell)
    return x * hidden.reshape(*hidden.shape, *[1] * (x.ndim - 2)), hidden, cell


@pytest.mark.parametrize("grid", [(6,), (5, 7), (4, 5, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_first_block_equals_formula(grid, training, randomise):
    module = randomise(build("dia", 8, spatial_dims=len(grid))).double().train(training)
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    nothing = np.zeros((3, 8))
    expected, _, _ = step(x.numpy(), nothing, nothing, module)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("grid", [(6,), (5, 7), (4, 5, 3)])
def test_state_goes_from_block_to_block(grid, randomise):
    module = randomise(build("dia", 8, spatial_dims=len(grid))).double()
    state, hidden, cell = None, np.zeros((3, 8)), np.zeros((3, 8))
    for _ in range(3):
        x = torch.randn(3, 8, *grid, dtype=torch.float64)
        out, state = module.step(x, state)
        expected, hidden, cell = step(x.numpy(), hidden, cell, module)
        np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(state.hidden.detach().numpy(), hidden, rtol=1e-10)
        np.testing.assert_allclose(state.cell.detach().numpy(), cell, rtol=1e-10, atol=1e-12)


def stage(randomise) -> DenseImplicitStage:
    blocks = [nn.Conv2d(6, 8, 1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)]
    shortcuts = [nn.Conv2d(6, 8, 1), nn.Identity(), nn.Identity()]
    made = DenseImplicitStage(build("dia", 8, spatial_dims=2), blocks=blocks, shortcuts=shortcuts)
    return randomise(made).double().eval()


def test_stage_shares_one_cell(randomise):
    made = stage(randomise)
    x = torch.randn(3, 6, 5, 7, dtype=torch.float64)
    expected, hidden, cell = x, np.zeros((3, 8)), np.zeros((3, 8))
    with torch.no_grad():
        for block, shortcut in zip(made.blocks, made.shortcuts, strict=True):
            change, hidden, cell = step(block(expected).numpy(), hidden, cell, made.attention)
            total = change + shortcut(expected).numpy()
            expected = torch.from_numpy(np.maximum(total, 0))
        np.testing.assert_allclose(made(x).numpy(), expected.numpy(), rtol=1e-10, atol=1e-12)


def test_stage_keeps_nothing_and_compiles_and_exports(randomise):
    made = stage(randomise)
    x = torch.randn(3, 6, 5, 7, dtype=torch.float64)
    first = made(x)
    torch.testing.assert_close(made(x), first, rtol=0, atol=0)
    compiled = torch.compile(made, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), first)
    exported = torch.export.export(made, (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    torch.testing.assert_close(exported.module()(x[:2]), first[:2])


def test_stage_shows_a_map_for_each_block(randomise):
    made = stage(randomise)
    with record_maps(made) as maps:
        made(torch.randn(3, 6, 5, 7, dtype=torch.float64))
    assert [found.name for found in maps] == ["attention"] * 3
    assert not torch.equal(maps[0].values, maps[1].values)


def test_stage_without_shortcuts_adds_what_comes_in():
    attention = build("dia", 8, spatial_dims=2)
    made = DenseImplicitStage(attention, blocks=[nn.Conv2d(8, 8, 1)])
    x = torch.randn(2, 8, 3, 4)
    torch.testing.assert_close(made(x), (attention(made.blocks[0](x)) + x).relu())


def test_every_block_needs_a_shortcut():
    with pytest.raises(ValueError, match="shortcuts: expected 1, one for each block, got 0"):
        DenseImplicitStage(build("dia", 8), blocks=[nn.Identity()], shortcuts=[])
