"""The freqtrade adapter keeps freqtrade's conventions, and shows nothing before it was known."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.recordings import vector_candles
from trade_canvas_client.facts import Features
from trade_canvas_factors import Engine
from trade_canvas_factors.freqtrade import factor_columns, merge_informative, server_columns
from trade_canvas_factors.heads import (
    pen_direction,
    resistance_above,
    support_below,
    zone_bottom,
    zone_top,
)
from trade_canvas_factors.lookahead import check

SMALL = {"pivot": {"window_major": 5, "window_minor": 2}}
HEADS = {
    "support": ("sr", support_below),
    "resistance": ("sr", resistance_above),
    "top": ("zhongshu", zone_top),
    "bottom": ("zhongshu", zone_bottom),
    "pen": ("pen", pen_direction),
}
COLUMNS = ["feature_event_count", "pen_confirmed_direction", "pivot_major_direction"]
STRATEGY = Path(__file__).parents[2] / "examples" / "freqtrade_strategy.py"


def as_frame(candles):
    """Candles as freqtrade has them."""
    frame = pd.DataFrame(candles)
    date = pd.to_datetime(frame.pop("candle_time"), unit="s", utc=True).dt.as_unit("ms")
    frame.insert(0, "date", date)
    return frame


CANDLES = vector_candles("p2")
FRAME = as_frame(CANDLES)


def hours_of(frame):
    """Candles of an hour that freqtrade would have when those of `frame` have closed."""
    hours = frame.resample("1h", on="date").agg(
        {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    )
    whole = frame.resample("1h", on="date").size() == 12
    return hours[whole].reset_index()


def test_columns_stand_with_the_candle_that_made_them_known():
    found = factor_columns(FRAME, "5m", COLUMNS, parameters=SMALL, heads=HEADS)
    assert list(found.columns) == ["date", *COLUMNS, *HEADS]
    assert found.date.equals(FRAME.date)
    run = Engine("5m", parameters=SMALL).run(FRAME)
    pens = {each.candle_time: each.payload for each in run.events if each.kind == "pen.confirmed"}
    seconds = FRAME.date.astype("int64") // 1000
    known = found.pen_confirmed_direction.notna()
    assert set(seconds[known]) == set(pens)
    assert found.pen_confirmed_direction[known].tolist() == [
        pens[time]["direction"] for time in seconds[known]
    ]
    assert found.feature_event_count.sum() == len(run.events)


def test_heads_are_those_of_each_candle():
    found = factor_columns(FRAME[:600], "5m", [], parameters=SMALL, heads=HEADS)
    engine = Engine("5m", parameters=SMALL, renderers=())
    run = engine.start()
    for row, candle in enumerate(CANDLES[:600]):
        run.step(candle)
        heads = run.heads
        for name, (factor, value) in HEADS.items():
            expected = value(heads[factor], candle) if factor in heads else None
            shown = found[name][row]
            assert shown == expected or (expected is None and np.isnan(shown)), (row, name)
    assert found[list(HEADS)].notna().any().all()
    assert (found.support.dropna() <= FRAME.close[found.support.dropna().index]).all()
    assert (found.resistance.dropna() > FRAME.close[found.resistance.dropna().index]).all()


def test_index_of_the_strategy_s_frame_is_kept():
    moved = FRAME[100:400]
    found = factor_columns(moved, "5m", COLUMNS, parameters=SMALL, heads=HEADS)
    assert found.index.equals(moved.index)
    assert merge_informative(moved, hours_of(moved), "5m", "1h").index.equals(moved.index)


def test_columns_without_a_value_can_be_compared_with_prices():
    found = factor_columns(FRAME[:3], "5m", COLUMNS, heads=HEADS)
    assert not (found.support < FRAME.close[:3]).any()
    assert found.pen_confirmed_direction.isna().all()


def test_hour_is_seen_first_by_the_candle_that_closes_with_it():
    merged = merge_informative(FRAME, hours_of(FRAME), "5m", "1h")
    assert list(merged.columns[:6]) == list(FRAME.columns)
    assert "close_1h" in merged
    row = merged[merged.date == pd.Timestamp("2023-07-25 14:55", tz="UTC")].iloc[0]
    assert row.date_1h == pd.Timestamp("2023-07-25 14:00", tz="UTC")
    before = merged[merged.date == pd.Timestamp("2023-07-25 14:50", tz="UTC")].iloc[0]
    assert before.date_1h == pd.Timestamp("2023-07-25 13:00", tz="UTC")
    known = merged.dropna(subset="date_1h")
    assert (known.date_1h + pd.Timedelta("1h") <= known.date + pd.Timedelta("5min")).all()


def test_merged_columns_are_those_of_freqtrade_itself():
    """The file is what merge_informative_pair of freqtrade 2026.9 returns for the same candles."""
    recorded = pd.read_csv(Path(__file__).parent / "merged_by_freqtrade.csv")
    merged = FRAME.loc[505:624, ["date", "close"]].reset_index(drop=True)
    for timeframe, rule in (("5m", "5min"), ("15m", "15min"), ("1h", "1h"), ("4h", "4h")):
        informative = FRAME.resample(rule, on="date").agg({"close": "last"}).reset_index()
        merged = merge_informative(merged, informative, "5m", timeframe)
    for name in merged.columns[merged.columns.str.startswith("date")]:
        merged[name] = merged[name].astype("datetime64[s, UTC]").astype("int64")
    pd.testing.assert_frame_equal(merged, recorded)


@pytest.mark.parametrize(
    ("informative", "first", "seen_from"),
    [("1M", "2023-07-01", "2023-07-31 23:55"), ("1d~America/New_York", "2023-07-24 04:00", None)],
)
def test_months_and_days_of_zones_are_seen_when_they_have_closed(informative, first, seen_from):
    opens = pd.to_datetime([first], utc=True)
    frame = pd.DataFrame({"date": opens, "close": [1.0]})
    times = pd.date_range("2023-07-20", "2023-08-03", freq="5min", tz="UTC", name="date")
    merged = merge_informative(pd.DataFrame({"date": times}), frame, "5m", informative)
    seen = merged.dropna(subset=f"close_{informative}").date.iloc[0]
    assert seen == pd.Timestamp(seen_from or "2023-07-25 03:55", tz="UTC")


def test_after_a_gap_the_newest_closed_hour_is_seen():
    frame = FRAME.drop(index=range(100, 200)).reset_index(drop=True)
    merged = merge_informative(frame, hours_of(FRAME), "5m", "1h")
    after = merged.loc[100]
    assert after.date == pd.Timestamp("2023-07-22 21:10", tz="UTC")
    assert after.date_1h == pd.Timestamp("2023-07-22 20:00", tz="UTC")


def test_same_timeframe_is_not_moved():
    columns = factor_columns(FRAME[:50], "5m", COLUMNS, parameters=SMALL)
    merged = merge_informative(FRAME[:50], columns, "5m", "5m")
    assert merged.date.equals(merged.date_5m)
    assert merged.feature_event_count_5m.equals(columns.feature_event_count)


@pytest.mark.parametrize(
    ("timeframe", "informative", "message"),
    [("1h", "5m", "5m is shorter than 1h"), ("5m", "1h", "has close_1h already")],
)
def test_frames_that_do_not_fit_are_refused(timeframe, informative, message):
    frame = FRAME[:50].assign(close_1h=1.0)
    with pytest.raises(ValueError, match=message):
        merge_informative(frame, hours_of(FRAME[:50]), timeframe, informative)


def test_columns_of_a_server_are_laid_on_the_strategy_s_candles():
    served = Engine("5m", parameters=SMALL).run(CANDLES[:200]).feature_columns(COLUMNS)
    features = pd.DataFrame(served).drop(index=[20, 21])
    found = server_columns(FRAME[10:220], features)
    own = factor_columns(FRAME[:200], "5m", COLUMNS, parameters=SMALL)
    kept = [row for row in range(10, 200) if row not in (20, 21)]
    pd.testing.assert_frame_equal(found.loc[kept], own.loc[kept], check_dtype=False)
    assert found.loc[[20, 21, *range(200, 220)], COLUMNS].isna().all(axis=None)
    assert len(found) == 210


def test_columns_of_the_python_client_are_taken_as_they_are():
    computed = Engine("5m", parameters=SMALL).run(CANDLES[:99]).feature_columns(COLUMNS)
    times = computed.pop("candle_time")
    served = Features("binance:spot:ETH/USDT:5m", "g", 0, times[-1], times, computed)
    own = factor_columns(FRAME[:99], "5m", COLUMNS, parameters=SMALL)
    found = server_columns(FRAME[:99], served.to_pandas())
    pd.testing.assert_frame_equal(found, own, check_dtype=False)


def test_server_columns_on_an_index_of_dates_are_the_same():
    features = pd.DataFrame(Engine("5m", parameters=SMALL).run(CANDLES[:99]).feature_columns())
    dates = pd.DatetimeIndex(pd.to_datetime(features.candle_time, unit="s", utc=True))
    by_date = features.drop(columns="candle_time").set_index(dates)
    by_date.index.name = None
    pd.testing.assert_frame_equal(
        server_columns(FRAME[:99], features), server_columns(FRAME[:99], by_date)
    )


def test_server_columns_with_a_time_twice_are_refused():
    features = pd.DataFrame({"candle_time": [CANDLES[0].candle_time] * 2, "pen": [1, 2]})
    with pytest.raises(ValueError, match="duplicate"):
        server_columns(FRAME[:9], features)


@pytest.fixture
def strategy(monkeypatch):
    """The example, with a stand-in for freqtrade's base class."""
    freqtrade, module = ModuleType("freqtrade"), ModuleType("freqtrade.strategy")
    module.IStrategy = object
    monkeypatch.setitem(sys.modules, "freqtrade", freqtrade)
    monkeypatch.setitem(sys.modules, "freqtrade.strategy", module)
    spec = importlib.util.spec_from_file_location("freqtrade_strategy", STRATEGY)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded.TradeCanvasLevels()


