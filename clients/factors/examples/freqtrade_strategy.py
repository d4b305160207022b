"""A freqtrade strategy that reads factors: copy it into user_data/strategies.

It buys when a downward pen of its own timeframe is confirmed near a support of the hour, while the
hour's pen points up. It shows how columns are read, and is no advice. Needs `pip install
trade-canvas-factors` beside freqtrade; the factors are computed from freqtrade's own candles.
"""

from __future__ import annotations

from typing import Any, ClassVar

from freqtrade.strategy import IStrategy
from pandas import DataFrame

from trade_canvas_factors.freqtrade import factor_columns, merge_informative
from trade_canvas_factors.heads import pen_direction, resistance_above, support_below

HOUR = "1h"


class TradeCanvasLevels(IStrategy):  # type: ignore[misc]
    """Entries near levels of the hour, exits at the next resistance or when the pen turns."""

    INTERFACE_VERSION = 3
    timeframe = "5m"
    can_short = False
    stoploss = -0.03
    minimal_roi: ClassVar[dict[str, float]] = {"0": 0.05}
    startup_candle_count = 400
    process_only_new_candles = True

    own_windows: ClassVar[dict[str, Any]] = {"pivot": {"window_major": 10, "window_minor": 3}}
    hour_windows: ClassVar[dict[str, Any]] = {"pivot": {"window_major": 4, "window_minor": 2}}

    def informative_pairs(self) -> list[tuple[str, str]]:
        """The same pairs, by the hour."""
        return [(pair, HOUR) for pair in self.dp.current_whitelist()]

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        """The newest pen of this timeframe, levels and pen of the hour."""
        own = factor_columns(
            dataframe, self.timeframe, ["pen_confirmed_direction"], parameters=self.own_windows
        )
        dataframe["pen_confirmed"] = own["pen_confirmed_direction"]
        hours = self.dp.get_pair_dataframe(pair=metadata["pair"], timeframe=HOUR)
        levels = factor_columns(
            hours,
            HOUR,
            [],
            heads={
                "support": ("sr", support_below),
                "resistance": ("sr", resistance_above),
                "pen": ("pen", pen_direction),
            },
            parameters=self.hour_windows,
        )
        return merge_informative(dataframe, levels, self.timeframe, HOUR)

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        """A downward pen ended close above a support of the hour."""
        near = dataframe["close"] < dataframe["support_1h"] * 1.01
        rises = dataframe["pen_1h"] == 1
        dataframe.loc[(dataframe["pen_confirmed"] == -1) & near & rises, "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        """The close came to the hour's resistance, or the hour's pen turned down."""
        reached = dataframe["high"] >= dataframe["resistance_1h"]
        dataframe.loc[reached | (dataframe["pen_1h"] == -1), "exit_long"] = 1
        return dataframe
