"""The breaker paces attempts and opens when failures come too often."""

from __future__ import annotations

import pytest

from market.ingest.breaker import Breaker, BreakerState


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def make(clock, *, enabled=True, jitter=1.0):
    return Breaker(enabled=enabled, clock=clock, wall=lambda: 5.0, jitter=lambda: jitter)


def fail(breaker, clock, times):
    delays = []
    for _ in range(times):
        delays.append(breaker.failed("boom"))
        clock.now += 1
    return delays


def test_breaker_doubles_the_pause_up_to_its_limit(clock):
    breaker = make(clock, enabled=False)
    assert fail(breaker, clock, 7) == [1, 2, 4, 8, 15, 15, 15]


def test_breaker_shortens_pauses_by_jitter(clock):
    assert make(clock, jitter=0.5).failed("boom") == 0.5


def test_breaker_opens_when_the_budget_is_spent(clock):
    breaker = make(clock)
    assert fail(breaker, clock, 5) == [1, 2, 4, 8, 30]
    assert breaker.state is BreakerState.OPEN
    assert breaker.before_attempt() == 29


def test_breaker_forgets_failures_outside_the_window(clock):
    breaker = make(clock)
    fail(breaker, clock, 4)
    clock.now += 61
    breaker.failed("boom")
    assert breaker.state is BreakerState.CLOSED
    assert breaker.as_object()["window_failures"] == 1


def test_breaker_admits_one_attempt_after_its_cool_down(clock):
    breaker = make(clock)
    fail(breaker, clock, 5)
    clock.now += 29
    assert breaker.before_attempt() == 0
    assert breaker.state is BreakerState.HALF_OPEN
    clock.now += 100
    assert breaker.failed("boom") == 30
    assert breaker.state is BreakerState.OPEN


def test_breaker_closes_and_forgets_on_success(clock):
    breaker = make(clock)
    fail(breaker, clock, 5)
    breaker.succeeded()
    assert (breaker.state, breaker.before_attempt()) == (BreakerState.CLOSED, 0)
    assert breaker.failed("boom") == 1


def test_breaker_without_guardrail_never_opens(clock):
    breaker = make(clock, enabled=False)
    fail(breaker, clock, 50)
    assert breaker.state is BreakerState.CLOSED


def test_breaker_state_has_the_contracts_shape(clock):
    breaker = make(clock)
    breaker.failed("x" * 1000)
    shown = breaker.as_object()
    assert list(shown) == [
        "enabled",
        "state",
        "window_failures",
        "consecutive_failures",
        "last_failure_at",
        "last_error",
        "last_backoff_s",
        "next_retry_in_s",
        "config",
    ]
    assert (shown["last_failure_at"], shown["next_retry_in_s"]) == (5.0, 1.0)
    assert len(shown["last_error"]) == 300
    assert shown["config"] == {
        "crash_budget": 5,
        "budget_window_s": 60.0,
        "backoff_initial_s": 1.0,
        "backoff_max_s": 15.0,
        "open_cooldown_s": 30.0,
    }
