"""The generated and the replayed candle sources, and the splitting that both rest on."""

from __future__ import annotations

import gzip
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.local_exchange.candles import (
    INTERVALS,
    SECOND_MS,
    WEEK_MS,
    TickCandle,
    decimal_text,
    floor_to,
    merge,
)
from market.local_exchange.generated import LISTED_MS, TICK_MS, GeneratedCandles
from market.local_exchange.refine import refine
from market.local_exchange.replayed import RecordingError, ReplayedCandles

# 2025-03-05 11:00 UTC, a Wednesday, and a long time later.
MOMENT_MS = 1_741_172_400_000
LATER_MS = MOMENT_MS + 400 * WEEK_MS


def listing_of(source, market="spot", symbol="BTCUSDT"):
    return next(one for one in source.listings() if (one.market, one.symbol) == (market, symbol))


def rows(source, interval, first_ms, last_ms, *, now_ms=LATER_MS, **which):
    listing = listing_of(source, **which)
    size = INTERVALS[interval]
    opens = source.opens(listing, size, first_ms=first_ms, last_ms=last_ms)
    return {one: source.candle(listing, size, open_ms=one, now_ms=now_ms) for one in opens}


@st.composite
def tick_candles(draw):
    low = draw(st.integers(1, 10**7))
    high = low + draw(st.integers(0, 10**5))
    inside = st.integers(low, high)
    return TickCandle(draw(inside), high, low, draw(inside), draw(st.integers(0, 10**9)))


@given(parent=tick_candles(), parts=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_refine_parts_add_up_to_their_parent(parent, parts, seed):
    children = refine(parent, parts, Random(seed))
    assert len(children) == parts
    assert merge(children) == parent


@given(parent=tick_candles(), parts=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_refine_parts_join_and_hold_their_prices(parent, parts, seed):
    children = refine(parent, parts, Random(seed))
    assert [child.open for child in children[1:]] == [child.close for child in children[:-1]]
    for child in children:
        assert child.low <= min(child.open, child.close)
        assert child.high >= max(child.open, child.close)
        assert child.volume >= 0


def test_generated_same_seed_gives_same_history():
    first = rows(GeneratedCandles(5), "1m", MOMENT_MS, MOMENT_MS + 3_600_000)
    # Read in another order, and after something else, on purpose.
    other = GeneratedCandles(5)
    rows(other, "1d", LISTED_MS, MOMENT_MS)
    backwards = {
        open_ms: rows(other, "1m", open_ms, open_ms)[open_ms] for open_ms in reversed(first)
    }
    assert len(first) == 61
    assert backwards == first


@pytest.mark.parametrize("change", [{"seed": 6}, {"symbol": "ETHUSDT"}, {"market": "futures"}])
def test_generated_history_differs_by(change):
    which = {"market": "spot", "symbol": "BTCUSDT"} | change
    other = GeneratedCandles(which.pop("seed", 5))
    mine = rows(GeneratedCandles(5), "1m", MOMENT_MS, MOMENT_MS + 600_000)
    theirs = rows(other, "1m", MOMENT_MS, MOMENT_MS + 600_000, **which)
    assert all(mine[one][:4] != theirs[one][:4] for one in mine)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("1s", "1m"),
        ("1m", "3m"),
        ("1m", "5m"),
        ("1s", "5m"),
        ("5m", "1h"),
        ("1m", "4h"),
        ("1h", "1d"),
        ("1d", "3d"),
        ("1h", "1w"),
    ],
)
@pytest.mark.parametrize("market", ["spot", "futures"])
def test_generated_intervals_agree_exactly(short, long, market):
    source = GeneratedCandles(5)
    size = INTERVALS[long]
    start_ms = floor_to(MOMENT_MS, size)
    parts = rows(source, short, start_ms, start_ms + 2 * size - 1, market=market)
    wholes = rows(source, long, start_ms, start_ms + 2 * size - 1, market=market)
    assert len(wholes) == 2
    for open_ms, whole in wholes.items():
        inside = [parts[one] for one in parts if open_ms <= one < open_ms + size]
        assert len(inside) == size // INTERVALS[short]
        assert merge(inside) == whole


@pytest.mark.parametrize("interval", ["1s", "1m", "1h", "1d", "1w"])
def test_generated_candles_open_where_the_last_one_closed(interval):
    size = INTERVALS[interval]
    found = list(rows(GeneratedCandles(5), interval, MOMENT_MS, MOMENT_MS + 50 * size).values())
    assert len(found) >= 50
    assert [candle.open for candle in found[1:]] == [candle.close for candle in found[:-1]]


def test_generated_open_candle_grows_into_the_closed_one():
    source = GeneratedCandles(5)
    minute = INTERVALS["1m"]
    [whole] = rows(source, "1m", MOMENT_MS, MOMENT_MS).values()
    seen = [
        rows(source, "1m", MOMENT_MS, MOMENT_MS, now_ms=now_ms)[MOMENT_MS]
        for now_ms in range(MOMENT_MS, MOMENT_MS + minute, TICK_MS)
    ]
    assert seen[0].open == whole.open and seen[0].volume < whole.volume
    assert seen[-1] == whole
    for before, after in zip(seen[:-1], seen[1:], strict=True):
        assert before.volume <= after.volume
        assert before.low >= after.low and before.high <= after.high
    assert len({candle.close for candle in seen}) > 20


def test_generated_candle_of_the_future_does_not_exist():
    source = GeneratedCandles(5)
    listing = listing_of(source)
    found = source.candle(listing, SECOND_MS, open_ms=MOMENT_MS, now_ms=MOMENT_MS - 1)
    assert found is None


