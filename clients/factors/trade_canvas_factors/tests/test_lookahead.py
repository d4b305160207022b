"""Every planted look-ahead is found, and nothing honest is accused."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import polars as pl
import pytest

from factors.domain import pivot
from factors.domain.all_factors import FACTORS
from factors.domain.graph import FactorSpec, Feature
from factors.domain.values import Event, Outcome
from tests.recordings import vector_candles
from trade_canvas_factors.engine import Engine
from trade_canvas_factors.freqtrade import merge_informative
from trade_canvas_factors.lookahead import (
    SMALL,
    check,
    check_factors,
    fact_columns,
    invented_candles,
    main,
)
from trade_canvas_factors.prefixes import PrefixError, compare
from trade_canvas_factors.tests.honest import HONEST
from trade_canvas_factors.tests.planted import PLANTED

CANDLES = invented_candles(80)
FRAME = pd.DataFrame(CANDLES).assign(
    date=lambda frame: pd.to_datetime(frame.candle_time, unit="s", utc=True)
)


def named(function):
    return f"{function.__module__}:{function.__name__}"


def test_there_are_enough_functions_to_tell():
    assert len(PLANTED) >= 20
    assert len(HONEST) >= 20


@pytest.mark.parametrize("function", PLANTED, ids=lambda each: each.__name__)
def test_planted_look_ahead_is_found(function):
    report = check(named(function), FRAME)
    assert report.looks_ahead, report


@pytest.mark.parametrize("function", HONEST, ids=lambda each: each.__name__)
def test_honest_function_is_not_accused(function):
    report = check(named(function), FRAME)
    assert not report.looks_ahead, report
    assert report.values > 0


def test_report_names_the_first_candle_and_column():
    report = check(lambda frame: frame.assign(late=frame.close.shift(-2)), FRAME)
    (difference,) = report.differences
    assert (difference.column, difference.row, difference.candle_time) == (
        "late", 0, CANDLES[0].candle_time,
    )  # fmt: skip
    assert (difference.before, difference.after) == (2, 3)
    assert (difference.known, difference.later) == (None, CANDLES[2].close)
    assert "late at 2023-11-14 22:15:00 (candle 0): nothing with 2 candles" in str(report)


def test_one_late_candle_among_all_is_found_by_comparing_every_prefix():
    def once(frame):
        spoilt = frame.close.copy()
        if len(frame) > 50:
            spoilt.iloc[49] = frame.close.iloc[50] + 100
        return spoilt if len(frame) == 51 else frame.close

    (difference,) = check(once, FRAME).differences
    assert (difference.row, difference.after) == (49, 51)


def test_polars_frames_are_checked_too():
    frame = pl.DataFrame(FRAME.drop(columns="date").to_dict("list"))
    assert not check(lambda given: given["close"].rolling_mean(3), frame).looks_ahead
    assert check(lambda given: given.with_columns(pl.col("close").shift(-1)), frame).looks_ahead


def test_rounding_of_sums_in_another_order_is_no_look_ahead():
    total = {"order": 1}

    def sums(frame):
        total["order"] *= -1
        return [
            sum(list(frame.close[: row + 1] / 3)[:: total["order"]], 0.1)
            for row in range(len(frame))
        ]

    assert not check(sums, FRAME[:30]).looks_ahead
    assert check(sums, FRAME[:30], tolerance=0).looks_ahead


def test_every_and_warm_up_choose_the_prefixes():
    lengths = []

    def seen(length):
        lengths.append(length)
        return {"value": [1] * length}

    compare(seen, range(10), every=3, warm_up=4)
    assert lengths == [6, 9, 10, 10]
    with pytest.raises(ValueError, match="at least 1"):
        compare(seen, range(10), every=0)


def test_function_that_fails_on_a_prefix_is_named():
    def needs_ten(frame):
        return frame.close - frame.close.iloc[9]

    with pytest.raises(PrefixError, match="first 1 candles"):
        check(needs_ten, FRAME)
    assert not check(needs_ten, FRAME, warm_up=10).looks_ahead


def test_function_that_returns_other_rows_is_refused():
    with pytest.raises(PrefixError, match="3 rows for 1 candles"):
        check(lambda frame: [1, 2, 3], FRAME)


def test_built_in_factors_do_not_look_ahead():
    assert_quiet(vector_candles("p1")[:120], "1m", SMALL)


def test_built_in_factors_do_not_look_ahead_over_gaps_and_equal_prices():
    assert_quiet(invented_candles(120), "5m", SMALL)


def assert_quiet(candles, timeframe, parameters):
    report = check_factors(candles, timeframe, parameters=parameters)
    assert not report.looks_ahead, report
    shown = fact_columns(Engine(timeframe, parameters=parameters).run(candles))
    for column in (
        "pivot facts",
        "pen facts",
        "pen head",
        "anchor facts",
        "sr facts",
        "sr drawings",
    ):
        assert any(shown[column]), column


@pytest.mark.prove
def test_built_in_factors_do_not_look_ahead_over_a_long_series():
    report = check_factors(vector_candles("p2"), "5m", every=29)
    assert not report.looks_ahead, report


def pivot_dated_back(state, candle, upstream):
    """The pivots, dated with the candle of the pivot instead of the one that confirmed it."""
    outcome = pivot.step(state, candle, upstream)
    if outcome is None:
        return None
    return Outcome(
        [each._replace(candle_time=each.payload["pivot_time"]) for each in outcome.events]
    )


def factor(step, initial=lambda setup: {}):
    return FactorSpec(
        name="planted",
        version=1,
        label="Planted",
        features=(Feature("planted.fact", "Fact"),),
        initial=initial,
        step=step,
        freeze=lambda state: state,
        thaw=lambda data, setup, past: data,
        read=lambda history, head: None,
    )


def fact(candle, payload):
    return Outcome([Event("planted", "planted.fact", candle.candle_time, "once", payload)])


def growing(state, candle, _):
    """A fact whose payload goes on changing."""
    if "payload" in state:
        state["payload"]["high"] = max(state["payload"]["high"], candle.high)
        return None
    state["payload"] = {"high": candle.high}
    return fact(candle, state["payload"])


SEEN: list[float] = []


def remembering(state, candle, _):
    """A fact that knows the highest price of earlier runs."""
    SEEN.append(candle.high)
    return fact(candle, {"highest": max(SEEN)})


@pytest.mark.parametrize("step", [growing, remembering], ids=lambda each: each.__name__)
def test_factor_that_changes_the_past_is_found(step):
    report = check_factors(CANDLES, "5m", factors=[factor(step)])
    assert "planted facts" in [each.column for each in report.differences]


def test_pivot_dated_with_its_own_time_is_found():
    dated_back = replace(pivot.SPEC, step=pivot_dated_back)
    report = check_factors(CANDLES, "5m", factors=[dated_back], parameters=SMALL)
    assert {each.column for each in report.differences} >= {
        "pivot facts",
        "pivot_major_count",
    }


def test_factor_of_one_s_own_that_is_honest_is_not_accused():
    def rising(state, candle, _):
        is_new, state["high"] = candle.high > state.get("high", 0), candle.high
        return Outcome((), {"rising": is_new})

    report = check_factors(CANDLES, "5m", factors=[*FACTORS, factor(rising)], parameters=SMALL)
    assert not report.looks_ahead, report


def test_informative_candle_that_is_still_open_is_found():
    def with_open_hour(frame):
        bars = frame.resample("15min", on="date").agg({"high": "max"}).dropna().reset_index()
        early = bars.assign(date=bars.date - pd.Timedelta(minutes=10))
        return merge_informative(frame, early, "5m", "15m")

    assert check(with_open_hour, FRAME).looks_ahead


@pytest.mark.parametrize(
    ("arguments", "status", "shown"),
    [
        ([], 0, "built-in factors: no look-ahead"),
        (["factors.domain.pivot:SPEC", "factors.domain.all_factors:FACTORS", "--every", "25"], 0,
         "factors.domain.pivot:SPEC: no look-ahead"),
        (["trade_canvas_factors.tests.planted:next_close"], 1, "value at 2023-11-14 22:15:00"),
        (["trade_canvas_factors.tests.honest:mean", "--every", "50"], 0, "no look-ahead"),
    ],
)  # fmt: skip
def test_command_reports_and_ends_with_a_status(capsys, monkeypatch, arguments, status, shown):
    monkeypatch.setattr("trade_canvas_factors.lookahead.INVENTED", 120)
    assert main(arguments) == status
    assert shown in capsys.readouterr().out


def test_command_reads_a_file_and_finds_its_timeframe(capsys, tmp_path):
    file = tmp_path / "candles.csv"
    FRAME.drop(columns="date").to_csv(file, index=False)
    assert main(["--candles", str(file), "--limit", "60"]) == 0
    assert "no look-ahead" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--candles", "nowhere.csv"],
        ["no_such_module:f"],
        ["math:no_such_name"],
        ["math:pi"],
        ["--every", "0"],
        ["--timeframe", "5x"],
    ],
)
def test_command_explains_what_it_cannot_use(capsys, arguments):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("lookahead: ")
