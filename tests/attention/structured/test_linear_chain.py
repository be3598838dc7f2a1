from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vidattn.attention import build
from vidattn.attention.structured.linear_chain import chain_marginals


def enumerated(unary, transition):
    """One sample (T, K): every sequence of states, weighed."""
    frames, states = unary.shape
    marginals = torch.zeros_like(unary)
    for sequence in itertools.product(range(states), repeat=frames):
        energy = sum(unary[t, z] for t, z in enumerate(sequence))
        energy = energy + sum(transition[a, b] for a, b in itertools.pairwise(sequence))
        for t, z in enumerate(sequence):
            marginals[t, z] += torch.as_tensor(energy).exp()
    return marginals / marginals.sum(1, keepdim=True)


@pytest.mark.parametrize(("frames", "states"), [(1, 2), (2, 2), (9, 2), (5, 3)])
def test_marginals_equal_enumeration(frames, states):
    unary = torch.randn(2, frames, states, dtype=torch.float64)
    transition = torch.randn(states, states, dtype=torch.float64)
    expected = torch.stack([enumerated(sample, transition) for sample in unary])
    found = chain_marginals(unary, transition)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-10)


@given(st.lists(st.booleans(), min_size=1, max_size=7))
@settings(max_examples=20, deadline=None)
def test_chain_leaps_over_padding(real):
    kept = torch.tensor([real])
    unary = torch.randn(1, len(real), 2, dtype=torch.float64)
    transition = torch.randn(2, 2, dtype=torch.float64)
    found = chain_marginals(unary, transition, kept)
    assert found.isfinite().all()
    if any(real):
        expected = enumerated(unary[kept], transition)
        torch.testing.assert_close(found[kept], expected, atol=1e-12, rtol=1e-10)


def test_second_derivatives_exist_and_long_chains_stay_finite():
    unary = torch.randn(1, 4, 2, dtype=torch.float64, requires_grad=True)
    transition = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(chain_marginals, (unary, transition))
    long = torch.full((1, 2000, 2), 30.0)
    long[:, :, 1] = -30
    found = chain_marginals(long, torch.tensor([[40.0, -40.0], [-40.0, 40.0]]))
    torch.testing.assert_close(found[..., 0], torch.ones(1, 2000))


@pytest.mark.parametrize("training", [True, False])
def test_mechanism_equals_reference(training, randomise):
    for grid in ((6,), (6, 2, 3)):
        module = build("linear_chain", 5, spatial_dims=len(grid), hidden_channels=4)
        module = randomise(module).double().train(training).requires_grad_(False)
        x = torch.randn(2, 5, *grid, dtype=torch.float64)
        mask = torch.rand(2, 1, *grid) < 0.7
        mask[:, :, 2] = False
        mask[:, :, 0] = True
        out = module(x, mask=mask)
        for n in range(2):
            scores = []
            frames = [t for t in range(6) if mask[n, 0, t].any()]
            for t in frames:
                inside = mask[n, 0, t].reshape(-1)
                mean = x[n, :, t].reshape(5, -1)[:, inside].mean(1)
                hidden = torch.tanh(module.score.hidden.weight @ mean + module.score.hidden.bias)
                scores.append(float(module.score.score.weight[0] @ hidden))
            unary = torch.tensor([[0.0, score] for score in scores], dtype=torch.float64)
            attended = torch.zeros(6, dtype=torch.float64)
            attended[frames] = enumerated(unary, module.transition)[:, 1]
            weight = attended.reshape(6, *[1] * (len(grid) - 1)) * mask[n]
            torch.testing.assert_close(out[n], x[n] * weight, atol=1e-10, rtol=1e-10)


def test_alike_neighbours_fill_gaps():
    """One weak frame among strong ones is attended to the more, the stronger the transitions."""
    unary = torch.tensor([[[0.0, 2], [0, 2], [0, -1], [0, 2], [0, 2]]])
    middle = [float(chain_marginals(unary, a * torch.eye(2))[0, 2, 1]) for a in (0.0, 1.0, 3.0)]
    assert middle[0] < 0.3 < middle[1] < middle[2]
    assert middle[2] > 0.9


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:.*does not define `arg_constraints`:UserWarning")
def test_equals_torch_struct():
    struct = pytest.importorskip("torch_struct")
    unary = torch.randn(3, 8, 4, dtype=torch.float64)
    transition = torch.randn(4, 4, dtype=torch.float64)
    # Its potentials belong to pairs, (N, T − 1, state after, state before).
    pairs = transition.T + unary[:, 1:, :, None]
    pairs = torch.cat([pairs[:, :1] + unary[:, :1, None, :], pairs[:, 1:]], dim=1)
    edges = struct.LinearChainCRF(pairs).marginals
    expected = torch.cat([edges[:, :1].sum(2), edges.sum(3)], dim=1)
    found = chain_marginals(unary, transition)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


@pytest.mark.oracle
def test_equals_derivative_of_pytorch_crf_partition():
    crf = pytest.importorskip("torchcrf").CRF(3, batch_first=True).double()
    with torch.no_grad():
        crf.start_transitions.zero_()
        crf.end_transitions.zero_()
    unary = torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    partition = crf._compute_normalizer(unary.transpose(0, 1), mask.T)
    (expected,) = torch.autograd.grad(partition.sum(), unary)
    found = chain_marginals(unary, crf.transitions, mask)
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-10, rtol=1e-10)
