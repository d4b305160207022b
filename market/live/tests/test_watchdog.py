"""When a process counts as cut off from both bus and store."""

from __future__ import annotations

import pytest

from market.live.watchdog import Watchdog


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_watchdog_expires_after_its_timeout_and_is_reset(clock):
    watchdog = Watchdog(10, 2, clock=clock)
    clock.now += 10
    assert not watchdog.is_expired
    clock.now += 1
    assert watchdog.is_expired
    watchdog.reset()
    assert not watchdog.is_expired


def test_watchdog_waits_for_several_rare_checks(clock):
    watchdog = Watchdog(10, 60, clock=clock)
    clock.now += 179
    assert not watchdog.is_expired
    clock.now += 2
    assert watchdog.is_expired


def test_pause_of_the_process_does_not_count(clock):
    watchdog = Watchdog(10, 2, clock=clock)
    clock.now += 30
    watchdog.extend(30)
    assert not watchdog.is_expired


def test_waking_early_does_not_shorten_the_timeout(clock):
    watchdog = Watchdog(10, 2, clock=clock)
    clock.now += 11
    watchdog.extend(-5)
    assert watchdog.is_expired
