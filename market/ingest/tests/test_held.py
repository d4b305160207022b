"""Candles that wait for the head of their series; pure, without Django."""

from __future__ import annotations

import pytest

from market.domain.candle import Candle
from market.domain.timeframe import Timeframe
from market.ingest.held import Held

MINUTE = Timeframe.parse("1m")


def candle(minute, close=1.0):
    return Candle(minute * 60, 1.0, 9.0, 0.5, close, 1.0)


def held(head, *minutes, most=10):
    """The head (in minutes, None for an empty series) and the candles that wait."""
    made = Held(MINUTE, most=most)
    made.head = None if head is None else head * 60
    for minute in minutes:
        made.add(candle(minute))
    return made


def minutes(candles):
    return [each.candle_time // 60 for each in candles]


@pytest.mark.parametrize(
    ("head", "waiting", "joining", "behind_hole"),
    [
        (None, [], [], None),
        (None, [7, 8, 10], [7, 8], None),
        (5, [], [], None),
        (5, [6], [6], None),
        (5, [8, 6, 7], [6, 7, 8], None),
        (5, [7], [], 7),
        (5, [9, 8], [], 8),
        (5, [6, 8], [6], None),
        (5, [3, 5], [3, 5], None),
        (5, [3, 8], [3], None),
    ],
)
def test_held_joins_what_follows_the_head_without_a_hole(head, waiting, joining, behind_hole):
    it = held(head, *waiting)
    assert minutes(it.joining()) == joining
    found = it.behind_hole()
    assert (found and found.candle_time // 60) == behind_hole


def test_candles_before_the_first_stored_one_wait_until_what_lies_between_is_read():
    it = held(5, 2, 4, 6, 8)
    it.first = 4 * 60
    assert minutes(it.joining()) == [4, 6]
    it.stored(it.joining())
    it.head = 6 * 60
    assert it.behind_hole() == candle(8)
    it.first = None
    assert minutes(it.joining()) == [2]


@pytest.mark.parametrize(("head", "expected"), [(None, None), (5, 360)])
def test_expected_is_the_open_time_after_the_head(head, expected):
    assert held(head).expected == expected


def test_expected_stays_on_the_grid_behind_a_head_off_it():
    it = held(None)
    it.head = 330
    assert it.expected == 360


def test_too_many_candles_are_dropped_but_the_new_one():
    it = held(5, 7, 8, most=2)
    assert not it.add(candle(9))
    assert it.newest == 540
    assert 420 not in it and 540 in it


def test_stored_candle_leaves_unless_a_newer_state_came_meanwhile():
    it = held(5, 6, 7)
    batch = it.joining()
    it.add(candle(7, close=2.0))
    it.stored(batch)
    it.head = 360
    assert it.joining() == [candle(7, close=2.0)]


def test_page_supersedes_only_what_was_held_before_it_was_asked_for():
    it = held(5, 6, 7)
    before = it.by_time()
    it.add(candle(7))
    it.add(candle(8))
    it.superseded([candle(6), candle(7), candle(8)], held_before=before)
    assert 360 not in it and 420 in it and 480 in it
