from __future__ import annotations

import itertools
import math

import pytest
import torch

from vidattn.attention import build


def reference(module, x, real, grid, iterations):
    """One sample, x (C, *grid): loops over pairs of positions and labels, as the paper has it."""
    places = list(itertools.product(*map(range, grid)))
    columns = [x[(slice(None), *place)] for place in places]
    hidden = module.score.hidden
    scores = [
        float(module.score.score.weight[0] @ torch.tanh(hidden.weight @ one + hidden.bias))
        for one in columns
    ]
    guides = [module.guide.weight @ one for one in columns]
    count = len(places)

    def kernel(alpha, beta):
        rows = []
        for i, j in itertools.product(range(count), repeat=2):
            exponent = sum((a - b) ** 2 for a, b in zip(places[i], places[j], strict=True))
            exponent /= 2 * alpha**2
            if beta is not None:
                exponent += float((guides[i] - guides[j]).pow(2).sum()) / (2 * beta**2)
            rows.append(math.exp(-exponent) if i != j and real[j] else 0.0)
        matrix = torch.tensor(rows, dtype=torch.float64).reshape(count, count)
        total = matrix.sum(1, keepdim=True)
        return torch.where(total > 0, matrix / total, 0.0)

    near, similar = kernel(module.gamma, None), kernel(module.alpha, module.beta)
    unary = torch.tensor([[0.0, score] for score in scores], dtype=torch.float64)

    def normalised(energies):
        powers = energies.exp()
        return powers / powers.sum(1, keepdim=True)

    belief = normalised(unary)
    for _ in range(iterations):
        message = torch.zeros_like(belief)
        for label in range(2):
            message[:, label] = module.near_weight[label] * (near @ belief[:, label])
            message[:, label] += module.similar_weight[label] * (similar @ belief[:, label])
        cost = torch.zeros_like(belief)
        for label, other in itertools.product(range(2), repeat=2):
            cost[:, label] += module.penalty[label, other] * message[:, other]
        belief = normalised(unary - cost)
    return belief[:, 1].reshape(grid) * torch.tensor(real).reshape(grid)


@pytest.mark.parametrize("grid", [(6,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_reference(grid, training, randomise):
    settings = {"iterations": 3, "alpha": 2.0, "beta": 1.3, "gamma": 0.8}
    module = build(
        "mean_field", 5, spatial_dims=len(grid), hidden_channels=4, guide_channels=3, **settings
    )
    module = randomise(module).double().train(training).requires_grad_(False)
    x = torch.randn(2, 5, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < 0.7
    for given in (None, mask):
        out = module(x, mask=given)
        for n in range(2):
            real = [True] * x[0, 0].numel() if given is None else mask[n].flatten().tolist()
            weight = reference(module, x[n], real, grid, 3)
            torch.testing.assert_close(out[n], x[n] * weight, atol=1e-10, rtol=1e-10)


def test_an_outlier_among_similar_neighbours_is_overruled():
    """Unlike a score by itself, the field closes a hole."""
    module = build("mean_field", 2, spatial_dims=2, hidden_channels=1, beta=100.0)
    with torch.no_grad():
        module.score.hidden.weight.copy_(torch.tensor([[1.0, 0.0]]))
        module.score.hidden.bias.zero_()
        module.score.score.weight.fill_(2.0)
        x = torch.ones(1, 2, 5, 5)
        x[0, 0, 2, 2] = -0.3
        alone = torch.sigmoid(2 * torch.tanh(torch.tensor(-0.3)))
        weight = module(x)[0, 1]
    assert alone < 0.5 < weight[2, 2]


def test_popular_sign_is_the_same_while_labels_weigh_the_same(randomise):
    """Adding the message itself equals subtracting what the other label sends."""
    module = build("mean_field", 5, spatial_dims=2).double()
    twin = build("mean_field", 5, spatial_dims=2).double()
    twin.load_state_dict(module.state_dict())
    with torch.no_grad():
        twin.penalty.copy_(-torch.eye(2))
    x = torch.randn(2, 5, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(module(x), twin(x))


def test_far_positions_do_not_underflow():
    module = build("mean_field", 5, spatial_dims=1, gamma=0.01, beta=0.01)
    out = module(100 * torch.randn(2, 5, 6, requires_grad=True))
    out.sum().backward()
    assert out.isfinite().all()
    assert module.guide.weight.grad.isfinite().all()


def test_half_precision_parameters_are_fine():
    module = build("mean_field", 5, spatial_dims=1).bfloat16()
    assert module(torch.randn(2, 5, 6).bfloat16()).dtype == torch.bfloat16
