"""The series of a file by its name, as a table of the ways in which tools name their files."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import PurePath

from market.candle_files import names
from market.candle_files.judge import parsed_series
from market.candle_files.refusals import FileRefused
from market.domain.series import SeriesId

SPOT, FUTURES = "spot", "futures"
BINANCE = "binance"

# Of packed files and of formats; they say nothing about the series.
SUFFIXES = (".csv", ".txt", ".json", ".feather", ".arrow", ".parquet", ".gz", ".zip")

# The currency that pairs without a separator end in; longer names first.
QUOTES = (
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDE", "USD1", "DAI", "USD", "EUR", "GBP", "TRY",
    "BRL", "JPY", "AUD", "ARS", "MXN", "PLN", "RON", "UAH", "ZAR", "IDR", "BTC", "ETH", "BNB",
    "XBT", "TRX", "XRP", "DOGE",
)  # fmt: skip

TIMEFRAMES = {
    "1min": "1m",
    "minute": "1m",
    "hour": "1h",
    "daily": "1d",
    "day": "1d",
    "d": "1d",
    "h": "1h",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """One way to name files. `pattern` names exchange, base, quote, settle, pair, timeframe.

    What a name does not contain comes from the folders that the file is in, or from the options
    of the command. `is_spot`: a name without a market stands for spot.
    """

    pattern: re.Pattern[str]
    exchange: str = ""
    is_spot: bool = False


_TF = r"(?P<timeframe>[0-9]{1,5}[smhdw])"
_COIN = r"[A-Za-z0-9.]{1,20}"

NAMINGS = (
    # freqtrade: BTC_USDT-1h.feather, futures/BTC_USDT_USDT-1h-futures.feather.
    Naming(
        pattern=re.compile(
            rf"(?P<base>{_COIN})_(?P<quote>{_COIN})_(?P<settle>{_COIN})-{_TF}-(?P<market>futures)"
        )
    ),
    Naming(
        pattern=re.compile(rf"(?P<base>{_COIN})_(?P<quote>{_COIN})-{_TF}(-(?P<market>futures))?"),
        is_spot=True,
    ),
    # data.binance.vision: BTCUSDT-1m-2024-01.zip, BTCUSDT-1m-2024-01-31.csv.
    Naming(
        pattern=re.compile(
            rf"(?P<pair>[A-Z0-9]{{5,30}})-{_TF}-[0-9]{{4}}-[0-9]{{2}}(-[0-9]{{2}})?"
        ),
        exchange=BINANCE,
    ),
    # CryptoDataDownload: Binance_BTCUSDT_1h.csv, Gemini_ETHUSD_2021_1min.csv.
    Naming(
        pattern=re.compile(
            r"(?P<exchange>[A-Za-z]{2,30})_(?P<pair>[A-Z0-9]{5,30})(_[0-9]{4})?"
            r"_(?P<timeframe>[0-9]{1,5}[smhdw]|1min|minute|hour|daily|day|d|h)"
        ),
        is_spot=True,
    ),
)


def series_of_path(
    path: PurePath, *, exchanges: Container[str], exchange: str = "", market: str = ""
) -> SeriesId | None:
    """The series that a file's name stands for; None if it stands for none.

    `exchange` and `market` count before the path. Of its folders only those count that
    are named like one of `exchanges`, or like a market. Raises FileRefused if a part is missing.
    """
    stem = _stem(path)
    if (ours := names.series_of(stem)) is not None:
        return ours.canonical()
    for naming in NAMINGS:
        if (found := naming.pattern.fullmatch(stem)) is not None:
            parts = found.groupdict(default="")
            break
    else:
        return None
    folders = [folder.lower() for folder in reversed(path.parent.parts)]
    if naming.exchange == BINANCE and "cm" in folders:
        raise FileRefused("no_series", "markets with coins as margin need a series as an argument")
    market = market or parts.get("market", "") or _first(folders, (SPOT, FUTURES))
    if not market and naming.is_spot:
        market = SPOT
    exchange = exchange or naming.exchange or parts.get("exchange", "").lower()
    exchange = exchange or _first(folders, exchanges)
    if not market:
        raise FileRefused("no_series", "the name has no market: give --market spot or futures")
    if not exchange:
        raise FileRefused("no_series", "the name has no exchange: give --exchange")
    timeframe = TIMEFRAMES.get(parts["timeframe"], parts["timeframe"])
    return parsed_series(f"{exchange}:{market}:{_symbol(parts)}:{timeframe}")


def _stem(path: PurePath) -> str:
    name = path.name
    while (suffix := PurePath(name).suffix.lower()) in SUFFIXES:
        name = name[: -len(suffix)]
    return name


def _first(folders: Iterable[str], known: Container[str]) -> str:
    return next((folder for folder in folders if folder in known), "")


def _symbol(parts: dict[str, str]) -> str:
    if "base" in parts:
        settle = parts.get("settle", "")
        linear = settle in ("", parts["quote"])
        return f"{parts['base']}/{parts['quote']}" + ("" if linear else f":{settle}")
    pair = parts["pair"]
    quote = next((each for each in QUOTES if pair.endswith(each) and pair != each), "")
    if not quote:
        raise FileRefused("no_series", f"the quote currency of {pair} is not known: give a series")
    return f"{pair.removesuffix(quote)}/{quote}"
