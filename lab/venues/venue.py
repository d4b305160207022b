"""ccxt's own class of an exchange, answered from a known truth instead of by the network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import ccxt.async_support

from lab.venues.habits import Habits, Wrong
from lab.venues.table import SUCCESS, Venue
from lab.venues.truth import Truth
from market.domain.candle import Candle
from market.domain.series import FUTURES, SeriesId
from market.domain.timeframe import Timeframe
from market.exchanges.ccxt_client import SharedLimit
from market.exchanges.ccxt_history import page_size
from market.exchanges.rate_limit import LocalRateLimit

PAGE = "<html><head><title>Maintenance</title></head><body>We'll be back soon</body></html>"
UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class Answered:  # mixed into a ccxt class, behind SharedLimit
    """Answers requests of candles from the truth, in the venue's own form and with its habits."""

    row: Venue
    truth: Truth
    habits: Habits
    asked: list[tuple[int, int]]
    frame: Timeframe
    cap = 0

    async def fetch_ohlcv(self, symbol: str, timeframe: str = "1m", *given: Any) -> Any:
        """Note the timeframe: each exchange spells it in its own way."""
        self.frame = Timeframe.parse(timeframe)
        return await super().fetch_ohlcv(symbol, timeframe, *given)  # type: ignore[misc]

    async def fetch_time(self, *given: Any) -> int:
        """The truth's time, in milliseconds."""
        return self.truth.now * 1_000

    def milliseconds(self) -> int:
        """The truth's time, by which some of ccxt's classes choose an endpoint."""
        return self.truth.now * 1_000

    def seconds(self) -> int:
        """The truth's time."""
        return self.truth.now

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None):  # type: ignore[no-untyped-def]
        """One answer; ccxt reads it as it reads every other."""
        status, text = self._answer(_parameters(url, body))
        parsed = self.parse_json(text)  # type: ignore[attr-defined]
        rest: tuple[Any, ...] = ({}, text, parsed, headers, body)
        self.handle_errors(status, "", url, method, *rest)  # type: ignore[attr-defined]
        self.handle_http_status_code(status, "", url, method, text)  # type: ignore[attr-defined]
        return text if parsed is None else parsed

    def _answer(self, given: dict[str, Any]) -> tuple[int, str]:
        habits, step = self.habits, self.frame.seconds
        first, last, count = self._window(given)
        meant = int(given.get(self.row.count) or 0)
        is_counted = bool(meant and self.row.start in given)
        counted = min(last, first + (meant - 1) * step) if is_counted else last
        self.asked.append((first, counted))
        if habits.keeps_newest:
            last = counted
        newest = self.frame.open_of(self.truth.now)
        oldest = newest - habits.oldest_points * step if habits.oldest_points else first
        if habits.leaves_old_out:
            first = max(first, oldest)
        if (refusal := self._refusal(first, counted, oldest)) is not None:
            return 400, json.dumps({"label": "INVALID", "message": refusal})
        if habits.newest_only:
            first = newest - (habits.newest_only - 1) * step
            last, count = newest, habits.newest_only
        match habits.wrong.get(len(self.asked)):
            case Wrong.EMPTY:
                return 200, json.dumps(self._wrapped([]))
            case Wrong.NULL:
                return 200, json.dumps(self._wrapped(None))
            case Wrong.MAINTENANCE:
                return 200, PAGE
            case wrong:
                rows = self._rows(first, last, count, wrong)
                return 200, json.dumps(self._wrapped(rows, wrong))

    def _refusal(self, first: int, last: int, oldest: int) -> str | None:
        if first < oldest:
            return "too long ago"
        if self.habits.refuses_long and (last - first) // self.frame.seconds + 1 > self.cap:
            return "range too broad"
        return None

    def _window(self, given: dict[str, Any]) -> tuple[int, int, int]:
        """Open times of the first and the last candle asked for, and the most rows."""
        step, newest = self.frame.seconds, self.frame.open_of(self.truth.now)
        row = self.row
        start, end = _time(given.get(row.start)), _time(given.get(row.end))
        asked = int(given.get(row.count) or 0)
        count = min(asked or self.cap, self.cap)
        if day := given.get("path"):
            start, end = day
        first, last = start, newest
        if end is not None:
            last = int(end) // step * step
            if not self.habits.includes_end and last == end:
                last -= step
        if first is None:
            return last - (count - 1) * step, last, count
        opened = -(-int(first * 1_000) // (step * 1_000)) * step
        if not self.habits.includes_start and opened == first:
            opened += step
        if self.habits.counts_time:
            last = min(last, opened + (count - 1) * step)
        return opened, last, count

    def _rows(self, first: int, last: int, count: int, wrong: Wrong | None) -> list[Candle]:
        habits = self.habits
        if self.row.start or self.row.end or habits.newest_only:
            keeps_newest = habits.keeps_newest or (not self.row.start and not habits.newest_only)
        else:
            keeps_newest = True
        reach = last if keeps_newest else min(last, first + 40_000 * self.frame.seconds)
        found = self.truth.candles(first, reach, self.frame)
        found = found[-count:] if keeps_newest else found[:count]
        if habits.short:
            found = found[-habits.short :] if keeps_newest else found[: habits.short]
        return [self._spoiled(candle, wrong) for candle in found]

    def _spoiled(self, candle: Candle, wrong: Wrong | None) -> Candle:
        if candle.candle_time in self.habits.spoiled:
            return candle._replace(high=candle.low - 1)
        if wrong is Wrong.NULL_PRICES:
            return candle._replace(open=None, high=None, low=None, close=None)  # type: ignore[arg-type]
        return candle

    def _wrapped(self, rows: list[Candle] | None, wrong: Wrong | None = None) -> Any:
        answer: Any = None
        if rows is not None:
            ordered = rows[::-1] if self.habits.newest_first else rows
            answer = self._laid_out(ordered, wrong)
        for key in reversed(self.row.envelope or ()):
            answer = [answer] if key == "0" else {key: answer}
        return answer | SUCCESS[self.row.id] if self.row.id in SUCCESS else answer

    def _laid_out(self, rows: list[Candle], wrong: Wrong | None) -> Any:
        kind, *names = self.row.layout or ("L", *"012345")
        values = [[self._spelled(row.candle_time, wrong), *row[1:]] for row in rows]
        if kind == "C":
            return {"s": "ok"} | {
                name: [value[at] for value in values] for at, name in enumerate(names)
            }
        if kind == "X":
            # Figures in 10^-18.
            values = [
                [one[0], *(str(int(figure) * 10**18) for figure in one[1:])] for one in values
            ]
        if kind in "DX":
            return [dict(zip(names, value, strict=True)) for value in values]
        places = [int(name) for name in names]
        lists = []
        for value in values:
            row: list[Any] = [0] * (max(places) + 1)
            for place, one in zip(places, value, strict=True):
                row[place] = one
            lists.append(row)
        return lists

    def _spelled(self, time: int, wrong: Wrong | None) -> Any:
        number = time * UNITS.get(self.row.unit, 1_000)
        if wrong is Wrong.SECONDS:
            return number // 1_000
        if wrong is Wrong.MICROSECONDS:
            return number * 1_000
        if self.row.unit == "iso":
            return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return number


def _parameters(url: str, body: Any) -> dict[str, Any]:
    split = urlsplit(url)
    given: dict[str, Any] = dict(parse_qsl(split.query))
    if body:
        given |= dict(_leaves(json.loads(body) if isinstance(body, str) else body))
    part = unquote(split.path).rpartition("/")[2]
    if len(part) == 8 and part.isdigit():
        day = datetime.strptime(part, "%Y%m%d").replace(tzinfo=UTC).timestamp()
        given["path"] = (day, day + 86_399)
    return given


def _leaves(value: Any) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from _leaves(inner)
        else:
            yield name, inner


def _time(value: Any) -> float | None:
    """A time of a request in Unix seconds, whatever its unit."""
    if value is None:
        return None
    text = str(value)
    if not text.isdigit():
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return next(int(text) / unit for unit in UNITS.values() if int(text) / unit < 10_000_000_000)


def series_at(exchange: str, market: str, timeframe: str = "1m") -> SeriesId:
    """The market that every fake exchange has."""
    return SeriesId.parse(f"{exchange}:{market}:BTC/USDT:{timeframe}")


def open_venue(venue: Venue, truth: Truth, habits: Habits | None = None) -> Any:
    """A ccxt object of a venue that the truth answers; close() it after use."""
    found = getattr(ccxt.async_support, venue.id)
    made = type(venue.id, (SharedLimit, Answered, found), {})
    exchange: Any = made(
        {
            "enableRateLimit": False,
            "options": {"defaultType": "swap" if venue.market == FUTURES else "spot"},
        }
    )
    exchange.row, exchange.truth, exchange.asked = venue, truth, []
    exchange.venue = f"{venue.id}:{venue.market}"
    exchange.habits = habits or venue.habits
    exchange.cap = exchange.habits.cap or page_size(exchange, venue.market)
    exchange.limiter = LocalRateLimit()
    # Nothing is connected, so there is nothing to wait for.
    exchange.timeout_on_exit = 0
    exchange.has["fetchTime"] = True
    exchange.set_markets([_market(exchange, venue.market)])
    return exchange


def _market(exchange: Any, market: str) -> dict[str, Any]:
    is_swap = market == FUTURES
    names = {"base": "BTC", "quote": "USDT", "baseId": "BTC", "quoteId": "USDT", "id2": "BTCUSDT"}
    return dict(
        exchange.safe_market_structure(
            {
                **names,
                # A few of ccxt's classes need a number.
                "id": "1",
                "baseName": "BTC",
                "symbol": "BTC/USDT:USDT" if is_swap else "BTC/USDT",
                "settle": "USDT" if is_swap else None,
                "settleId": "USDT" if is_swap else None,
                "type": "swap" if is_swap else "spot",
                "spot": not is_swap,
                "swap": is_swap,
                "contract": is_swap,
                "linear": True if is_swap else None,
                "inverse": False if is_swap else None,
                "contractSize": 1.0 if is_swap else None,
                "active": True,
                "precision": {"price": 0.01, "amount": 0.0001},
                "priceScale": 0,
                "valueScale": 0,
                "info": {},
            }
        )
    )
