from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention.cells import cell_means


@pytest.mark.parametrize("size", [1, 3, 7, 8, 14, 17])
@pytest.mark.parametrize("cells", [1, 4, 7, 8])
def test_equals_adaptive_average_pooling(size, cells):
    x = torch.randn(2, size, dtype=torch.float64)
    expected = F.adaptive_avg_pool1d(x, cells)
    torch.testing.assert_close(x @ cell_means(size, cells, x).T, expected, atol=1e-14, rtol=1e-14)
