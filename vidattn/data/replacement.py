"""Which videos stand in for one that cannot be read, so that training batches keep their size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vidattn.data.annotations import Sample
    from vidattn.data.dataset import Draw

# More than a sampler draws of one video in an epoch: a clip that stands in is no other draw's.
_MOST_OCCURRENCES = 2**32
_STAND_IN = 1


def stand_ins(samples: Sequence[Sample], draw: Draw, seed: int) -> Iterator[Draw]:
    """Draws of the other videos, one of which takes the place of a draw that gave no clip.

    Videos with the same labels come first, so that no class loses clips; each part is in random
    order. The same draw has the same stand-ins in any process.

    Args:
        samples: all that training draws from.
        draw: of the video that cannot be read.
        seed: of the data set.
    """
    generator = np.random.default_rng([seed, draw.epoch, draw.occurrence, draw.index, _STAND_IN])
    labels = samples[draw.index].labels
    occurrence = _MOST_OCCURRENCES * (1 + draw.index) + draw.occurrence
    order = generator.permutation(len(samples)).tolist()
    for index in sorted(order, key=lambda index: samples[index].labels != labels):
        if index != draw.index:
            yield replace(draw, index=index, occurrence=occurrence)
