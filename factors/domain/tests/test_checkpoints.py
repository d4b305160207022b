"""Which engine states are kept: few, near enough, and never one that was let go before."""

from hypothesis import given
from hypothesis import strategies as st

from factors.domain.checkpoints import EVERY, NEAR, is_kept, kept_between

counts = st.integers(0, 5_000_000)


@given(counts, counts)
def test_kept_states_were_kept_before(one, other):
    old, new = sorted((one, other))
    assert kept_between(0, old) >= {each for each in kept_between(0, new) if each <= old}


@given(counts.filter(lambda count: count > EVERY), st.floats(0, 1))
def test_no_candle_is_far_from_a_state_before_it(newest, share):
    count = EVERY + int((newest - EVERY) * share)
    nearest = max(each for each in {0, *kept_between(0, newest)} if each <= count)
    age = newest - nearest
    assert count - nearest < max(EVERY, age / 4 + EVERY)


def test_number_of_states_grows_with_the_logarithm():
    assert [len(kept_between(0, 10**power)) for power in (3, 4, 5, 6)] == [1, 12, 26, 39]


@given(counts, st.integers(0, NEAR * EVERY - 1))
def test_states_between_two_counts_are_those_kept(newest, age):
    start = max(0, newest - age)
    expected = {each for each in range(start + 1, newest + 1) if is_kept(each, newest)}
    assert kept_between(start, newest) == expected
