"""What is pushed of health is what the endpoints answer."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync

from market import blocking
from market.domain.lease_store import BackfillProgress, JobReport
from market.domain.series import SeriesId
from market.domain.timeframe import Timeframe
from market.ingest.derive import catch_up_all, first_fill
from market.ingest.halted import halted_markets
from market.ingest.runtime import lease_store
from overlays import health
from overlays.api.tests.drawn import SERIES as NAME
from overlays.api.tests.drawn import ingest, walk

pytestmark = pytest.mark.usefixtures("either_store")

SERIES = SeriesId.parse(NAME)
OTHER = SeriesId.parse("binance:futures:ETH/USDT:1m")


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 9000

        def time(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(health, "time", made)
    return made


def pushed(series=SERIES):
    return blocking.call(health.read_health, [series])[series]


def test_pushed_fields_are_those_of_the_endpoints(api, clock):
    name = str(OTHER)
    ingest(walk(20), series=name)
    clock.now = 6000
    running = BackfillProgress(state="running", start_missing_seconds=9000)
    lease_store().set_progress(OTHER, running)
    fields = pushed(OTHER).fields
    asked = api.get("/api/market/health", series_id=name, now_time=6000 - health.GRACE_S).json()
    assert fields["market"] == asked
    assert asked["status_reason"] == "backfill_running"
    assert fields["factor"] == api.get("/api/factor/health", series_id=name).json()


def test_candle_that_has_just_closed_is_not_missed_yet(clock):
    ingest(walk(20))
    statuses = []
    for now in (1259, 1260, 1319, 1320, 1322, 1323):
        clock.now = now
        statuses.append(pushed().fields["market"]["status"])
    assert statuses == ["yellow", "green", "green", "green", "green", "red"]


def test_candles_and_time_alone_change_nothing_that_is_sent(clock):
    ingest(walk(20))
    clock.now = 1260
    first = pushed()
    clock.now = 1300
    assert pushed().signature == first.signature
    ingest(walk(21))
    clock.now = 1325
    assert pushed().signature == first.signature
    ingest(walk(22), stages=[])
    clock.now = 1385
    assert pushed().signature != first.signature


def test_many_series_are_read_together(clock):
    ingest(walk(5))
    found = blocking.call(health.read_health, [SERIES, OTHER])
    assert [found[each].fields["factor"]["status"] for each in (SERIES, OTHER)] == ["green", "gray"]


def test_market_is_null_where_its_endpoint_is_off(switch, clock):
    switch(enable_kline_health_v2=False, enable_debug_api=False)
    assert pushed().fields["market"] is None


def test_halted_market_is_sent_with_its_health(clock, monkeypatch):
    ingest(walk(20))
    clock.now = 1260
    before = pushed()
    halted = JobReport(state="running", started_at=1.0, is_halted=True)
    lease_store().report({SERIES: halted}, ttl=30)
    halted_markets.reset()
    after = pushed()
    assert "is_halted" not in before.fields["market"]
    assert after.fields["market"]["is_halted"] is True
    assert before.signature != after.signature


def test_derived_series_that_stops_is_sent_with_its_health(api, clock, switch):
    switch(enable_derived_timeframes=True, derived_timeframes="5m")
    five = SERIES.with_timeframe(Timeframe.parse("5m"))
    ingest(walk(24)[4:], stages=[])
    async_to_sync(first_fill)(five)
    clock.now = 1510
    before = pushed(five)
    asked = api.get("/api/market/health", series_id=str(five), now_time=1510).json()
    assert before.fields["market"] == asked
    assert asked["derived"]["state"] == "made"
    switch(enable_derived_timeframes=False)
    after = pushed(five)
    assert after.fields["market"]["derived"]["state"] == "not_derived"
    assert before.signature != after.signature
    assert "derived" not in pushed().fields["market"]


def test_partial_candles_are_sent_until_they_are_whole(clock, switch):
    switch(
        enable_derived_timeframes=True,
        derived_timeframes="5m",
        enable_derived_partial_candles=True,
    )
    five = SERIES.with_timeframe(Timeframe.parse("5m"))
    candles = walk(24)[4:]
    missing = candles.pop(7)
    ingest(candles, stages=[])
    async_to_sync(first_fill)(five)
    before = pushed(five)
    opened = five.timeframe.open_of(missing.candle_time)
    assert before.fields["partial"] == [
        {"candle_time": opened, "base_candles": 4, "expected": 5},
    ]
    assert "partial" not in pushed().fields
    ingest([missing], stages=[])
    async_to_sync(catch_up_all)(stopping=lambda: False)
    whole = pushed(five)
    assert whole.fields["partial"] == []
    assert whole.signature != before.signature
