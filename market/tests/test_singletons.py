"""Singletons: made once, closed and forgotten on reset."""

from __future__ import annotations

import threading

import pytest

from lab.waiting import patience
from market.singletons import closed_by, once


def test_object_is_made_once_until_it_is_reset():
    made = once(object)
    first = made()
    assert made() is first
    made.reset()
    assert made() is not first


def test_failed_attempt_is_not_kept():
    outcomes = [ValueError(), "made"]

    @once
    def unsteady():
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with pytest.raises(ValueError):
        unsteady()
    assert unsteady() == "made"


def test_reset_closes_what_was_made_and_only_once():
    closed = []
    made = closed_by(closed.append)(object)
    made.reset()
    assert closed == []
    first = made()
    made.reset()
    made.reset()
    assert closed == [first]


def test_threads_that_ask_at_once_get_the_same_object():
    together = threading.Barrier(8)
    made = once(object)
    found = []

    def ask():
        together.wait(patience(10))
        found.append(made())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(patience(10))
    assert len(found) == 8 and len(set(found)) == 1
