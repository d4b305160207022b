"""A series with a damaged row or a raising factor fails alone, and it shows."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager

import pytest
from django.db import connection

from factors import runtime as factors
from factors.engines import Engines
from factors.stage import FactorStage
from lab.http import get
from lab.waiting import eventually, wait_until
from market import blocking
from market.committer import Committer
from market.ingest.backfill import IngestPorts
from market.ingest.follow import Follower
from market.ingest.gap_ledger import MemoryGapLedger
from market.ingest.tests.exchange_fake import OTHER, SERIES, FakeFeed, Published, candle_at
from market.ingest.tests.test_follow import FAST, quick_breaker
from market.pipeline import Pipeline
from market.runtime import candle_store
from market.stores.candle_checks import NAME, POSSIBLE
from market.stores.tests.planting import plant, unprotected
from overlays.stage import OverlayStage
from tests.clients import Client

BAD, GOOD = SERIES, OTHER
POISON = 666.0


class Poisoned:
    """The engine of all factors, in which one raises at a certain price."""

    def __init__(self, engine):
        self._engine = engine

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def step(self, state, candle):
        if candle.open == POISON:
            raise ZeroDivisionError("a factor divides by zero")
        return self._engine.step(state, candle)


class Switched(Pipeline):
    """A pipeline whose stages can be replaced, as in a process of another version."""

    def replace(self, *stages):
        self._stages = stages


class Following:
    """Both series followed by one job on the store in PostgreSQL."""

    def __init__(self):
        self.feed = FakeFeed()
        self.reports = {}
        self.tokens = {series: candle_store().next_fence(series) for series in (BAD, GOOD)}
        self.pipeline = Switched(candle_store())
        self.pipeline.replace(FactorStage(Engines(Poisoned(factors.engine()))), OverlayStage())
        self.ports = IngestPorts(
            store=candle_store(),
            committer=Committer(self.pipeline),
            ledger=MemoryGapLedger(),
            publisher=Published(),
        )

    async def wanted(self):
        return self.tokens

    def close_candle(self, number, *, bad_price=100.0):
        for series, price in ((BAD, bad_price), (GOOD, 100.0)):
            candle = self.feed.add_candle(number, price, series)
            self.feed.send_closed(candle, series)

    async def reached(self, series, number):
        time = candle_at(number).candle_time
        await blocking.run(wait_until, lambda: candle_store().state(series).head == time)

    async def stored(self, count):
        """Wait until both series have so many candles: no batch of them is in flight then."""

        def is_stored():
            return all(candle_store().count(series) == count for series in (BAD, GOOD))

        await blocking.run(wait_until, is_stored)

    async def assert_bad_fails_alone(self, number, reason):
        """The good series goes on, and the job's report names the bad one's failure."""
        await eventually(lambda: reason in (self.reports[BAD].last_error or ""))
        self.close_candle(number)
        await self.reached(GOOD, number)
        assert self.reports[BAD].state in {"waiting", "open_breaker"}
        assert self.reports[BAD].crashes > 0
        assert (self.reports[GOOD].state, self.reports[GOOD].crashes) == ("running", 0)
        head = (await blocking.run(candle_store().state, BAD)).head
        assert head == candle_at(4).candle_time


@asynccontextmanager
async def following():
    both = await blocking.run(Following)
    stop = asyncio.Event()
    follower = Follower(
        both.feed,
        both.ports,
        report=both.reports.__setitem__,
        limits=FAST,
        new_breaker=quick_breaker,
    )
    running = asyncio.create_task(follower.run(both.wanted, stop))
    try:
        for number in range(5):
            both.close_candle(number)
        # The newest candles come first: at the head, older ones may still be on their way.
        await both.stored(5)
        yield both
    finally:
        stop.set()
        await running


@pytest.mark.django_db(transaction=True)
async def test_raising_factor_stops_its_series_alone():
    async with following() as both:
        both.close_candle(5, bad_price=POISON)
        await both.assert_bad_fails_alone(6, "ZeroDivisionError: a factor divides by zero")


@pytest.mark.django_db(transaction=True)
async def test_damaged_row_stops_its_series_alone():
    def poison():
        plant(BAD, candle_at(2)._replace(close=math.nan))
        with connection.cursor() as cursor:
            # What new parameters do: everything is computed again.
            cursor.execute("UPDATE factor_state SET fingerprint = 'of another version'")

    protection = unprotected()
    await blocking.run(protection.__enter__)
    try:
        async with following() as both:
            await blocking.run(poison)
            both.pipeline.replace(FactorStage(), OverlayStage())
            both.close_candle(5)
            await both.assert_bad_fails_alone(6, "series_damaged")
    finally:
        await blocking.run(protection.__exit__, None, None, None)


def test_damaged_series_is_refused_to_its_readers_and_no_other(session_stack, shared_web, tmp_path):
    sql = session_stack.sql
    bad, good = "binance:spot:POISONED/USDT:1m", "binance:spot:SOUND/USDT:1m"

    def append(series, time, close):
        sql(
            "INSERT INTO candles (series_id, candle_time, open, high, low, close, volume)"
            " SELECT id, %s, 1.0, 2.0, 0.5, %s, 1.0 FROM series WHERE name = %s",
            *(time, close, series),
        )
        sql("UPDATE series SET head_time = %s WHERE name = %s", time, series)

    def page(series, **query):
        asked = "".join(f"&{name}={value}" for name, value in query.items())
        status, body = get(f"{shared_web.url}/api/market/candles?series_id={series}{asked}")[:2]
        return status, body.get("code")

    async def story():
        async with Client(shared_web.url) as client:
            for series in (bad, good):
                await client.ingest(series, (60, 1.0, 2.0, 0.5, 1.5, 1.0))
            watchers = {series: await client.follow(series, epoch=0) for series in (bad, good)}
            for each in watchers.values():
                await each.next_of("candle_closed")
            # Past the bus, so that only the comparison of all heads can bring them.
            append(bad, 120, math.nan)
            append(good, 120, 1.5)
            assert (await watchers[good].next_of("candle_closed"))["candle"]["candle_time"] == 120
            assert page(bad) == (500, "series_damaged")
            assert (page(bad, since=0, limit=1), page(good)) == ((200, None), (200, None))
            refused = await (await client.follow(bad)).next_of("error")
            assert (refused["code"], refused["series_id"]) == ("unavailable", bad)
            # In a thread: the server closes a connection whose client does not answer for long.
            move_out = ("verify", bad, "--candles", "--quarantine", str(tmp_path / "moved.csv"))
            await asyncio.to_thread(session_stack.manage, *move_out)
            await client.ingest(bad, (120, 1.0, 2.0, 0.5, 1.5, 1.0))
            revised = await watchers[bad].next_of("system")
            assert (revised["event"], revised["data"]["from_time"]) == ("candle.revised", 120)
            assert page(bad) == (200, None)
            assert "None" not in str(watchers[bad].messages)

    sql(f"ALTER TABLE candles DROP CONSTRAINT {NAME}")
    try:
        asyncio.run(story())
    finally:
        sql("DELETE FROM candles WHERE close = 'NaN'")
        sql(f"ALTER TABLE candles ADD CONSTRAINT {NAME} CHECK ({POSSIBLE})")
