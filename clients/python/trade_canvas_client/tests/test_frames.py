"""Frames of pandas, polars and Arrow: the same times and values, with and without rows."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from trade_canvas_client import Candles, Events, FactorEvent, Features
from trade_canvas_client.columns import Columns
from trade_canvas_client.place import Place, place_of
from trade_canvas_client.times import first_second, last_second, shortest_step_of, step_of

FIRST = 1_780_000_020
TIMES = [FIRST, FIRST + 60, FIRST + 180]
MOMENTS = [datetime.fromtimestamp(time, UTC) for time in TIMES]
VALUES = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.5, 0.25, 0.1], [2.0, 3.0, 4.0], [9.0, 8.0, 7.0]]


def candles(times=TIMES):
    columns = Columns(times, [column[: len(times)] for column in VALUES])
    return Candles("a:spot:B/C:1m", "g", 3, columns, start=FIRST - 60)


def events(count=2):
    rows = [
        FactorEvent(7, TIMES[0], "pen", "pen.confirmed", "confirmed:1", {"direction": 1}),
        FactorEvent(9, TIMES[2], "zhongshu", "zhongshu.dead", "dead:1", {"zg": 2.5}),
    ]
    return Events("a:spot:B/C:1m", "g", 3, TIMES[2], tuple(rows[:count]))


FEATURES = Features("a:spot:B/C:1m", "g", 3, TIMES[2], TIMES, {"n": [0, 1, 1], "p": [None, 2.5, 3]})


@pytest.mark.parametrize("count", [3, 0])
def test_candles_as_frames(count):
    read = candles(TIMES[:count])
    frame, polar, table = read.to_pandas(), read.to_polars(), read.to_arrow()
    assert frame.index.dtype == "datetime64[ns, UTC]" and frame.index.name == "time"
    assert list(frame.index.to_pydatetime()) == MOMENTS[:count]
    assert frame["candle_time"].tolist() == TIMES[:count]
    assert {str(each) for each in frame.dtypes} == {"int64", "float64"}
    assert frame["close"].tolist() == [each.close for each in read] == VALUES[3][:count]
    assert polar["time"].to_list() == table["time"].to_pylist() == MOMENTS[:count]
    assert polar.columns == table.column_names == ["time", *frame.columns]
    assert polar["low"].to_list() == table["low"].to_pylist() == VALUES[2][:count]
    assert polar.schema["time"] == pl.Datetime("us", "UTC")
    assert table.schema.field("time").type == pa.timestamp("us", "UTC")


def test_frame_shares_nothing_with_the_candles():
    read = candles()
    frame = read.to_pandas()
    frame.loc[:, "close"] = 0.0
    assert [each.close for each in read] == VALUES[3]


@pytest.mark.parametrize("count", [2, 0])
def test_events_as_frames(count):
    read = events(count)
    frame, polar, table = read.to_pandas(), read.to_polars(), read.to_arrow()
    assert frame["kind"].tolist() == [each.kind for each in read]
    assert frame["id"].dtype == "int64"
    assert frame["payload"].tolist() == [{"direction": 1}, {"zg": 2.5}][:count]
    assert polar["payload"].to_list() == ['{"direction": 1}', '{"zg": 2.5}'][:count]
    assert polar["time"].to_list() == table["time"].to_pylist() == [MOMENTS[0], MOMENTS[2]][:count]
    assert table["event_key"].to_pylist() == [each.event_key for each in read]


def test_events_join_candles():
    joined = candles().to_pandas().join(events().to_pandas()[["kind"]])
    assert joined["kind"].fillna("").tolist() == ["pen.confirmed", "", "zhongshu.dead"]


def test_features_as_frames():
    frame, polar, table = FEATURES.to_pandas(), FEATURES.to_polars(), FEATURES.to_arrow()
    assert frame["n"].tolist() == polar["n"].to_list() == table["n"].to_pylist() == [0, 1, 1]
    assert polar["p"].to_list() == table["p"].to_pylist() == [None, 2.5, 3.0]
    assert pd.isna(frame["p"].iloc[0]) and frame["p"].tolist()[1:] == [2.5, 3.0]
    assert FEATURES.rows()[1] == {"candle_time": TIMES[1], "n": 1, "p": 2.5}


def test_frames_name_the_extra_that_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(ImportError, match=r"trade-canvas-client\[polars\]"):
        candles().to_polars()


def test_candles_and_their_frame_are_a_place_to_follow_from():
    place = Place(TIMES[2], FIRST - 60, 3, "g")
    assert place_of(candles()) == place_of(candles().to_pandas()) == place
    assert place_of(candles([])) == Place(FIRST - 61, FIRST - 60, 3, "g")
    assert place_of(FIRST, epoch=2) == Place(FIRST, None, 2)
    assert place_of(None) == Place(None)
    with pytest.raises(ValueError, match="attrs"):
        place_of(pd.DataFrame({"candle_time": TIMES}))


@pytest.mark.parametrize(
    ("moment", "first", "last"),
    [
        (60, 60, 60),
        (60.5, 61, 60),
        ("1970-01-01", 0, 0),
        ("1970-01-01T00:01:00+01:00", -3540, -3540),
        (date(1970, 1, 2), 86400, 86400),
        (datetime(1970, 1, 1, 0, 1), 60, 60),
        (pd.Timestamp("1970-01-01 00:01", tz="UTC"), 60, 60),
    ],
)
def test_times_are_unix_seconds(moment, first, last):
    assert (first_second(moment), last_second(moment)) == (first, last)


@pytest.mark.parametrize("moment", ["yesterday", True, 1_780_000_000_000, float("nan")])
def test_what_is_no_time_is_refused(moment):
    with pytest.raises(ValueError):
        first_second(moment)


def test_step_of_a_series():
    names = ("1s", "15m", "4h", "1d~16h", "1w")
    assert [step_of(f"a:spot:B/C:{each}") for each in names] == [1, 900, 14400, 86400, 604800]
    for wrong in ("BTC/USDT", "a:spot:B/C:0m", "a:spot:B/C:5M", ""):
        with pytest.raises(ValueError):
            step_of(wrong)


def test_steps_of_candles_whose_length_changes_are_the_shortest_and_the_longest():
    day, hour = 86_400, 3_600
    for name, shortest, longest in (
        ("1M", 28 * day, 31 * day),
        ("12M", 365 * day, 366 * day),
        ("1d~America/New_York", 21 * hour, 27 * hour),
        ("3M~Asia/Shanghai", 90 * day - 3 * hour, 92 * day + 3 * hour),
        ("1d~16h", day, day),
    ):
        series = f"a:spot:B/C:{name}"
        assert (shortest_step_of(series), step_of(series)) == (shortest, longest)
