from __future__ import annotations

import time

import pytest
from celery import Celery
from celery.beat import Scheduler

from market.ingest import beat as beat_module
from market.ingest.beat import SteadyClock, every

WALL_STEPS = (-300.0, 300.0)


class Clocks:
    """The wall clock and the monotonic one; only a step moves them apart."""

    def __init__(self):
        self.passed = 0.0
        self.step = 0.0
        self.began = time.time()

    def monotonic(self):
        return self.passed

    def wall(self):
        return self.began + self.passed + self.step


class RecordingScheduler(Scheduler):
    """Celery's own, that notes what it would send."""

    def __init__(self):
        self.sent = []
        super().__init__(Celery("test", broker="memory://", set_as_current=False), schedule={})

    def apply_entry(self, entry, producer=None):
        self.sent.append(entry.name)


@pytest.fixture
def clocks(monkeypatch):
    clocks = Clocks()
    monkeypatch.setattr(time, "time", clocks.wall)
    monkeypatch.setattr(beat_module, "_clock", SteadyClock(clocks.monotonic))
    return clocks


@pytest.fixture
def beat(clocks):
    scheduler = RecordingScheduler()
    scheduler.add(name="look", task="look", schedule=every(2.0))
    scheduler.add(name="repair", task="repair", schedule=every(30.0))
    return scheduler


def run(beat, clocks, seconds):
    """Let beat tick for so long, sleeping as it asks to."""
    until = clocks.passed + seconds
    while clocks.passed < until:
        clocks.passed += max(0.01, beat.tick())


def test_beat_sends_at_its_intervals(beat, clocks):
    run(beat, clocks, 61)
    assert 29 <= beat.sent.count("look") <= 31
    assert beat.sent.count("repair") == 2


@pytest.mark.parametrize("step", WALL_STEPS)
def test_beat_does_not_notice_a_step_of_the_wall_clock(beat, clocks, step):
    run(beat, clocks, 5)
    clocks.step = step
    run(beat, clocks, 26)
    assert 14 <= beat.sent.count("look") <= 16
    assert beat.sent.count("repair") == 1
