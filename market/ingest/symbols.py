"""The symbols whose series may be followed, to be searched: the whitelist's, and all others that
the exchanges list of which series are followed on demand.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.conf import settings

from market.domain.series import FUTURES, SeriesId
from market.exchanges.ccxt_client import MARKETS, known_exchanges, symbol_of
from market.exchanges.listings import (
    MAX_LISTINGS,
    KnownListing,
    ListedSymbol,
    ListingState,
    Venue,
    known_listings,
)
from market.exchanges.symbol_search import Entry, SymbolIndex
from market.exchanges.top_markets import exchange_loop
from market.ingest.admission import is_served, served_exchanges
from market.singletons import once

# Others are left for series that are followed without having been searched for.
MAX_SEARCHED = MAX_LISTINGS * 3 // 4
# One of all exchanges, and some of single ones.
MAX_INDEXES = 8
# Volumes change all the time; as the order of what is found they may be this old.
VOLUMES_S = 60.0

Whitelist = Sequence[SeriesId]


class Searchable(NamedTuple):
    """What can be searched, and the state of each listing that it comes from."""

    symbols: SymbolIndex
    listings: list[KnownListing]


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolPorts:
    """What is asked; all of it answers from memory, on any thread."""

    known_listings: Callable[[Sequence[Venue]], list[KnownListing]]
    volumes: Callable[[str, str], dict[str, float]]


@dataclass(frozen=True, slots=True)
class _Kept:
    """An index, what it was made of, and when (monotonic)."""

    origin: tuple[object, ...]
    made_at: float
    index: SymbolIndex


class FollowableSymbols:
    """Indexes of the symbols that may be followed, made again when what they come from changes."""

    def __init__(self, ports: SymbolPorts, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ports = ports
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str | None, _Kept] = OrderedDict()

    def of(self, exchange: str | None, whitelist: Whitelist) -> Searchable:
        """The symbols of all exchanges that are served, or of one of them."""
        exchanges = served_exchanges(whitelist) if exchange is None else [exchange]
        venues = [(each, market) for each in exchanges for market in MARKETS]
        listings = self._ports.known_listings(venues[:MAX_SEARCHED])
        with self._lock:
            index = self._index(exchange, listings, whitelist)
        skipped = [
            KnownListing(*venue, ListingState.NOT_SEARCHED, None, None)
            for venue in venues[MAX_SEARCHED:]
        ]
        return Searchable(index, listings + skipped)

    def _index(
        self, exchange: str | None, listings: list[KnownListing], whitelist: Whitelist
    ) -> SymbolIndex:
        switches = settings.SWITCHES
        served = frozenset(
            each.exchange
            for each in listings
            if switches.enable_ondemand_ingest and is_served(each.exchange, frozenset(whitelist))
        )
        sources = tuple((each.exchange, each.market, each.listing) for each in listings)
        origin = (sources, tuple(whitelist), served)
        kept, now = self._kept.get(exchange), self._clock()
        if kept is None or kept.origin != origin or now - kept.made_at >= VOLUMES_S:
            entries = _entries(listings, whitelist, served, self._ports.volumes)
            kept = self._kept[exchange] = _Kept(origin, now, SymbolIndex(entries))
        self._kept.move_to_end(exchange)
        while len(self._kept) > MAX_INDEXES:
            self._kept.popitem(last=False)
        return kept.index


def _entries(
    listings: Sequence[KnownListing],
    whitelist: Whitelist,
    served: frozenset[str],
    volumes: Callable[[str, str], dict[str, float]],
) -> list[Entry]:
    pinned: dict[Venue, dict[str, list[SeriesId]]] = defaultdict(dict)
    for series in whitelist:
        of_venue = pinned[series.exchange, series.market]
        of_venue.setdefault(symbol_of(series), []).append(series)
    entries = []
    for known in listings:
        mine = pinned[known.exchange, known.market]
        symbols = known.listing.symbols if known.listing else {}
        traded = volumes(known.exchange, known.market)
        for listed in symbols.values():
            if listed.symbol in mine or known.exchange in served:
                series_of = mine.get(listed.symbol, [])
                volume = traded.get(listed.symbol, 0.0)
                entries.append(_entry(known, listed, series_of, volume))
        for symbol in mine.keys() - symbols.keys():
            entries.append(_unlisted(mine[symbol], is_active=known.listing is None))
    return entries


def _entry(
    known: KnownListing, listed: ListedSymbol, series_of: Sequence[SeriesId], volume: float
) -> Entry:
    return Entry(
        exchange=known.exchange,
        market=known.market,
        symbol=series_of[0].symbol if series_of else _spelling(known.market, listed),
        base=listed.base,
        quote=listed.quote,
        is_active=listed.is_active,
        step=listed.step,
        timeframes=_timeframes(series_of),
        volume=volume,
    )


def _unlisted(series_of: Sequence[SeriesId], *, is_active: bool) -> Entry:
    """A whitelisted symbol that is in no listing."""
    first = series_of[0]
    base, _, quote = first.symbol.partition(":")[0].partition("/")
    return Entry(
        exchange=first.exchange,
        market=first.market,
        symbol=first.symbol,
        base=base,
        quote=quote,
        is_active=is_active,
        timeframes=_timeframes(series_of),
    )


def _timeframes(series_of: Sequence[SeriesId]) -> tuple[str, ...]:
    """The timeframes of one symbol in the spelling of the first of its series."""
    same = {each.timeframe for each in series_of if each.symbol == series_of[0].symbol}
    return tuple(each.text for each in sorted(same))


def _spelling(market: str, listed: ListedSymbol) -> str:
    """Without the settle asset that ccxt appends, where `symbol_of` appends it again."""
    settled = f":{listed.quote}"
    return listed.symbol.removesuffix(settled) if market == FUTURES else listed.symbol


def is_searchable(exchange: str, whitelist: Whitelist) -> bool:
    """Whether the symbols of an exchange may be searched."""
    if exchange not in known_exchanges():
        return False
    is_pinned = any(each.exchange == exchange for each in whitelist)
    return is_pinned or is_served(exchange, frozenset())


@once
def followable_symbols() -> FollowableSymbols:
    """The symbols of this process."""
    return FollowableSymbols(
        SymbolPorts(
            known_listings=known_listings,
            volumes=lambda exchange, market: exchange_loop().volumes(exchange, market),
        )
    )
