"""What is real counts as if nothing else were there, wherever padding lies, for every mechanism."""

from __future__ import annotations

from math import prod

import pytest
import torch
from torch import Tensor

from tests.attention.test_battery import (
    CASES,
    COMPATIBLE,
    FACTS,
    FIXED,
    HIGHEST,
    PASS_OVER_ONE,
    UNPADDED,
    Case,
    assert_close,
    variants,
)
from vidattn.attention import Pooled, Reduced, record_maps

# Cells, windows and places are counted from the first position.
ANCHORED = {
    "gather_excite",
    "neighbourhood",
    "pooling_attention",
    "recurrent_glimpse",
    "self_calibrated_convolution",
    "shifted_window",
    "shifted_window_v2",
    "temporal_transformer",
    "token_merging",
}
# How far apart two frames are means something: a gap is no cut.
OF_NEIGHBOURING_FRAMES = ANCHORED | {
    "action_excitation",
    "attention_gated_crf",
    "bottleneck",
    "bottleneck_transformer",
    "conditional_convolution",
    "convolutional_block_attention",
    "convolutional_temporal_pooling",
    "convolutional_token_learner",
    "deformable_convolution",
    "dual_attention",
    "dynamic_convolution",
    "efficient_local",
    "enhancement_interaction",
    "global_attention",
    "global_local_temporal",
    "highway",
    "large_kernel",
    "local_self_attention",
    "long_term_difference",
    "mean_field",
    "motion_excitation",
    "multi_view_fusion",
    "pointwise_spatial",
    "position_sensitive_axial",
    "residual_attention",
    "rotary_self_attention",
    "selective_kernel",
    "short_term_difference",
    "space_time_mixing",
    "split_attention",
    "strip_pooling",
    "temporal_shift",
    "temporal_squeeze_excitation",
    "triplet",
    "uniformer_global",
}
# Where a position lies in its picture means something.
OF_PLACES = ANCHORED | OF_NEIGHBOURING_FRAMES | {
    "axial",
    "coordinate",
    "criss_cross",
    "deformable",
    "frequency_channel",
    "interpretable_space_time_pooling",
    "second_order_position",
    "space_time_selection",
    "spatial_transformer",
    "stripe_attention_pooling",
}  # fmt: skip
# These know places or neighbours along time only.
OF_PLACES -= {
    "enhancement_interaction",
    "space_time_mixing",
    "temporal_shift",
    "temporal_squeeze_excitation",
}
PICTURES = [case for case in CASES if case[1] > 1 and case[0] not in OF_PLACES | FIXED]


# Rotated features know distances.
VARIANTS = [one for one in variants() if one[::2] not in COMPATIBLE and "rotary" not in one[2]]


def over(cases):
    return pytest.mark.parametrize(("name", "rank"), cases, ids=str)


def over_settings(cases):
    """All of these as they are by default, and with each of their switches set otherwise."""
    found = [(*case, {}) for case in cases]
    found += [pytest.param(*one, marks=pytest.mark.slow) for one in VARIANTS if one[:2] in cases]
    return pytest.mark.parametrize(("name", "rank", "settings"), found, ids=str)


@over_settings(UNPADDED)
def test_samples_padded_unlike_equal_each_without_padding(name, rank, settings, randomise):
    """One after its first frame, one at the start, one in between."""
    case = Case(name, rank, randomise, **settings)
    x, extra = case.inputs()
    frames = torch.arange(x.shape[2])
    last = len(frames) - 1
    kept = torch.stack([
        frames < (2 if name in PASS_OVER_ONE else 1),
        frames >= (0 if name in ANCHORED else 2),
        (frames < last) & (True if name in OF_NEIGHBOURING_FRAMES else frames.remainder(3) != 1),
    ])  # fmt: skip
    mask = kept.reshape(3, 1, -1, *[1] * (rank - 1))
    together = run(case, x, mask=mask, **extra)
    for index, real in enumerate(kept):
        given = {key: value[index : index + 1] for key, value in extra.items()}
        alone = run(case, x[index : index + 1, :, real], **given)
        check_sample(
            together, index, alone, lambda part, real=real: part[..., real, *every(rank)], rank
        )


def every(rank: int) -> list[slice]:
    return [slice(None)] * (rank - 1)


