from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vidattn.video.decoding.plan import DecodingPlan, fair_shares
from vidattn.video.packets.index import FrameIndex


def index_of(group_sizes: list[int]) -> FrameIndex:
    """Closed groups of pictures whose last picture is decoded second, as with B-frames."""
    packets, starts, start = [], [], 0
    for size in group_sizes:
        places = list(range(size))
        if size > 2:
            places = [0, *range(2, size), 1]
        packets += [start + place for place in places]
        starts += [start] * size
        start += size
    return FrameIndex(10 * np.arange(start), np.array(packets), np.array(starts))


GROUPS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@given(groups=GROUPS, data=st.data())
def test_every_wanted_packet_is_before_the_end_and_no_other_group_is_entered(groups, data) -> None:
    index = index_of(groups)
    positions = data.draw(st.lists(st.integers(0, len(index) - 1), min_size=1, unique=True))
    plan = DecodingPlan.make(index, positions, read_on=False)
    assert [time for time in range(10 * len(index)) if time in plan.wanted] == [
        10 * position for position in sorted(positions)
    ]
    wanted = set(index.packets[positions].tolist())
    for position, last in zip(positions, plan.lasts, strict=True):
        assert last in wanted
        assert last >= index.packets[position]
        # All that is decoded from this frame's group on until `last` belongs to groups with
        # wanted frames, the end of one touching the start of the next.
        for start in set(index.starts[index.starts > index.starts[position]].tolist()):
            if start <= last:
                assert start - 1 in wanted
                assert start in set(index.starts[positions].tolist())


def test_reading_on_empties_nothing_behind_the_last_frame() -> None:
    index = index_of([4, 4, 4])
    assert DecodingPlan.make(index, [1, 9], read_on=False).lasts == (2, 10)
    assert DecodingPlan.make(index, [1, 9], read_on=True).lasts == (2, None)
    assert 30 not in DecodingPlan.make(index, [1, 9], read_on=True).wanted
    assert 100 in DecodingPlan.make(index, [1, 9], read_on=True).wanted
    # The first group is read to its end, so the second follows without a stop.
    assert DecodingPlan.make(index, [2, 3, 4], read_on=False).lasts == (4, 4, 4)
    assert DecodingPlan.make(index, [], read_on=True).lasts == ()


@given(groups=GROUPS, count=st.integers(1, 4), data=st.data())
def test_shares_are_all_frames_in_order_and_cut_between_groups(groups, count, data) -> None:
    index = index_of(groups)
    drawn = data.draw(st.lists(st.integers(0, len(index) - 1), min_size=1, unique=True))
    positions = sorted(drawn)
    shares = fair_shares(index, positions, count)
    assert [position for share in shares for position in share] == positions
    assert 1 <= len(shares) <= count
    of_group = [set(index.starts[share].tolist()) for share in shares]
    assert sum(map(len, of_group)) == len(set.union(*of_group))


def test_shares_take_about_equally_long() -> None:
    index = index_of([30] * 8)
    ends = [30 * group + 28 for group in range(8)]  # each needs all of its group
    assert fair_shares(index, ends, 2) == [ends[:4], ends[4:]]
    assert fair_shares(index, ends, 4) == [ends[:2], ends[2:4], ends[4:6], ends[6:]]
    # One group is nearly all there is to do, or there is too little to do in all.
    assert len(fair_shares(index_of([200, 30, 30]), [198, 201, 231], 2)) == 1
    assert len(fair_shares(index_of([1] * 20), [3, 8, 15], 2)) == 1
    # What counts is how far one reads into a group, not how many groups there are.
    assert fair_shares(index, [0, 60, 118, 148], 2) == [[0, 60, 118], [148]]
