"""Ledgers that an addition to the past left behind reach their candles without a new candle."""

from __future__ import annotations

from dataclasses import replace

import pytest

from factors import runtime as factors
from factors.domain.ledger import FactorUpdate
from factors.health import health, read_heads
from lab.waiting import eventually
from market import blocking, singletons
from market.domain.change import Change
from market.domain.series import SeriesId
from market.ingest import dispatch
from market.ingest.ledgers import request_bring_up
from market.ingest.runtime import lease_store
from market.ingest.supervisor import InProcess
from market.pipeline import Pipeline, PipelineError
from overlays import bring_up, tasks
from overlays.api.tests.drawn import SERIES, ingest, walk
from overlays.management.commands.verify import verifier

BTC = SeriesId.parse(SERIES)
ETH = SeriesId.parse("binance:futures:ETH/USDT:1m")
CANDLES = 450


@pytest.fixture(params=["memory", "postgres"])
def published(request, transactional_db, settings, monkeypatch):
    """The changes that are published, in a process whose parts are short."""
    changes: list[Change] = []

    async def publish(change):
        changes.append(change)

    if request.param == "memory":
        settings.SWITCHES = replace(
            settings.SWITCHES, enable_pg_store=False, enable_ws_pubsub=False
        )
    monkeypatch.setattr(bring_up, "publish_change", publish)
    monkeypatch.setattr(bring_up, "CANDLES", 100)
    return changes


def behind(series=BTC):
    """Let a series have candles that no stage has seen."""
    ingest(walk(CANDLES), series=str(series), stages=[])


def is_exact(series=BTC):
    return blocking.call(verifier().run, series).is_clean


async def test_series_reaches_its_candles_in_short_parts(published):
    behind()
    await bring_up.bring_up(BTC)
    steps = [len(change.results.get(FactorUpdate).steps) for change in published]
    assert steps == [100, 100, 100, 100, 50, 50]
    assert [notice.event for each in published for notice in each.notices] == ["factor.rebuild"]
    assert published[-1].notices[0].data == {"series_id": SERIES, "from_time": 0}
    assert not blocking.call(bring_up.behind)
    assert is_exact()
    await bring_up.bring_up(BTC)
    assert len(published) == 6


async def test_health_shows_how_far_it_is(published, monkeypatch):
    behind()
    seen = []

    async def look(change):
        seen.append(health(BTC, blocking.call(read_heads, BTC))["max_delay_candles"])

    monkeypatch.setattr(bring_up, "publish_change", look)
    await bring_up.bring_up(BTC)
    assert seen == [350, 250, 150, 50, 0, 0]


async def test_drawings_alone_that_are_behind_are_brought_up(published):
    ingest(walk(CANDLES), stages=["factors.stage.FactorStage"])
    await bring_up.bring_up(BTC)
    assert published and is_exact()


async def test_round_leaves_alone_what_is_still_being_filled(published, monkeypatch):
    """The next page of a fill would have all candles behind it computed again."""
    now = [0.0]
    seen = bring_up.Rest(lambda: now[0])
    monkeypatch.setattr(bring_up, "rest", lambda: seen)
    candles = walk(CANDLES)
    ingest(candles[200:], stages=[])

    async def rounds(after):
        now[0] += after
        await bring_up.bring_up_all(stopping=lambda: False)
        return len(published)

    assert await rounds(0) == await rounds(bring_up.REST_S - 1) == 0
    ingest(candles[:100], stages=[])
    assert await rounds(1) == await rounds(bring_up.REST_S - 1) == 0
    assert await rounds(1) > 0
    assert is_exact()


async def test_series_that_another_process_works_on_is_left_to_it(published):
    behind()
    marker = f"ledgers:{BTC}"
    lease_store().claim(marker, ttl=60)
    await bring_up.bring_up(BTC)
    assert not published
    lease_store().unclaim(marker)
    await bring_up.bring_up(BTC)
    assert published and not lease_store().is_claimed(marker)


async def test_turn_ends_when_the_process_does_and_the_next_goes_on(published):
    behind()
    await bring_up.bring_up(BTC, stopping=lambda: bool(published))
    assert len(published) == 2 and not lease_store().is_claimed(f"ledgers:{BTC}")
    factor = blocking.call(read_heads, BTC).factor
    await bring_up.bring_up(BTC)
    assert published[2].results.get(FactorUpdate).steps[0].candle_time == factor + 60
    assert is_exact()


async def test_long_work_is_handed_on_after_a_turn(published, monkeypatch):
    behind()
    asked = []

    async def request(series):
        asked.append(series)

    monkeypatch.setattr(bring_up, "TURN_S", 0.0)
    monkeypatch.setattr(bring_up, "request_bring_up", request)
    await bring_up.bring_up(BTC)
    assert asked == [BTC]


async def test_series_that_waits_for_the_command_is_left_to_it(published, settings):
    ingest(walk(50))
    ingest(walk(CANDLES)[50:], stages=[])
    settings.SWITCHES = replace(
        settings.SWITCHES, enable_factor_fingerprint_rebuild=False, factor_logic_version="other"
    )
    if settings.SWITCHES.enable_pg_store:
        singletons.reset()
    else:
        factors.engines.reset()
    await bring_up.bring_up(BTC)
    assert not published


async def test_failing_series_delays_no_other(published, monkeypatch):
    behind()
    behind(ETH)
    monkeypatch.setattr(bring_up, "REST_S", 0.0)
    rerun = Pipeline.rerun

    def failing(self, series, *requests):
        if series == BTC:
            raise PipelineError("factor.ingest_closed", series)
        return rerun(self, series, *requests)

    monkeypatch.setattr(Pipeline, "rerun", failing)
    await bring_up.bring_up_all(stopping=lambda: False)
    assert list(blocking.call(bring_up.behind)) == [BTC]


def test_task_does_a_series_or_the_round(published, monkeypatch):
    behind()
    behind(ETH)
    tasks.bring_up(SERIES)
    assert list(blocking.call(bring_up.behind)) == [ETH]
    monkeypatch.setattr(bring_up, "REST_S", 0.0)
    tasks.bring_up()
    assert not blocking.call(bring_up.behind)
    assert dispatch.QUEUE_OF[dispatch.BRING_UP] == tasks.QUEUE


@pytest.mark.parametrize("published", ["memory"], indirect=True)
async def test_process_that_ingests_by_itself_makes_the_rounds(published, monkeypatch):
    monkeypatch.setattr(bring_up, "REST_S", 0.0)
    behind()
    process = InProcess(interval=0.1)
    process.start()
    await eventually(lambda: not bring_up.behind())
    await process.stop()
    assert is_exact()


@pytest.mark.parametrize("published", ["memory"], indirect=True)
async def test_process_that_ingests_by_itself_takes_requests(published):
    behind()
    assert not await request_bring_up(BTC)
    dispatch.BACKGROUND.open()
    assert await request_bring_up(BTC)
    await eventually(lambda: not bring_up.behind())
    await dispatch.BACKGROUND.close()
    assert is_exact()
