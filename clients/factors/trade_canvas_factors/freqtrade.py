"""Read-only columns for a freqtrade strategy: factors of its own candles, or of a server's.

freqtrade's frames have a row a candle, with its open time in `date` (UTC). The columns follow its
conventions: a row holds what is known when its candle has closed, and columns of a longer timeframe
end in it (``pen_confirmed_count_1h``). It needs pandas, and not freqtrade. Nothing is ever sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from factors.domain.all_factors import FACTORS
from factors.domain.graph import FactorSpec
from market.domain.timeframe import Timeframe
from trade_canvas_factors.candles import times_of
from trade_canvas_factors.engine import Engine, HeadValue

DATE = "date"
CANDLE_TIME = "candle_time"


def factor_columns(
    dataframe: pd.DataFrame,
    timeframe: str,
    columns: Sequence[str],
    *,
    heads: Mapping[str, tuple[str, HeadValue]] | None = None,
    parameters: Mapping[str, Any] | None = None,
    factors: Iterable[FactorSpec] = FACTORS,
) -> pd.DataFrame:
    """Columns of factors for a strategy's candles: `date` and a row for each row of `dataframe`.

    `columns` are feature columns, such as ``pen_confirmed_direction``. `heads` are further columns
    of a factor's head: ``{"support": ("sr", support_below)}``. All are computed in this process
    from `dataframe` alone. Raises CandlesError for impossible candles.
    """
    run = Engine(timeframe, parameters=parameters, factors=factors, renderers=()).run(dataframe)
    found = run.feature_columns(columns)
    for name, (factor, value) in (heads or {}).items():
        found[name] = run.head_column(factor, value)
    del found[CANDLE_TIME]
    return _beside(dataframe, found)


def server_columns(dataframe: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    """Columns that a server computed, laid on a strategy's candles by their time.

    `features` has a row a candle, as `GET /api/factor/features` and the Python client return them:
    open times in `candle_time` or in an index of dates. A candle that the server did not have gets
    no values. Raises ValueError for two rows of one time.
    """
    times = times_of(features)
    columns = features.drop(columns=[CANDLE_TIME, DATE], errors="ignore")
    columns.index = pd.Index(times)
    # The candles of a frame that ends with an open one have no row there: never the row before.
    laid = columns.reindex(times_of(dataframe))
    return _beside(dataframe, {str(name): laid[name].to_list() for name in laid.columns})


def merge_informative(
    dataframe: pd.DataFrame, informative: pd.DataFrame, timeframe: str, informative_timeframe: str
) -> pd.DataFrame:
    """Columns of a longer (or the same) timeframe beside a strategy's candles.

    A row gets those of the newest informative candle that has closed when the row's own candle
    closes: of an hour from 14:00 the 5-minute candle from 14:55 is the first to know. All columns
    of `informative`, `date` too, get the timeframe as an ending. Raises ValueError for a shorter
    timeframe, and for columns that are there already.
    """
    own, other = Timeframe.parse(timeframe), Timeframe.parse(informative_timeframe)
    if other.seconds < own.seconds:
        raise ValueError(f"{other} is shorter than {own}: several of its candles fall into one row")
    right = informative.add_suffix(f"_{informative_timeframe}")
    taken = [name for name in right.columns if name in dataframe.columns]
    if taken:
        raise ValueError(f"the dataframe has {', '.join(taken)} already")
    date, closes = f"{DATE}_{informative_timeframe}", "_closes"
    merged = pd.merge_asof(
        dataframe.assign(**{closes: _closes(dataframe[DATE], own)}),
        right.assign(**{closes: _closes(right[date], other)}),
        on=closes,
    )
    merged.index = dataframe.index
    return merged.drop(columns=closes)


def _closes(opens: pd.Series[Any], timeframe: Timeframe) -> pd.Series[Any]:
    """When candles close; freqtrade's frames have times in different units."""
    if timeframe.calendar is not None:
        times = [timeframe.close_of(int(each.timestamp())) for each in opens]
        closed = pd.to_datetime(times, unit="s", utc=opens.dt.tz is not None).as_unit("ns")
        return pd.Series(closed, index=opens.index)
    closes: pd.Series[Any] = opens.dt.as_unit("ns") + pd.Timedelta(seconds=timeframe.seconds)
    return closes


def _beside(dataframe: pd.DataFrame, columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """The dates of a strategy's frame with columns, on its index."""
    found = pd.DataFrame({DATE: dataframe[DATE]})
    for name, values in columns.items():
        # A column without any value yet is compared with prices like the others.
        is_empty = all(value is None for value in values)
        found[name] = pd.Series(values, dataframe.index, dtype=float if is_empty else None)
    return found
