"""Read-only columns for a freqtrade strategy: factors of its own candles, or of a server's.

freqtrade's frames have a row a candle, with its open time in `date` (UTC). The columns follow its
conventions: a row holds what is known when its candle has closed, and columns of a longer timeframe
end in it (``pen_confirmed_count_1h``). It needs pandas, and not freqtrade. Nothing is ever sent.
"""

from __future__ import annotations

import pandas as pd

from market.domain.timeframe import Timeframe

DATE = "date"


def merge_informative(
    dataframe: pd.DataFrame, informative: pd.DataFrame, timeframe: str, informative_timeframe: str
) -> pd.DataFrame:
    """Columns of a longer (or the same) timeframe beside a strategy's candles.

    A row gets those of the newest informative candle that has closed when the row's own candle
    closes: of an hour from 14:00 the 5-minute candle from 14:55 is the first to know. All columns
    of `informative`, `date` too, get the timeframe as an ending. Raises ValueError for a shorter
    timeframe.
    """
    own, other = Timeframe.parse(timeframe), Timeframe.parse(informative_timeframe)
    if other.seconds < own.seconds:
        raise ValueError(f"{other} is shorter than {own}: its candles don't fit into rows")
    right = informative.add_suffix(f"_{informative_timeframe}")
    date = f"{DATE}_{informative_timeframe}"
    taken = [name for name in right.columns if name in dataframe.columns]
    if taken:
        raise ValueError(f"the dataframe has {', '.join(taken)} already")
    closes = "_informative_closes"
    merged = pd.merge_asof(
        dataframe.assign(**{closes: dataframe[DATE] + pd.Timedelta(seconds=own.seconds)}),
        right.assign(**{closes: right[date] + pd.Timedelta(seconds=other.seconds)}),
        on=closes,
    )
    merged.index = dataframe.index
    return merged.drop(columns=closes)
