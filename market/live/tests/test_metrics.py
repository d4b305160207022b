"""Instruments of the WebSocket side count a frame once for all its watchers."""

from __future__ import annotations

from market.live import metrics
from market.live.frames import Frame
from market.metrics_registry import REGISTRY, collecting
from market.tests.builders import MINUTE


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels)


def test_frame_is_counted_once_for_all_its_watchers():
    frame = Frame.of({"type": "gap"}, {"type": "candle_closed"}, {"type": "candle_closed"})
    with collecting():
        metrics.candles_delivered(MINUTE, 2, 1000)
        metrics.frame_sent(frame.types, len(frame.data), 1000)
        metrics.frame_sent(frame.types, len(frame.data), 0)
        assert value("market_ws_payloads_total") == 1
        assert value("market_ws_frames_total", type="candle_closed") == 2000
        assert value("market_ws_frames_total", type="gap") == 1000
        assert value("market_ws_frame_bytes_total") == 1000 * len(frame.data)
        assert value("market_ws_candles_delivered_total", series_id=str(MINUTE)) == 2000
