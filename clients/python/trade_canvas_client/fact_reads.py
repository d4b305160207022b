"""How factor events, features, frames and symbols are read, page by page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from trade_canvas_client.errors import ApiError, SeriesChanging, UnexpectedAnswer
from trade_canvas_client.facts import Events, FactorEvent, Features
from trade_canvas_client.wire import Reading, Request, one

PAGE_ROWS = 5000
PAGE_SYMBOLS = 100
MOST_CHANGES = 50
EVENTS = "/api/factor/events"
FEATURES = "/api/factor/features"
CHANGED = "events_changed"


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol of which series may be followed (docs/http-api.md, Finding symbols)."""

    exchange: str
    market: str
    symbol: str
    base_asset: str
    quote_asset: str
    active: bool
    price_tick: float | None
    price_digits: int | None
    whitelisted: tuple[str, ...]


Query = list[tuple[str, str]]


def _range_query(series_id: str, start: int | None, end: int | None) -> Query:
    query = [("series_id", series_id), ("limit", str(PAGE_ROWS))]
    query += [("from", str(max(0, start)))] if start is not None else []
    return query + ([("to", str(end))] if end is not None else [])


def read_events(
    series_id: str, start: int | None, end: int | None, kinds: Iterable[str]
) -> Reading[Events]:
    """Read the factor events of a range, both ends inclusive; all kinds if none is named."""
    query = _range_query(series_id, start, end) + [("kinds", each) for each in kinds]
    pages = yield from _read_pages(EVENTS, query)
    try:
        rows = [row for page in pages for row in page["events"]]
        found = tuple(FactorEvent(*(row[name] for name in FactorEvent._fields)) for row in rows)
        return Events(series_id, *_version(pages), pages[-1]["head_time"], found)
    except (KeyError, TypeError) as error:
        raise UnexpectedAnswer(f"not a page of events: {error!r}") from error


def read_features(
    series_id: str, start: int | None, end: int | None, columns: Iterable[str]
) -> Reading[Features]:
    """Read the feature columns of a range, both ends inclusive; all of them if none is named."""
    query = _range_query(series_id, start, end) + [("columns", each) for each in columns]
    pages = yield from _read_pages(FEATURES, query)
    try:
        times = [time for page in pages for time in page["candle_time"]]
        # Without named columns, a page has those that have a value in it.
        names = dict.fromkeys(name for page in pages for name in page["columns"])
        found = {
            name: [
                each
                for page in pages
                for each in page["columns"].get(name) or [None] * len(page["candle_time"])
            ]
            for name in names
        }
        head = pages[-1]["head_time"]
        return Features(series_id, *_version(pages), head, candle_time=times, columns=found)
    except (KeyError, TypeError) as error:
        raise UnexpectedAnswer(f"not a page of features: {error!r}") from error


def _version(pages: list[dict[str, Any]]) -> tuple[str, int]:
    """Return generation and epoch of pages that belong together: the oldest epoch."""
    return str(pages[0]["generation"]), min(int(page["epoch"]) for page in pages)


def _read_pages(path: str, query: Query) -> Reading[list[dict[str, Any]]]:
    """Read all pages behind one another; from the first one again when what was read changed."""
    for _ in range(MOST_CHANGES):
        pages: list[dict[str, Any]] = []
        cursor: Query = []
        try:
            while True:
                page = (yield from one(Request(path, query + cursor))).json()
                pages.append(page)
                if page.get("next_cursor") is None:
                    return pages
                cursor = [("cursor", str(page["next_cursor"]))]
        except ApiError as error:
            if error.code != CHANGED:
                raise
    raise SeriesChanging(f"the past changed {MOST_CHANGES} times while {path} was read")


def read_frame(
    series_id: str, at: int, window_candles: int | None, factor_slices: bool
) -> Reading[dict[str, Any]]:
    """Read what was drawn, and the facts of the factors, when a past candle was the newest."""
    query = [("series_id", series_id), ("at_time", str(at))]
    if window_candles is not None:
        query.append(("window_candles", str(window_candles)))
    if not factor_slices:
        query.append(("factor_slices", "false"))
    return (yield from one(Request("/api/frame/at_time", query))).json()


def read_symbols(
    text: str, exchange: str | None, market: str | None, limit: int
) -> Reading[list[Symbol]]:
    """Read the symbols that match best, at most `limit`."""
    query = [("query", text)]
    query += [("exchange", exchange)] if exchange is not None else []
    query += [("market", market)] if market is not None else []
    found: list[Symbol] = []
    cursor: Query = []
    while len(found) < limit:
        few = [("limit", str(min(PAGE_SYMBOLS, limit - len(found))))]
        request = Request("/api/market/symbols", query + few + cursor)
        page = (yield from one(request)).json()
        try:
            found += map(_symbol, page["items"])
            if page["next_cursor"] is None:
                break
            cursor = [("cursor", str(page["next_cursor"]))]
        except (KeyError, TypeError) as error:
            raise UnexpectedAnswer(f"not a page of symbols: {error!r}") from error
    return found


def _symbol(item: dict[str, Any]) -> Symbol:
    values = {name: item[name] for name in Symbol.__slots__ if name != "whitelisted"}
    return Symbol(**values, whitelisted=tuple(item["whitelisted"]))
