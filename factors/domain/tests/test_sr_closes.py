"""The search among closes, against looking at every close."""

import random

from hypothesis import given
from hypothesis import strategies as st

from factors.domain.sr_closes import CHUNK, CloseWindow, Walk
from factors.domain.tests.recordings import flat, reader
from factors.domain.values import Past


def turns_by_looking(closes, start, low, high, limit):
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


def follow(window, walk, end, low, high, limit):
    window.follow(walk, end, low=low, high=high, limit=limit)
    return walk.turns


@given(
    closes=st.lists(st.integers(0, 12).map(float), max_size=600),
    start=st.integers(0, 20),
    low=st.integers(0, 12).map(float),
    width=st.integers(0, 5),
    limit=st.integers(1, 4),
)
def test_walk_turns_where_the_closes_do(closes, start, low, width, limit):
    start = min(start, len(closes))
    walk = Walk(start, start)
    found = follow(window_of(closes), walk, len(closes), low, low + width, limit)
    assert found == turns_by_looking(closes, start, low, low + width, limit)


def test_walk_goes_on_and_holds_for_prices_it_passed_nothing_between():
    rng = random.Random(5)
    closes, window, walks = [], CloseWindow(), []
    price, held = 100.0, 0
    for ordinal in range(3 * CHUNK):
        price += rng.choice((-1.0, -0.3, 0.0, 0.4, 1.0)) + (100.0 - price) * 0.01
        closes.append(price)
        window.append(ordinal, price)
        if ordinal % 40 == 39:
            window.refresh()
            low, high = 100 - rng.uniform(0.5, 3), 100 + rng.uniform(0.5, 3)
            start = rng.randrange(max(0, ordinal - 500), ordinal)
            walks.append((start, Walk(start, start)))
            for start, walk in walks[-12:]:
                if walk.holds(low, high):
                    held += len(walk.turns) > 0
                    found = follow(window, walk, len(closes), low, high, 3)
                    assert found == turns_by_looking(closes, start, low, high, 3)
    assert held > 50


def test_window_lets_old_closes_go_and_keeps_the_ordinals():
    closes = [float((n * 7) % 101) for n in range(3 * CHUNK)]
    window = window_of(closes)
    window.release(2 * CHUNK + 5)
    assert window.base == 2 * CHUNK
    start = 2 * CHUNK + 9
    expected = turns_by_looking(closes, start, 20.0, 80.0, 4)
    assert follow(window, Walk(start, start), len(closes), 20.0, 80.0, 4) == expected
    assert window.time_at(start) == start


def test_window_reads_absent_closes_once_and_only_up_to_its_head():
    candles = flat(*map(float, range(1, 9)))
    asked = []

    def read(start, end):
        asked.append((start, end))
        return reader(candles)(start, end)

    window = CloseWindow.absent(2, 180, 4, past=Past(read, 360))
    window.append(420, 7.0)
    assert window.oldest(5) == (2, 180)
    window.refresh()
    window.refresh()
    assert asked == [(180, 360)]
    assert [window.time_at(ordinal) for ordinal in range(2, 7)] == [180, 240, 300, 360, 420]
    assert follow(window, Walk(2, 2), 7, 3.5, 6.5, 3) == [6]
