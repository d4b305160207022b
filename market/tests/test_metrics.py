"""Instruments: nothing while they are off, few labels, and what the pipeline counts."""

from __future__ import annotations

import contextlib

import pytest

from market import metrics
from market.domain.series import SeriesId
from market.domain.store import Outpaced
from market.metrics_registry import OTHER, REGISTRY, SeriesLabels, collecting
from market.pipeline import Batch, Pipeline, PipelineError
from market.stores.memory import MemoryCandleStore
from market.tests.builders import MINUTE, candles


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels)


def test_nothing_is_counted_while_collecting_is_off():
    with collecting(False):
        metrics.NOTICES.inc(1, "candle.revised")
        metrics.POOL_SIZE.set(5)
        metrics.POOL_WAIT.observe(1.0)
        metrics.candles_stored(MINUTE, fresh=1, past=0, head=60)
        assert value("market_notices_total", event="candle.revised") is None
        assert value("market_database_pool_size") == 0
        assert value("market_database_wait_seconds_count") == 0
        assert value("market_candles_stored_total", series_id=str(MINUTE), kind="fresh") is None


def test_series_beyond_the_limit_share_one_label():
    labels = SeriesLabels(most=2)
    first, second, third = (SeriesId.parse(f"sim:spot:{each}/USDT:1m") for each in "ABC")
    assert [labels.admit(first), labels.admit(second)] == [str(first), str(second)]
    assert labels.admit(third) == OTHER
    assert labels.admit(first) == str(first)


def test_pipeline_counts_committed_candles_and_the_failed_step():
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


class Outpacing:
    """A stage that fails for one series, and is outpaced in its first applications to others."""

    name = "outpacing"

    def __init__(self, times, fails_for=None):
        self.left = times
        self.fails_for = fails_for

    def apply(self, writer, change):
        if writer.series == self.fails_for:
            raise ValueError
        if self.left:
            self.left -= 1
            raise Outpaced
        return ()


def failures():
    return value("market_pipeline_failures_total", step=Outpacing.name) or 0


@pytest.mark.parametrize(("outpaced", "failed"), [(0, 0), (1, 0), (2, 0), (3, 1)])
def test_transaction_that_is_repeated_with_success_is_no_failure(monkeypatch, outpaced, failed):
    monkeypatch.setattr("market.pipeline.PAUSES_S", (0.0, 0.0))
    pipeline = Pipeline(MemoryCandleStore(), [Outpacing(outpaced)])
    with collecting():
        before = failures()
        with pytest.raises(PipelineError) if failed else contextlib.nullcontext():
            pipeline.ingest(MINUTE, candles(60))
        assert failures() - before == failed


@pytest.mark.parametrize("outpaced", [0, 1])
def test_series_of_a_group_that_fails_counts_once(outpaced):
    """The group is halved where one of its series is outpaced."""
    first, *others = (SeriesId.parse(f"sim:spot:{each}/USDT:1m") for each in "ABC")
    batches = [Batch(series, candles(60)) for series in (first, *others)]
    pipeline = Pipeline(MemoryCandleStore(), [Outpacing(outpaced, fails_for=first)])
    with collecting():
        before = failures()
        outcomes = pipeline.ingest_group(batches)
        assert [isinstance(each, PipelineError) for each in outcomes] == [True, False, False]
        assert failures() - before == 1


def test_history_does_not_count_as_a_late_candle():
    with collecting():
        Pipeline(MemoryCandleStore()).ingest(MINUTE, candles(60))
        assert value("market_candle_close_to_stored_seconds_count") == 0
