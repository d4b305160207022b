"""A time limit that is started and stopped far more often than its timer."""

from __future__ import annotations

import pytest

from market.timeouts import Timeout


class Loop:
    """An event loop whose clock moves when it is told to; timers are cancelled as asyncio's are."""

    def __init__(self):
        self.now = 100.0
        self.timers = []
        self.made = 0

    def time(self):
        return self.now

    def call_at(self, when, callback):
        self.made += 1
        return Timer(self.timers, when, callback)

    def advance(self, seconds):
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer.when <= end]:
            first = min(due, key=lambda timer: timer.when)
            self.timers.remove(first)
            self.now = first.when
            first.callback()
        self.now = end


class Timer:
    def __init__(self, timers, when, callback):
        self.timers, self.when, self.callback = timers, when, callback
        timers.append(self)

    def cancel(self):
        self.timers.remove(self)


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def expiries():
    return []


@pytest.fixture
def timeout(loop, expiries):
    return Timeout(loop, lambda: expiries.append(loop.now))


def test_timeout_expires_once(timeout, loop, expiries):
    timeout.start(10)
    loop.advance(100)
    assert expiries == [110]


def test_timeout_counts_from_its_last_start(timeout, loop, expiries):
    timeout.start(10)
    loop.advance(6)
    timeout.start(10)
    loop.advance(6)
    assert expiries == []
    loop.advance(6)
    assert expiries == [116]


def test_stopped_timeout_does_not_expire(timeout, loop, expiries):
    timeout.start(10)
    loop.advance(6)
    timeout.stop()
    loop.advance(100)
    assert expiries == []


def test_stopped_timeout_can_be_started_again(timeout, loop, expiries):
    timeout.start(10)
    timeout.stop()
    loop.advance(6)
    timeout.start(10)
    loop.advance(100)
    assert expiries == [116]


def test_expired_timeout_can_be_started_again(timeout, loop, expiries):
    timeout.start(10)
    loop.advance(20)
    timeout.start(10)
    loop.advance(20)
    assert expiries == [110, 130]


def test_shorter_start_is_in_time(timeout, loop, expiries):
    timeout.start(10)
    timeout.start(3)
    loop.advance(100)
    assert expiries == [103]


def test_many_starts_share_one_timer(timeout, loop, expiries):
    for _ in range(1000):
        timeout.start(10)
        timeout.stop()
    assert loop.made == 1


def test_closed_timeout_leaves_no_timer(timeout, loop, expiries):
    timeout.start(10)
    timeout.close()
    assert (loop.timers, expiries) == ([], [])
