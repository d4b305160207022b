"""rebuild and explain, on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.core.management import CommandError
from django.db import connection

from factors import runtime
from factors.domain.tests.recordings import flat
from factors.stage import FactorStage
from factors.tests.ledgers import Stores, new_series
from market.pipeline import Pipeline
from market.runtime import candle_store, pipeline

WAVES = flat(*[100.0 + abs(each % 120 - 60) * (1 + each // 120) for each in range(600)])


@pytest.fixture
def series(run):
    return new_series()


def check(series):
    Stores(candle_store(), runtime.factor_ledger()).check(series, runtime.engine())
    assert runtime.head_time(series) == candle_store().state(series).head


def test_rebuild_puts_a_damaged_ledger_right(run, series):
    pipeline().ingest(series, WAVES)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM factor_events WHERE kind = 'pen.confirmed'")
        cursor.execute("UPDATE factor_heads SET head = '{}' WHERE factor_name = 'pen'")
    out = run("rebuild", series)
    assert out == f"{series}: 600 candles computed from 1970-01-01 00:01:00 on\n"
    check(series)


def test_rebuild_from_a_time_leaves_what_is_before_alone(run, series):
    pipeline().ingest(series, WAVES)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE factor_events SET payload = '{}' WHERE candle_time >= 30000")
    assert "101 candles computed" in run("rebuild", series, "--from", 30_000)
    check(series)


def test_rebuild_computes_candles_that_no_stage_has_seen(run, series):
    Pipeline(candle_store()).ingest(series, WAVES)
    assert "600 candles" in run("rebuild", series)
    check(series)


def test_rebuild_broken_off_goes_on_where_it_was(run, series):
    Pipeline(candle_store()).ingest(series, WAVES)
    in_parts = Pipeline(candle_store(), [FactorStage(at_once=200)])
    parts = replace(runtime.rebuilder(), pipeline=in_parts).run(series, 0)
    assert next(parts).candles == 200
    assert runtime.head_time(series) == WAVES[199].candle_time
    assert "400 candles computed" in run("rebuild", series)
    check(series)


def test_rebuild_of_other_logic_begins_with_the_first_candle(run, series, settings):
    pipeline().ingest(series, WAVES)
    settings.SWITCHES = replace(settings.SWITCHES, pivot_window_major=20)
    runtime.factors.reset()
    runtime.engines.reset()
    pipeline.reset()
    assert "600 candles" in run("rebuild", series)
    check(series)


def test_rebuild_needs_candles(run, series):
    with pytest.raises(CommandError, match="no candles are stored"):
        run("rebuild", series)


def test_rebuild_needs_the_factor_stage(run, series, settings):
    pipeline().ingest(series, WAVES[:5])
    settings.PIPELINE_STAGES = []
    pipeline.reset()
    with pytest.raises(CommandError, match="ENABLE_FACTOR_INGEST"):
        run("rebuild", series)


def test_explain_tells_what_was_said_and_because_of_which_candles(run, series):
    pipeline().ingest(series, WAVES)
    [event] = [
        each
        for each in runtime.factor_ledger().events(series, 0, 20_000)
        if each.kind == "pen.confirmed"
    ][:1]
    out = run("explain", series, "--at", event.candle_time + 30)
    assert f"({event.candle_time})" in out.splitlines()[0]
    assert "pen (from pivot)" in out
    assert "no facts yet" not in out
    start = next(each for each in WAVES if each.candle_time == event.payload["start_time"])
    [line] = [each for each in out.splitlines() if "pen.confirmed.start_time" in each]
    assert f"o {start.open:g} h {start.high:g}" in line


def test_explain_of_a_young_series_says_that_there_is_nothing(run, series):
    pipeline().ingest(series, WAVES[:1])
    out = run("explain", series, "--at", 60)
    shown = {head.factor for head in runtime.factor_ledger().heads(series, 0, 60)}
    assert not shown & {"pivot", "pen", "zhongshu", "anchor", "sr"}
    assert out.count("no facts yet") == len(runtime.engine().factors) - len(shown)


def test_explain_needs_a_candle_and_a_ledger(run, series):
    Pipeline(candle_store()).ingest(series, WAVES[:5])
    with pytest.raises(CommandError, match="no candle is stored"):
        run("explain", series, "--at", 59)
    with pytest.raises(CommandError, match="has not reached"):
        run("explain", series, "--at", 60)
