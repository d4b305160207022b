"""Functions from candles to columns that look ahead, each in another way."""

from __future__ import annotations

import numpy as np
import pandas as pd

HIGHEST = {"high": 0.0}
LAST_CLOSE = {"close": None}
KEPT_MEAN: list[float] = []
ROWS_SEEN: list[float] = []


def next_close(frame):
    return frame.close.shift(-1)


def centred_mean(frame):
    return frame.close.rolling(5, center=True).mean()


def standardised(frame):
    return (frame.close - frame.close.mean()) / (frame.close.std() or 1)


def between_lowest_and_highest(frame):
    return (frame.close - frame.low.min()) / (frame.high.max() - frame.low.min())


def resampled_to_the_left(frame):
    hourly = frame.set_index("date").close.resample("30min", label="left").last()
    return hourly.reindex(frame.date, method="ffill").to_numpy()


def longer_timeframe_before_it_closes(frame):
    opens = frame.date.dt.floor("15min")
    bars = frame.groupby(opens).agg(high_15m=("high", "max")).reset_index()
    return pd.merge_asof(frame, bars.rename(columns={"date": "opens"}), left_on="date",
                         right_on="opens")  # fmt: skip


def filled_backwards(frame):
    return frame.close.where(frame.index % 10 == 9).bfill()


def highest_to_come(frame):
    return frame.high[::-1].rolling(5, min_periods=1).max()[::-1]


def sorted_by_what_comes(frame):
    place = pd.Series(range(len(frame)), index=frame.sort_values("close", kind="stable").index)
    return place.sort_index()


def smoothed_from_the_end(frame):
    return frame.close[::-1].ewm(span=5).mean()[::-1]


def pivot_at_its_own_time(frame):
    return frame.high == frame.high.rolling(7, center=True, min_periods=4).max()


def highest_of_all_runs(frame):
    HIGHEST["high"] = max(HIGHEST["high"], frame.high.max())
    return frame.close / HIGHEST["high"]


def last_close_of_the_run_before(frame):
    before, LAST_CLOSE["close"] = LAST_CLOSE["close"], frame.close.iloc[-1]
    return frame.close.shift(1, fill_value=before or frame.close.iloc[0])


def mean_that_is_kept(frame):
    if not KEPT_MEAN:
        KEPT_MEAN.append(frame.close.mean())
    return frame.close - KEPT_MEAN[0]


def rows_of_all_runs(frame):
    ROWS_SEEN.extend(frame.close)
    return [np.mean(ROWS_SEEN)] * len(frame)


def detrended(frame):
    steps = np.arange(len(frame))
    return frame.close - np.polyval(np.polyfit(steps, frame.close, min(1, len(frame) - 1)), steps)


def interpolated(frame):
    return frame.close.where(frame.index % 5 == 0).interpolate(limit_area="inside")


def split_at_quantiles(frame):
    return pd.qcut(frame.close, 4, labels=False, duplicates="drop")


def without_high_frequencies(frame):
    spectrum = np.fft.rfft(frame.close)
    spectrum[len(spectrum) // 4 + 1 :] = 0
    return np.fft.irfft(spectrum, len(frame))


def label_of_the_return(frame):
    return np.sign(frame.close.shift(-5) / frame.close - 1)


def volume_left(frame):
    return frame.volume[::-1].cumsum()[::-1]


def columns_by_what_comes(frame):
    return pd.get_dummies((frame.close // 5).astype(int))


def convolved(frame):
    return np.convolve(frame.close, np.ones(3) / 3, mode="full")[1 : len(frame) + 1]


def rolled_over(frame):
    return np.roll(frame.close, -1)


def high_of_the_whole_day(frame):
    return frame.groupby(frame.date.dt.date).high.transform("max")


def newest_close_everywhere(frame):
    return frame.assign(reference=frame.close.iloc[-1])


def zigzag_whose_last_leg_moves(frame):
    turns, up = [0], True
    for row, price in enumerate(frame.close):
        last = frame.close.iloc[turns[-1]]
        if (price >= last) if up else (price <= last):
            turns[-1] = row
        elif abs(price - last) > 2:
            turns.append(row)
            up = not up
    return frame.close.where(frame.index.isin(turns))


def rows_that_lead_to_a_rise(frame):
    return frame[frame.close.shift(-3) > frame.close]


PLANTED = [
    value for value in list(globals().values())
    if getattr(value, "__module__", None) == __name__ and callable(value)
]  # fmt: skip