def backtested(strategy, frame):
    """The strategy's frame, as freqtrade's analysis makes it."""
    strategy.dp = SimpleNamespace(
        current_whitelist=lambda: ["ETH/USDT"],
        get_pair_dataframe=lambda pair, timeframe: hours_of(frame),
    )
    metadata = {"pair": strategy.informative_pairs()[0][0]}
    indicators = strategy.populate_indicators(frame.copy(), metadata)
    entries = strategy.populate_entry_trend(indicators, metadata)
    return strategy.populate_exit_trend(entries, metadata)


def test_strategy_gets_its_columns_and_trades(strategy):
    found = backtested(strategy, FRAME)
    assert found.date.equals(FRAME.date)
    assert {"pen_confirmed", "support_1h", "resistance_1h", "pen_1h"} <= set(found.columns)
    assert 0 < found.enter_long.sum() < len(FRAME) / 4
    assert 0 < found.exit_long.sum() < len(FRAME)
    bought = found[found.enter_long == 1]
    assert (bought.close < bought.support_1h * 1.01).all()


def test_strategy_does_not_look_ahead(strategy):
    report = check(lambda frame: backtested(strategy, frame), FRAME[:700], every=35, warm_up=13)
    assert not report.looks_ahead, report
    assert report.values > 700


def test_strategy_that_merges_too_early_is_found(strategy, monkeypatch):
    names = vars(sys.modules[merge_informative.__module__])
    real = merge_informative

    def too_early(dataframe, informative, timeframe, informative_timeframe):
        early = informative.assign(date=informative.date - pd.Timedelta("1h"))
        return real(dataframe, early, timeframe, informative_timeframe)

    assert names["merge_informative"] is real
    monkeypatch.setitem(
        type(strategy).populate_indicators.__globals__, "merge_informative", too_early
    )
    report = check(lambda frame: backtested(strategy, frame), FRAME[:200], every=1, warm_up=80)
    assert report.looks_ahead


def test_adapter_columns_do_not_look_ahead():
    def columns(frame):
        return factor_columns(frame, "5m", COLUMNS, parameters=SMALL, heads=HEADS)

    report = check(columns, FRAME[:100])
    assert not report.looks_ahead, report
    assert report.values > 100
