"""GET /api/market/symbols: the symbols whose series may be followed, found by name."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from pydantic import TypeAdapter
from rest_framework.request import Request
from rest_framework.response import Response

from market import blocking
from market.api.answers import SymbolsAnswer
from market.api.cursors import cursor_text, place_of
from market.api.endpoint import Endpoint
from market.api.error_codes import ErrorCode
from market.api.errors import ApiError
from market.api.requests import SymbolsQuery
from market.api.schema import STORE_DOWN, parameters_of, responses
from market.exchanges.grids import grids
from market.exchanges.listings import KnownListing
from market.exchanges.symbol_match import matched_ranges, words_of
from market.exchanges.symbol_search import Entry, SearchKey, SymbolQuery
from market.ingest.desired import whitelisted_series
from market.ingest.symbols import Whitelist, followable_symbols, is_searchable

ERRORS = {400: (ErrorCode.UNSUPPORTED_EXCHANGE, ErrorCode.INVALID_CURSOR)}

_KEY = TypeAdapter(SearchKey)


class Symbols(Endpoint):
    """A search in what the exchanges list; it makes no request to one."""

    @extend_schema(
        operation_id="symbols",
        summary="Search symbols",
        description=(
            "Symbols of every exchange of which series may be followed, those that match `query` "
            "best first, and of equal ones the whitelisted. `listings` has the state of each "
            "list of symbols that was searched: what is missing or old is read in the background."
        ),
        parameters=parameters_of(SymbolsQuery),
        responses=responses(SymbolsAnswer, ERRORS, STORE_DOWN),
    )
    def get(self, request: Request) -> Response:
        """One page of the symbols found."""
        asked = self.query(SymbolsQuery)
        return Response(symbols(asked, blocking.call(whitelisted_series)))


def symbols(asked: SymbolsQuery, whitelist: Whitelist) -> dict[str, Any]:
    """The answer, from memory. Raises ApiError 400 and 422."""
    after = None if asked.cursor is None else place_of(asked.cursor, _KEY)
    if asked.exchange is not None and not is_searchable(asked.exchange, whitelist):
        raise ApiError(400, ErrorCode.UNSUPPORTED_EXCHANGE, _("unsupported exchange"))
    index, listings = followable_symbols().of(asked.exchange, whitelist)
    found = index.search(SymbolQuery(asked.query, asked.exchange, asked.market))
    page = index.page(found, limit=asked.limit, after=after)
    words = words_of(asked.query)
    return {
        "query": asked.query,
        "exchange": asked.exchange,
        "market": asked.market,
        "limit": asked.limit,
        "total": len(found),
        "next_cursor": None if page.next_key is None else cursor_text(page.next_key),
        "items": [_item(entry, words) for entry in page.entries],
        "listings": [_listing(each) for each in listings if asked.market in (None, each.market)],
    }


def _item(entry: Entry, words: tuple[str, ...]) -> dict[str, Any]:
    return {
        "exchange": entry.exchange,
        "market": entry.market,
        "symbol": entry.symbol,
        "base_asset": entry.base,
        "quote_asset": entry.quote,
        "active": entry.is_active,
        "price_tick": entry.step.tick,
        "price_digits": entry.step.digits,
        "whitelisted": entry.timeframes,
        "matched": matched_ranges(words, entry.symbol),
    }


def _listing(known: KnownListing) -> dict[str, Any]:
    return {
        "exchange": known.exchange,
        "market": known.market,
        "state": known.state,
        "read_at": known.read_at,
        "symbols": len(known.listing.symbols) if known.listing else None,
        "timeframes": _timeframes(known),
    }


def _timeframes(known: KnownListing) -> list[str] | None:
    if known.listing is None:
        return None
    return grids().as_opened(known.exchange, known.market, known.listing.timeframes)