def test_generated_history_begins_at_listing_on_the_grid():
    source = GeneratedCandles(5)
    for interval, size in INTERVALS.items():
        first = source.opens(listing_of(source), size, first_ms=0, last_ms=MOMENT_MS)[0]
        assert LISTED_MS <= first < LISTED_MS + size, interval
        assert floor_to(first, size) == first


def test_generated_volume_goes_with_range():
    found = list(rows(GeneratedCandles(5), "5m", MOMENT_MS, MOMENT_MS + 86_400_000).values())
    wide = sorted(found, key=lambda candle: candle.high - candle.low)
    calm, wild = wide[: len(wide) // 2], wide[len(wide) // 2 :]
    assert sum(candle.volume for candle in wild) > 1.5 * sum(candle.volume for candle in calm)


def test_floor_to_opens_weeks_on_monday():
    # 2025-03-05 is a Wednesday; 2025-03-03 the Monday before it.
    assert floor_to(MOMENT_MS, WEEK_MS) == 1_740_960_000_000


@pytest.mark.parametrize(
    ("units", "decimals", "text"), [(5, 0, "5"), (5, 2, "0.05"), (12345, 3, "12.345")]
)
def test_decimal_text_is_plain(units, decimals, text):
    assert decimal_text(units, decimals) == text


HEADER = "candle_time,open,high,low,close,volume\n"
# Minutes 0, 1, 2, 4 and 6 of an hour: 3 and 5 had no trade.
RECORDED = [
    (1_741_172_400, "1.10", "1.5", "1.0", "1.2", "10.5"),
    (1_741_172_460, "1.2", "1.25", "1.1", "1.15", "4"),
    (1_741_172_520, "1.15", "1.2", "1.15", "1.2", "1"),
    (1_741_172_640, "1.22", "1.3", "1.2", "1.25", "2"),
    (1_741_172_760, "1.25", "1.26", "1.2", "1.21", "8"),
]


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "recording.csv.gz"
    text = HEADER + "".join(",".join(map(str, row)) + "\n" for row in RECORDED)
    path.write_bytes(gzip.compress(text.encode()))
    return ReplayedCandles(path, market="futures", symbol="XRP/USDT:USDT", interval="1m")


def replayed(source, interval, *, now_ms=LATER_MS):
    return rows(source, interval, 0, now_ms, now_ms=now_ms, market="futures", symbol="XRPUSDT")


def test_replayed_rows_are_the_recorded_ones(recording):
    listing = recording.listings()[0]
    texts = [
        (one // 1000, *map(listing.price_text, candle[:4]), listing.volume_text(candle.volume))
        for one, candle in replayed(recording, "1m").items()
    ]
    expected = [(row[0], *map(float, row[1:])) for row in RECORDED]
    assert [(text[0], *map(float, text[1:])) for text in texts] == expected


def test_replayed_longer_interval_is_made_of_what_was_recorded(recording):
    found = replayed(recording, "3m")
    assert found == {
        1_741_172_400_000: TickCandle(110, 150, 100, 120, 155),
        1_741_172_580_000: TickCandle(122, 130, 120, 125, 20),
        1_741_172_760_000: TickCandle(125, 126, 120, 121, 80),
    }


def test_replayed_shorter_interval_does_not_exist(recording):
    assert "1s" not in recording.intervals(recording.listings()[0])
    assert "1m" in recording.intervals(recording.listings()[0])


def test_replayed_candle_unfolds_while_it_is_open(recording):
    open_ms = 1_741_172_400_000
    seen = [
        replayed(recording, "1m", now_ms=now_ms)[open_ms]
        for now_ms in range(open_ms, open_ms + 60_000, 250)
    ]
    assert seen[0].open == 110 and seen[0].volume < 105
    assert seen[-1] == TickCandle(110, 150, 100, 120, 105)
    assert all(a.volume <= b.volume for a, b in zip(seen[:-1], seen[1:], strict=True))


def test_replayed_hole_stays_a_hole_while_it_passes(recording):
    listing = recording.listings()[0]
    hole_ms = 1_741_172_580_000
    assert recording.candle(listing, 60_000, open_ms=hole_ms, now_ms=hole_ms + 30_000) is None
    assert recording.candle(listing, 60_000, open_ms=hole_ms, now_ms=LATER_MS) is None


def test_replayed_shift_moves_every_interval(recording):
    before = replayed(recording, "3m")
    recording.shift(180_000)
    assert replayed(recording, "3m") == {one + 180_000: before[one] for one in before}
    with pytest.raises(ValueError, match="multiple"):
        recording.shift(1_000)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "header"),
        ("time,open,high,low,close,volume\n", "header"),
        (HEADER, "no candles"),
        (HEADER + "60,1,1,1\n", "6 values"),
        (HEADER + "60,1,1,1,1,x\n", "not a number"),
        (HEADER + "60,1,1,1,1,nan\n", "finite"),
        (HEADER + "60,1,1,1,1,1e\n", "not a number"),
        (HEADER + "60,3,2,1,1,1\n", "within low..high"),
        (HEADER + "61,1,1,1,1,1\n", "grid"),
        (HEADER + "120,1,1,1,1,1\n60,1,1,1,1,1\n", "ascend"),
    ],
)
def test_replayed_refuses_what_is_no_recording(tmp_path, text, reason):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(RecordingError, match=reason):
        ReplayedCandles(path, market="spot", symbol="BTC/USDT", interval="1m")
