"""Instruments: nothing while they are off, few labels, and the contract's JSON form."""

from __future__ import annotations

import pytest

from market import metrics
from market.domain.series import SeriesId
from market.live.frames import Frame
from market.metrics_json import keyed, metrics_as_object
from market.metrics_registry import OTHER, REGISTRY, SeriesLabels, collecting
from market.pipeline import Pipeline, PipelineError
from market.stores.memory import MemoryCandleStore
from market.tests.builders import MINUTE, candles


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels)


def test_nothing_is_counted_while_collecting_is_off():
    with collecting(False):
        metrics.BUS_LOST.inc()
        metrics.WATCHERS.set(5)
        metrics.DELIVERY.observe(1.0)
        metrics.frame_sent(Frame.of({"type": "system"}), 3)
        assert value("market_bus_lost_total") == 0
        assert value("market_ws_watchers") == 0
        assert value("market_ws_delivery_seconds_count") == 0
        assert value("market_ws_frames_total", type="system") is None


def test_frame_is_counted_once_for_all_its_watchers():
    frame = Frame.of({"type": "gap"}, {"type": "candle_closed"}, {"type": "candle_closed"})
    with collecting():
        metrics.candles_delivered(MINUTE, 2, frame, watchers=1000)
        metrics.frame_sent(frame, 0)
        assert value("market_ws_frames_total", type="candle_closed") == 2000
        assert value("market_ws_frames_total", type="gap") == 1000
        assert value("market_ws_frame_bytes_total") == 1000 * len(frame.data)
        assert value("market_ws_candles_delivered_total", series_id=str(MINUTE)) == 2000


def test_series_beyond_the_most_share_one_label():
    labels = SeriesLabels(most=2)
    first, second, third = (SeriesId.parse(f"sim:spot:{each}/USDT:1m") for each in "ABC")
    assert [labels.admit(first), labels.admit(second)] == [str(first), str(second)]
    assert labels.admit(third) == OTHER
    assert labels.admit(first) == str(first)


def test_pipeline_counts_what_landed_and_which_step_failed():
    class Failing:
        name = "failing"

        def apply(self, writer, change):
            raise ValueError

    store = MemoryCandleStore()
    with collecting():
        Pipeline(store).ingest(MINUTE, candles(60, 180))
        Pipeline(store).ingest(MINUTE, candles(120, 180))
        with pytest.raises(PipelineError):
            Pipeline(store, [Failing()]).ingest(MINUTE, candles(240))
        of = {"series_id": str(MINUTE)}
        assert value("market_candles_stored_total", kind="fresh", **of) == 2
        assert value("market_candles_stored_total", kind="past", **of) == 1
        assert value("market_ingest_last_candle_time", **of) == 180
        assert value("market_notices_total", event="candle.revised") == 1
        assert value("market_pipeline_failures_total", step="failing") == 1
        assert value("market_pipeline_step_seconds_count", step="commit") == 2


def test_old_candle_is_no_measure_of_how_late_candles_are():
    with collecting():
        Pipeline(MemoryCandleStore()).ingest(MINUTE, candles(60))
        assert value("market_candle_close_to_stored_seconds_count") == 0


def test_key_sorts_labels_and_leaves_empty_ones_out():
    assert keyed("name", {}) == "name"
    assert keyed("name", {"b": "2", "a": "1", "c": ""}) == "name{a=1,b=2}"


def test_object_has_times_in_milliseconds_with_the_longest(monkeypatch):
    monkeypatch.setattr("market.metrics_json.INSTALLATION", REGISTRY)
    with collecting():
        metrics.SUBSCRIBE_DURATION.observe(0.25, "ok")
        metrics.SUBSCRIBE_DURATION.observe(0.75, "ok")
        metrics.CATCHUP_SIZE.observe(2000)
        told = metrics_as_object()
    assert told["timers"]["market_ws_subscribe_duration_ms{result=ok}"] == {
        "count": 2.0,
        "total_ms": 1000.0,
        "max_ms": 750.0,
        "avg_ms": 500.0,
    }
    assert told["counters"]["market_ws_catchup_size_sum"] == 2000
    assert list(told["gauges"]) == sorted(told["gauges"])
