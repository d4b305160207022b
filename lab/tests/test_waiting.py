"""Waits end with their condition, report what they waited for, and scale with one setting."""

from __future__ import annotations

import pytest

from lab import waiting
from lab.waiting import WaitTimeout, eventually, patience, wait_until


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setenv("TEST_PATIENCE", "0.001")


def outcomes(*values):
    """A condition that returns one value after the other."""
    remaining = iter(values)
    return lambda: next(remaining)


def test_limits_scale_with_the_setting(monkeypatch):
    monkeypatch.setenv("TEST_PATIENCE", "2.5")
    assert patience(4) == 10.0


def test_the_default_leaves_room_for_a_busy_machine(monkeypatch):
    monkeypatch.delenv("TEST_PATIENCE", raising=False)
    assert patience(10) == 10 * waiting.DEFAULT_FACTOR > 10


def test_a_wait_returns_what_its_condition_returned_last():
    assert wait_until(outcomes(0, None, "", "found", "too late")) == "found"


async def test_a_coroutine_waits_the_same_way():
    assert await eventually(outcomes(0, None, "", "found", "too late")) == "found"


def test_a_condition_that_holds_is_not_waited_for(impatient):
    assert wait_until(lambda: True, seconds=0)


def test_a_wait_reports_what_it_waited_for(impatient):
    with pytest.raises(WaitTimeout, match=r"waited 0.005 s for a candle"):
        wait_until(lambda: False, 5, "a candle")


async def test_a_wait_without_a_name_reports_its_condition(impatient):
    with pytest.raises(WaitTimeout, match=r"for await eventually\(lambda: 1 > 2\)"):
        await eventually(lambda: 1 > 2)


def test_a_condition_may_end_its_wait_with_an_error():
    def ended():
        raise AssertionError("the process ended")

    with pytest.raises(AssertionError, match="the process ended"):
        wait_until(ended)
