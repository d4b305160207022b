"""The keyed throttle: its rate, its burst, and its bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.throttle import Throttle


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_second_action_waits_for_the_interval(clock):
    throttle = Throttle(2.0, clock=clock)
    assert throttle.admit("a") == 0
    clock.now += 0.5
    assert throttle.admit("a") == 1.5
    clock.now += 1.5
    assert throttle.admit("a") == 0


def test_refused_action_does_not_count(clock):
    throttle = Throttle(2.0, clock=clock)
    throttle.admit("a")
    assert [throttle.admit("a") for _ in range(5)] == [2.0] * 5


def test_keys_do_not_share_a_rate(clock):
    throttle = Throttle(2.0, clock=clock)
    assert [throttle.admit(key) for key in "abc"] == [0, 0, 0]


def test_burst_is_admitted_at_once_and_refills_at_the_rate(clock):
    throttle = Throttle(0.5, burst=3, clock=clock)
    assert [throttle.admit("a") for _ in range(4)] == [0, 0, 0, 0.5]
    clock.now += 0.5
    assert [throttle.admit("a") for _ in range(2)] == [0, 0.5]
    clock.now += 1_000
    assert [throttle.admit("a") for _ in range(4)] == [0, 0, 0, 0.5]


@pytest.mark.parametrize("per_s", [3, 7, 50])
def test_whole_burst_is_admitted_whatever_the_rounding(clock, per_s):
    clock.now = 1e6 / 3
    throttle = Throttle(1 / per_s, burst=10 * per_s, clock=clock)
    assert not any(throttle.admit("a") for _ in range(10 * per_s))
    assert throttle.admit("a") > 0


def test_look_counts_nothing(clock):
    throttle = Throttle(2.0, clock=clock)
    assert [throttle.wait_s("a"), throttle.wait_s("a"), throttle.admit("a")] == [0, 0, 0]
    clock.now += 0.5
    assert throttle.wait_s("a") == 1.5


def test_least_recently_admitted_key_is_forgotten_beyond_the_bound(clock):
    throttle = Throttle(2.0, clock=clock, max_keys=2)
    for key in "abc":
        throttle.admit(key)
    assert (throttle.wait_s("a"), throttle.wait_s("b"), throttle.wait_s("c")) == (0, 2, 2)


def test_forgotten_key_begins_anew(clock):
    throttle = Throttle(2.0, clock=clock)
    throttle.admit("a")
    throttle.forget("a")
    throttle.forget("unknown")
    assert throttle.admit("a") == 0


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 4))
def test_never_more_than_the_burst_and_the_rate(pauses, burst):
    clock = Clock()
    throttle = Throttle(2.0, burst=burst, clock=clock)
    began = clock.now
    admitted = 0
    for pause in pauses:
        clock.now += pause
        admitted += throttle.admit("a") == 0
        assert admitted <= burst + (clock.now - began) / 2.0
