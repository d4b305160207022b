"""The grids of exchanges: learned from candles, and what becomes of a series on another one."""

from __future__ import annotations

import time

import pytest

from market.domain.feed import FeedError, FeedRefused, UnknownTimeframe
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe
from market.exchanges.ccxt_feed import open_feed
from market.exchanges.grids import (
    KEPT_S,
    RETRY_S,
    Grids,
    GridUnknown,
    ShiftedGrid,
    UnevenGrid,
    timeframe_of,
)
from market.exchanges.listings import Listings, check

DAY = 86_400
NAMES = ("1m", "4h", "12h", "1d", "1w", "1M")
SHANGHAI = 16 * 3_600


class Exchange:
    """A ccxt object with the newest candles of each timeframe by their open times."""

    timeframes = dict.fromkeys(NAMES)
    precisionMode = 4  # noqa: N815 - ccxt's name; a tick

    def __init__(self, **opens):
        self.opens = opens
        self.reads = []

    async def fetch_ohlcv(self, symbol, name, since, limit):
        self.reads.append((symbol, name))
        opens = self.opens.get(f"_{name}", [])
        if isinstance(opens, Exception):
            raise opens
        rows = [[each * 1000, 1, 1, 1, 1, 1] for each in opens]
        return [row for row in rows if since is None or row[0] >= since][:limit]

    async def load_markets(self):
        return {"BTC/USDT": {"spot": True}}

    async def close(self):
        pass


def series(timeframe):
    return SeriesId.parse(f"okx:spot:BTC/USDT:{timeframe}")


def opens(seconds, offset, count=5):
    newest = (int(time.time()) - offset) // seconds * seconds + offset
    return [newest - each * seconds for each in reversed(range(count))]


@pytest.mark.parametrize(
    ("timeframe", "offset", "offered"),
    [
        ("1d", SHANGHAI, "1d~16h"),
        ("1w", 0, "7d"),
        ("1w", 6 * DAY, "1w~2d"),
        ("12h", 14_400, "12h~4h"),
    ],
)
async def test_series_on_another_grid_is_refused_with_the_one_the_exchange_has(
    timeframe, offset, offered
):
    seconds = Timeframe.parse(timeframe).seconds
    exchange = Exchange(**{f"_{timeframe}": opens(seconds, offset)})
    with pytest.raises(ShiftedGrid) as raised:
        await timeframe_of(exchange, series(timeframe))
    assert raised.value.code == "shifted_grid"
    assert raised.value.offered == series(offered)
    assert str(series(offered)) in str(raised.value)
    # The offer is the exchange's own timeframe.
    assert await timeframe_of(exchange, series(offered)) == timeframe
    assert len(exchange.reads) == 1


async def test_usual_grid_is_learned_once_and_short_ones_not_at_all():
    exchange = Exchange(_1d=opens(DAY, 0))
    assert await timeframe_of(exchange, series("1d")) == "1d"
    assert await timeframe_of(exchange, series("1d")) == "1d"
    assert await timeframe_of(exchange, series("4h")) == "4h"
    assert exchange.reads == [("BTC/USDT", "1d")]
    with pytest.raises(ShiftedGrid) as raised:
        await timeframe_of(exchange, series("1d~16h"))
    assert raised.value.offered == series("1d")
    with pytest.raises(UnknownTimeframe):
        await timeframe_of(exchange, series("3d"))


@pytest.mark.parametrize("timeframe", ["1M", "3M", "1d~America/New_York", "1w~Europe/Paris"])
async def test_months_and_days_of_zones_are_only_derived(timeframe):
    exchange = Exchange(_1d=opens(DAY, 0))
    with pytest.raises(UnknownTimeframe, match=f"{timeframe} are only made of shorter ones"):
        await timeframe_of(exchange, series(timeframe))
    assert exchange.reads == []


async def test_candles_of_a_halted_market_show_the_grid():
    exchange = Exchange(_1d=[each - 400 * DAY for each in opens(DAY, SHANGHAI)])
    assert await timeframe_of(exchange, series("1d~16h")) == "1d"


