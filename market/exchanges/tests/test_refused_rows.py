"""Rows that are no candles: counted each time, logged once a kind, remembered for the report."""

from __future__ import annotations

from market.domain.series import SeriesId
from market.exchanges.refused_rows import Refused, RefusedRows

BTC = SeriesId.parse("sim:spot:BTC/USDT:1d")
ETH = SeriesId.parse("sim:spot:ETH/USDT:1d")


def test_rows_are_counted_each_time_and_logged_once_a_kind(caplog):
    refused = RefusedRows(clock=lambda: 50.0)
    for at in (57_600, 144_000, 230_400):
        refused.note(BTC, 100, f"off the grid of 1d: {at} s")
    refused.note(BTC, 1, "all four prices are zero")
    refused.note(ETH, 2, "off the grid of 1d: 57600 s")
    assert refused.of(BTC) == Refused(301, "all four prices are zero", 50.0)
    assert refused.of(ETH).rows == 2
    assert refused.of(SeriesId.parse("sim:spot:XRP/USDT:1d")) is None
    assert [record.getMessage() for record in caplog.records] == [
        f"{BTC}: 100 rows refused, the first: off the grid of 1d: 57600 s",
        f"{BTC}: 1 rows refused, the first: all four prices are zero",
        f"{ETH}: 2 rows refused, the first: off the grid of 1d: 57600 s",
    ]
