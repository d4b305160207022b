from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from market.ingest.steady_schedule import SteadySchedule
from market.tasks import BEAT_SCHEDULE

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clock:
    now = 50.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_schedule_is_due_once_its_time_is_over(clock):
    every = SteadySchedule(2.0, clock=clock)
    assert every.is_due(NOON) == (False, 2.0)
    clock.now += 1.5
    assert every.is_due(NOON) == (False, 0.5)
    clock.now += 0.5
    assert every.is_due(NOON) == (True, 2.0)


@pytest.mark.parametrize("step", [timedelta(minutes=-5), timedelta(minutes=5)])
def test_schedule_counts_from_the_run_whatever_time_the_run_was_noted_with(clock, step):
    every = SteadySchedule(2.0, clock=clock)
    every.is_due(NOON)
    clock.now += 2
    assert every.is_due(NOON) == (True, 2.0)
    assert every.is_due(NOON + step) == (False, 2.0)
    clock.now += 2
    assert every.is_due(NOON + step) == (True, 2.0)


def test_every_entry_of_the_beat_is_steady():
    assert all(isinstance(each["schedule"], SteadySchedule) for each in BEAT_SCHEDULE.values())