@over_settings(PICTURES)
def test_real_places_of_a_picture_equal_a_row_of_them(name, rank, settings, randomise):
    """Many of them, two, and one: where places do not count, what is padding is nowhere."""
    case = Case(name, rank, randomise, **settings)
    x, extra = case.inputs()
    if extra:
        pytest.skip("a context has its own size")
    places = x.shape[-2] * x.shape[-1]
    kept = torch.rand(3, places, generator=torch.Generator().manual_seed(3)) < 0.6
    kept[1] = torch.arange(places).remainder(places // 2) == 1
    kept[2] = torch.arange(places) == places // 2
    mask = kept.reshape(3, *[1] * (rank - 1), *x.shape[-2:])
    together = run(case, x, mask=mask)
    for index, real in enumerate(kept):
        row = x[index : index + 1].flatten(-2)[..., real].unsqueeze(-2)
        check_sample(
            together,
            index,
            run(case, row),
            lambda part, real=real: part.flatten(-2)[..., real].unsqueeze(-2),
            rank,
        )


def run(case, x: Tensor, **given):
    """The result and the maps."""
    with torch.no_grad(), record_maps(case.module) as maps:
        return case.module(x, **given), maps


def check_sample(together, index: int, alone, cut, rank: int) -> None:
    """One of several samples is what it is alone; `cut` leaves its real positions."""
    ours = of_sample(together[0], index, cut)
    for one, other in zip(ours, of_sample(alone[0], 0, Tensor.clone), strict=True):
        assert_close(one, other)
    if isinstance(together[0], Reduced):  # whose map is its source
        return
    for one, other in zip(together[1], alone[1], strict=True):
        # Positions as x has them, wherever a map is the same all along an axis.
        squeezed = {1: (-2, -1), 2: (-3,), 3: ()}[rank]
        values = one.values[index].expand(-1, *one.grid).squeeze(squeezed)
        expected = other.values[0].expand(-1, *other.grid).squeeze(squeezed)
        assert_close(cut(values), expected)


def of_sample(out, index: int, cut) -> list[Tensor]:
    """What one sample gave, at the positions that `cut` leaves."""
    if isinstance(out, Pooled):
        return [out.features[index], cut(out.weights[index]), cut(out.scores[index])]
    if isinstance(out, Reduced):
        valid = out.valid[index]
        return [out.features[index][:, valid], cut(out.source[index][valid])]
    return [cut(out[index])]


@over(HIGHEST)
def test_mask_may_have_any_shape_that_stands_for_the_whole(name, rank, randomise):
    """One for all samples, or for all places of a frame, as well as one for each position."""
    case = Case(name, rank, randomise)
    x, extra = case.inputs()
    small = torch.arange(x.shape[2]).remainder(3).gt(0).reshape(1, 1, -1, *[1] * (rank - 1))
    whole = small.expand(3, 1, *x.shape[2:]).clone()
    (ours, maps), (theirs, others) = (run(case, x, mask=mask, **extra) for mask in (small, whole))
    for one, other in zip(
        of_sample(ours, 1, Tensor.clone), of_sample(theirs, 1, Tensor.clone), strict=True
    ):
        assert_close(one, other)
    for one, other in zip(maps, others, strict=True):
        values, expected = (each.values.expand(-1, -1, *each.grid) for each in (one, other))
        assert_close(values, expected)
        if one.kind not in ("branch", "channel_affinity"):  # which have no positions
            padding = ~whole.reshape(3, 1, *one.grid)
            assert not expected[padding.expand_as(expected)].any()


# Its keys are cells of several positions.
OF_CELLS = {"pooling_attention"}
# What attends to what: everything, the places of a frame, and lines along an axis.
ATTENDED = ((2, 3, 4), (3, 4), (2,), (3,), (4,))


@over([case for case in HIGHEST if FACTS[case[0]].context_meaning is None])
def test_map_is_the_mean_of_the_affinities_over_real_queries(name, rank, randomise):
    """Where few are real, too: one of a sample, or one of a frame or a line."""
    case = Case(name, rank, randomise)
    x, _ = case.inputs()
    mask = torch.rand(3, 1, *x.shape[2:], generator=torch.Generator().manual_seed(3)) < 0.6
    places = torch.arange(mask[0].numel()).reshape(mask[0].shape)
    mask[1], mask[2] = places == 7, places.remainder(5) == 0
    with torch.no_grad(), record_maps(case.module, affinities="full") as maps:
        case.module(x, mask=mask)
    for found in maps:
        if found.kind != "affinity" or name in OF_CELLS:
            continue
        length = found.affinity.shape[2]
        sizes = dict(enumerate(found.grid, start=2))
        axes = next(one for one in ATTENDED if prod(sizes[axis] for axis in one) == length)
        real = lines(mask.reshape(3, 1, *found.grid), axes)
        rows = found.affinity[..., :length].masked_fill(~real.unsqueeze(3), 0)
        means = rows.sum(2) / real.sum(2).clamp(min=1).unsqueeze(2)
        assert_close(lines(found.values.expand(-1, -1, *found.grid), axes), means)


def lines(values: Tensor, axes: tuple[int, ...]) -> Tensor:
    """(N, M, T, H, W) -> (N times the other axes, M, positions of these axes)."""
    others = [axis for axis in (2, 3, 4) if axis not in axes]
    moved = values.permute(0, *others, 1, *axes)
    return moved.flatten(-len(axes)).flatten(0, len(others))


@pytest.mark.parametrize(
    ("name", "rank", "settings"),
    [
        *[pytest.param(*one, marks=pytest.mark.slow) for one in VARIANTS],
        ("shifted_window", 2, {"compat": True}),
        ("shifted_window_v2", 2, {"compat": True}),
    ],
    ids=str,
)
def test_mask_of_all_true_is_no_mask_whatever_the_settings(name, rank, settings, randomise):
    case = Case(name, rank, randomise, **settings)
    x, extra = case.inputs()
    mask = torch.ones(1, 1, *[1] * rank, dtype=torch.bool)
    with torch.no_grad():
        outs = [case.module(x, mask=given, **extra) for given in (mask, None)]
    for ours, theirs in zip(*(of_sample(out, 1, Tensor.clone) for out in outs), strict=True):
        assert_close(ours, theirs)