async def test_uneven_candles_are_refused():
    months = [each - number * 3_600 for number, each in enumerate(opens(DAY, 0))]
    exchange = Exchange(_1d=months)
    with pytest.raises(UnevenGrid) as raised:
        await timeframe_of(exchange, series("1d"))
    assert raised.value.code == "uneven_grid"


async def test_forming_candle_with_another_time_hides_no_grid():
    exchange = Exchange(_1d=[*opens(DAY, SHANGHAI, 4), int(time.time())])
    assert await timeframe_of(exchange, series("1d~16h")) == "1d"


async def test_grid_is_learned_again_after_a_day_or_soon_when_there_were_no_candles():
    now = 0.0
    grids, exchange = Grids(clock=lambda: now), Exchange(_1d=opens(DAY, SHANGHAI))
    await grids.learn(exchange, series("1w"), "1w")
    assert grids.name_of(series("1w"), NAMES) == "1w"
    now += RETRY_S
    with pytest.raises(GridUnknown):
        grids.name_of(series("1w"), NAMES)
    await grids.learn(exchange, series("1d"), "1d")
    now += KEPT_S - 1
    assert grids.name_of(series("1d~16h"), NAMES) == "1d"
    now += 1
    with pytest.raises(GridUnknown):
        grids.name_of(series("1d~16h"), NAMES)


async def test_exchange_that_fails_leaves_the_grid_unknown():
    exchange = Exchange(_1d=OSError("away"))
    with pytest.raises(FeedError, match="away") as raised:
        await timeframe_of(exchange, series("1d"))
    assert not isinstance(raised.value, FeedRefused)


class TestListings:
    """What admission and the whitelist's form ask."""

    @pytest.fixture
    def listed(self):
        self.exchange, self.now = Exchange(_1d=opens(DAY, SHANGHAI)), 0.0
        return Listings(lambda *venue: self.exchange, ttl_s=3600, clock=lambda: self.now)

    async def test_check_refuses_another_grid_and_admits_that_of_the_exchange(self, listed):
        with pytest.raises(ShiftedGrid):
            await listed.check(series("1d"))
        await listed.check(series("1d~16h"))
        assert listed.refusal(series("1d~16h")) is None
        assert isinstance(listed.refusal(series("1d")), ShiftedGrid)
        assert len(self.exchange.reads) == 1

    async def test_grid_that_can_not_be_read_is_asked_for_now_and_then(self, listed):
        self.exchange.opens = {"_1d": OSError("away")}
        for _ in range(3):
            with pytest.raises(FeedError, match="away"):
                await listed.check(series("1d"))
            with pytest.raises(LookupError):
                listed.refusal(series("1d"))
        assert len(self.exchange.reads) == 1
        self.now += RETRY_S
        self.exchange.opens = {"_1d": opens(DAY, 0)}
        await listed.check(series("1d"))


async def test_days_of_an_exchange_are_read_under_the_name_of_their_grid(exchange):
    exchange.fault(kind="grid", offset_s=SHANGHAI, scope={"interval": "1d"})
    shown, shifted = (SeriesId.parse(f"sim:spot:BTC/USDT:{each}") for each in ("1d", "1d~16h"))
    with pytest.raises(ShiftedGrid):
        await check(shown)
    feed = open_feed("sim", "spot")
    try:
        with pytest.raises(ShiftedGrid):
            [page async for page in feed.history(shown, 0, int(time.time()))]
        end = shifted.timeframe.latest_closed(time.time())
        pages = [page async for page in feed.history(shifted, end - 9 * DAY, end)]
    finally:
        await feed.close()
    times = [candle.candle_time for page in pages for candle in page.candles]
    assert times == [end - each * DAY for each in reversed(range(10))]
    assert not any(page.holes for page in pages)


async def test_timeframes_are_named_by_their_grids_as_far_as_they_are_known():
    grids = Grids()
    exchange = Exchange(
        _1d=opens(DAY, SHANGHAI), _1w=[*opens(7 * DAY, 0, 2), *opens(7 * DAY, 9, 2)]
    )
    for name in ("1d", "1w"):
        await grids.learn(exchange, series("1d"), name)
    assert grids.as_opened("okx", "spot", NAMES[:-1]) == ["1m", "4h", "12h", "1d~16h"]
    assert grids.as_opened("okx", "futures", NAMES[:-1]) == list(NAMES[:-1])
