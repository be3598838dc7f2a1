from __future__ import annotations

import torch
from torch.nn import functional as F

from vidattn.attention.spatial.sampling import splat


def test_is_the_transpose_of_bilinear_sampling():
    points = torch.rand(2, 7, 2, dtype=torch.float64) * 8 - 2
    weights = torch.rand(2, 7, dtype=torch.float64)
    image = torch.zeros(2, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    size = torch.tensor([4.0, 5.0], dtype=torch.float64)
    grid = ((2 * points + 1) / size - 1).flip(-1).unsqueeze(1)
    read = F.grid_sample(image, grid, align_corners=False)[:, 0, 0]
    (read * weights).sum().backward()
    assert image.grad is not None
    torch.testing.assert_close(splat(points, weights, 4, 5), image.grad[:, 0])


def test_inner_points_keep_their_weight():
    points = torch.rand(3, 9, 2) * 3
    weights = torch.rand(3, 9)
    torch.testing.assert_close(splat(points, weights, 4, 4).sum((1, 2)), weights.sum(1))
