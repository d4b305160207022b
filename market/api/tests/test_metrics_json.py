"""GET /api/market/debug/metrics, as the written contract has it."""

from __future__ import annotations

import pytest

from market import runtime
from market.api import history_chunks
from market.api.metrics_json import keyed, metrics_as_object
from market.api.tests.asking import CANDLES, CLOSED, SERIES, candle, refusal, store
from market.live import metrics as live
from market.metrics_registry import REGISTRY, collecting

METRICS = "/api/market/debug/metrics"


@pytest.fixture
def counted(switch):
    switch(enable_debug_api=True, enable_runtime_metrics=True)
    with collecting():
        yield


def test_metrics_count_an_ingested_and_read_candle(in_memory, counted, api):
    api.post(CLOSED, {"series_id": SERIES, "candle": candle(60)})
    api.get(CANDLES, series_id=SERIES)
    api.get(CANDLES, series_id="made:up:SERIES/X:1m")
    shown = api.get(METRICS).json()
    assert set(shown) == {"enabled", "updated_at_ms", "counters", "gauges", "timers"}
    assert shown["enabled"] is True and isinstance(shown["updated_at_ms"], int)
    counters, gauges, timers = shown["counters"], shown["gauges"], shown["timers"]
    assert counters["market_ingest_closed_requests_total{result=ok}"] == 1.0
    assert timers["market_ingest_closed_duration_ms{result=ok}"]["count"] == 1.0
    assert gauges[f"market_ingest_last_candle_time{{series_id={SERIES}}}"] == 60.0
    assert counters["market_query_candles_requests_total{result=ok}"] == 2.0
    assert timers["market_query_candles_duration_ms{result=ok}"]["max_ms"] > 0
    assert gauges[f"market_query_candles_result_candles{{series_id={SERIES}}}"] == 1.0
    # The name that it had before.
    assert gauges[f"market_query_candles_result_count{{series_id={SERIES}}}"] == 1.0
    assert gauges[f"market_query_head_time{{series_id={SERIES}}}"] == 60.0
    assert gauges[f"market_query_head_lag_seconds{{series_id={SERIES}}}"] > 0
    assert not [key for key in (*counters, *gauges, *timers) if "made:up" in key]
    assert [list(each) for each in (counters, gauges, timers)] == [
        sorted(each) for each in (counters, gauges, timers)
    ]


def test_metrics_count_chunks_of_history(in_memory, counted, switch, api, monkeypatch):
    switch(enable_compact_history=True)
    monkeypatch.setattr(history_chunks, "CELL_CANDLES", 8)
    store(range(0, 60 * 25, 60))
    history = "/api/market/history"
    made = history_chunks.HistoryChunks(runtime.candle_store(), max_bytes=1)
    monkeypatch.setattr("market.api.history.history_chunks", lambda: made)
    for _ in range(2):
        found = api.get(history, series_id=SERIES).json()["chunks"]
    names = [each["name"] for each in found]
    assert len(names) == 3
    # The index made the body of each; the oldest was made last.
    for name in (names[0], names[2], "0-" + "0" * 24):
        api.get(f"{history}/{name}", series_id=SERIES)
    shown = api.get(METRICS).json()
    counters = {key: value for key, value in shown["counters"].items() if "market_history" in key}
    assert counters == {
        "market_history_cells_total{source=computed}": 3.0,
        "market_history_cells_total{source=kept}": 3.0,
        "market_history_chunks_total{source=cache}": 1.0,
        "market_history_chunks_total{source=none}": 1.0,
        "market_history_chunks_total{source=store}": 1.0,
        "market_history_evicted_total": 3.0,
    }
    assert shown["gauges"]["market_history_cache_bytes"] > 0


@pytest.mark.parametrize("missing", ["enable_debug_api", "enable_runtime_metrics"])
def test_metrics_need_both_switches(in_memory, counted, switch, api, missing):
    switch(**{missing: False})
    assert refusal(api.get(METRICS)) == (404, "not_found")


def test_key_sorts_labels_and_leaves_empty_ones_out():
    assert keyed("name", {}) == "name"
    assert keyed("name", {"b": "2", "a": "1", "c": ""}) == "name{a=1,b=2}"


def test_object_has_times_in_milliseconds_with_the_longest(monkeypatch):
    monkeypatch.setattr("market.api.metrics_json.INSTALLATION", REGISTRY)
    with collecting():
        live.SUBSCRIBE_DURATION.observe(0.25, "ok")
        live.SUBSCRIBE_DURATION.observe(0.75, "ok")
        live.CATCHUP_SIZE.observe(2000)
        found = metrics_as_object()
    assert found["timers"]["market_ws_subscribe_duration_ms{result=ok}"] == {
        "count": 2.0,
        "total_ms": 1000.0,
        "max_ms": 750.0,
        "avg_ms": 500.0,
    }
    assert found["counters"]["market_ws_catchup_size_sum"] == 2000
    assert list(found["gauges"]) == sorted(found["gauges"])
