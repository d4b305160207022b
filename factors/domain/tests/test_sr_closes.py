"""The search for crossings, compared with looking at every close."""

import random

from hypothesis import given
from hypothesis import strategies as st

from factors.domain.sr_closes import CHUNK, CloseWindow, Crossings
from factors.domain.tests.recordings import flat, reader
from factors.domain.values import PastCandles


def crossings_by_looking(closes, start, low, high, limit):
    found, position = [], 0
    for ordinal in range(start, len(closes)):
        close = closes[ordinal]
        now = 1 if close > high else -1 if close < low else position
        if position and now != position:
            found.append(ordinal)
        position = now
    return found[:limit]


def window_of(closes):
    window = CloseWindow()
    for ordinal, close in enumerate(closes):
        window.append(ordinal, close)
    window.refresh()
    return window


def search(window, crossings, end, low, high, limit):
    window.search(crossings, end, low=low, high=high, limit=limit)
    return crossings.found


@given(
    closes=st.lists(st.integers(0, 12).map(float), max_size=600),
    start=st.integers(0, 20),
    low=st.integers(0, 12).map(float),
    width=st.integers(0, 5),
    limit=st.integers(1, 4),
)
def test_crossings_are_where_the_closes_cross(closes, start, low, width, limit):
    start = min(start, len(closes))
    each = Crossings(start, start)
    found = search(window_of(closes), each, len(closes), low, low + width, limit)
    assert found == crossings_by_looking(closes, start, low, low + width, limit)


def test_crossings_continue_for_zones_with_no_close_between_their_edges():
    rng = random.Random(5)
    closes, window, searched = [], CloseWindow(), []
    price, held = 100.0, 0
    for ordinal in range(3 * CHUNK):
        price += rng.choice((-1.0, -0.3, 0.0, 0.4, 1.0)) + (100.0 - price) * 0.01
        closes.append(price)
        window.append(ordinal, price)
        if ordinal % 40 == 39:
            window.refresh()
            low, high = 100 - rng.uniform(0.5, 3), 100 + rng.uniform(0.5, 3)
            start = rng.randrange(max(0, ordinal - 500), ordinal)
            searched.append((start, Crossings(start, start)))
            for start, each in searched[-12:]:
                if each.holds(low, high):
                    held += len(each.found) > 0
                    found = search(window, each, len(closes), low, high, 3)
                    assert found == crossings_by_looking(closes, start, low, high, 3)
    assert held > 50


def test_window_drops_old_closes_and_keeps_the_ordinals():
    closes = [float((n * 7) % 101) for n in range(3 * CHUNK)]
    window = window_of(closes)
    window.release(2 * CHUNK + 5)
    assert window.base == 2 * CHUNK
    start = 2 * CHUNK + 9
    expected = crossings_by_looking(closes, start, 20.0, 80.0, 4)
    assert search(window, Crossings(start, start), len(closes), 20.0, 80.0, 4) == expected
    assert window.time_at(start) == start


def test_window_reads_absent_closes_once_and_only_up_to_its_head():
    candles = flat(*map(float, range(1, 9)))
    asked = []

    def read(start, end):
        asked.append((start, end))
        return reader(candles)(start, end)

    window = CloseWindow.absent(2, 180, 4, past=PastCandles(read, 360))
    window.append(420, 7.0)
    assert window.oldest(5) == (2, 180)
    window.refresh()
    window.refresh()
    assert asked == [(180, 360)]
    assert [window.time_at(ordinal) for ordinal in range(2, 7)] == [180, 240, 300, 360, 420]
    assert search(window, Crossings(2, 2), 7, 3.5, 6.5, 3) == [6]
