"""The series of a file by its name."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from market.candle_files.refusals import FileRefused
from market.candle_files.series_by_name import series_of_path

EXCHANGES = ("binance", "okx", "gemini")

NAMED = {
    "/data/binance/BTC_USDT-1h.feather": "binance:spot:BTC/USDT:1h",
    "/data/okx/futures/ETH_USDT_USDT-5m-futures.feather": "okx:futures:ETH/USDT:5m",
    "/data/okx/futures/ETH_USD_ETH-5m-futures.json.gz": "okx:futures:ETH/USD:ETH:5m",
    "/data/okx/futures/ETH_USDT-5m-futures.json": "okx:futures:ETH/USDT:5m",
    "/data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.csv": "binance:spot:BTC/USDT:1m",
    "/data/futures/um/daily/klines/ETHBTC-4h-2024-01-31.csv": "binance:futures:ETH/BTC:4h",
    "/spot/1000SATSFDUSD-1d-2024-01.csv": "binance:spot:1000SATS/FDUSD:1d",
    "Gemini_BTCUSD_1h.csv": "gemini:spot:BTC/USD:1h",
    "Binance_ETHUSDT_d.csv": "binance:spot:ETH/USDT:1d",
    "Gemini_BTCUSD_2021_1min.csv": "gemini:spot:BTC/USD:1m",
    "/somewhere/binance_futures_BTC-USDT_1m.csv.gz": "binance:futures:BTC/USDT:1m",
    "okx_futures_BTC-USD%3ABTC_1m.parquet": "okx:futures:BTC/USD:BTC:1m",
}


@pytest.mark.parametrize("path", NAMED)
def test_name_stands_for_its_series(path):
    assert str(series_of_path(PurePosixPath(path), exchanges=EXCHANGES)) == NAMED[path]


UNCLEAR = {
    "/home/BTC_USDT-1h.feather": "has no exchange",
    "/home/BTCUSDT-1m-2024-01.csv": "has no market",
    "/data/futures/cm/BTCUSD-1m-2024-01.csv": "coins as margin",
    "/data/spot/BTCXYZ-1m-2024-01.csv": "quote currency of BTCXYZ is not known",
    "/data/okx/BTC_USDT-0m.json": "no_series",
}


@pytest.mark.parametrize("path", UNCLEAR)
def test_name_that_lacks_a_part_is_refused(path):
    with pytest.raises(FileRefused, match=UNCLEAR[path]):
        series_of_path(PurePosixPath(path), exchanges=EXCHANGES)


def test_options_stand_for_what_the_name_lacks_or_has_otherwise():
    path = PurePosixPath("/data/okx/BTC_USDT-1h.feather")
    found = series_of_path(path, exchanges=EXCHANGES, exchange="kraken", market="futures")
    assert str(found) == "kraken:futures:BTC/USDT:1h"


@pytest.mark.parametrize("name", ["candles.csv", "BTC-USD.csv", "btc_usdt.parquet", "2024-01.csv"])
def test_other_names_stand_for_nothing(name):
    assert series_of_path(PurePosixPath("/data/okx", name), exchanges=EXCHANGES) is None
