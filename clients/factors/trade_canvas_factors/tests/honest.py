"""Functions from candles to columns that use nothing but the past."""

from __future__ import annotations

import numpy as np
import pandas as pd

from trade_canvas_factors.freqtrade import merge_informative


def close_before(frame):
    return frame.close.shift(1)


def change(frame):
    return frame.close.pct_change()


def mean(frame):
    return frame.close.rolling(5).mean()


def bands(frame):
    middle, width = frame.close.rolling(10).mean(), frame.close.rolling(10).std()
    return pd.DataFrame({"upper": middle + 2 * width, "lower": middle - 2 * width})


def exponential(frame):
    return frame.close.ewm(span=10, adjust=False).mean()


def exponential_with_weights(frame):
    return frame.close.ewm(span=10, adjust=True).mean()


def macd(frame):
    line = frame.close.ewm(span=6).mean() - frame.close.ewm(span=13).mean()
    return frame.assign(macd=line, signal=line.ewm(span=4).mean())


def rsi(frame):
    moves = frame.close.diff()
    gains = moves.clip(lower=0).ewm(alpha=1 / 7).mean()
    losses = -moves.clip(upper=0).ewm(alpha=1 / 7).mean()
    return 100 - 100 / (1 + gains / losses)


def true_range(frame):
    before = frame.close.shift(1)
    ranges = [frame.high - frame.low, (frame.high - before).abs(), (frame.low - before).abs()]
    return pd.concat(ranges, axis=1).max(axis=1).rolling(7).mean()


def standardised_so_far(frame):
    return (frame.close - frame.close.expanding().mean()) / frame.close.expanding(2).std()


def highest_so_far(frame):
    return frame.high.cummax()


def highest_of_the_day_so_far(frame):
    return frame.groupby(frame.date.dt.date).high.cummax()


def average_price_of_the_day(frame):
    days = frame.date.dt.date
    turnover = (frame.close * frame.volume).groupby(days).cumsum()
    return turnover / frame.volume.groupby(days).cumsum()


def longer_timeframe_when_closed(frame):
    bars = frame.resample("15min", on="date").agg({"close": "last", "high": "max"})
    return merge_informative(frame, bars.dropna().reset_index(), "5m", "15m")


def pivot_when_confirmed(frame):
    window = frame.high.rolling(7)
    return (frame.high.shift(3) == window.max()) & window.max().notna()


def filled_forwards(frame):
    return frame.close.where(frame.index % 10 == 9).ffill()


def quantile(frame):
    return frame.close.rolling(20, min_periods=5).quantile(0.75)


def rank(frame):
    return frame.close.rolling(10).rank(pct=True)


def crossings(frame):
    above = frame.close > frame.close.rolling(5).mean()
    return np.where(above & ~above.shift(1, fill_value=False), "up", "")


def hour(frame):
    return frame.date.dt.hour


def state_machine(frame):
    position, found = 0, []
    for close, before in zip(frame.close, frame.close.shift(1), strict=True):
        position = 1 if close > before else 0 if close < before else position
        found.append(position)
    return found


def correlation(frame):
    return frame.close.rolling(10).corr(frame.volume)


def convolved_with_the_past(frame):
    return np.convolve(frame.close, np.ones(3) / 3, mode="full")[: len(frame)]


def rows_without_gaps(frame):
    return frame.assign(mean=frame.close.rolling(5).mean()).dropna()


def changes_its_frame(frame):
    frame["spread"] = frame.high - frame.low
    frame.loc[:, "close"] = 0.0
    return frame


HONEST = [
    value for value in list(globals().values())
    if getattr(value, "__module__", None) == __name__ and callable(value)
]  # fmt: skip
