"""Finding symbols of many listings by what a user types.

    index = SymbolIndex(entries)
    found = index.search(SymbolQuery("btc usdt"))
    page = index.page(found, limit=20)

Everything is in memory: a search makes no request.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from market.domain.timeframe import Timeframe, TimeframeError
from market.exchanges.price_step import UNKNOWN, PriceStep
from market.exchanges.symbol_match import (
    SHORTEST_WITH_MISTAKE,
    Rank,
    base_rank,
    is_one_edit,
    normal,
    parts_of,
    words_of,
)

MAX_WORDS = 5
# Mistakes are only looked for where a query finds fewer symbols than this.
FEW = 20
CACHED_SEARCHES = 32

# Quotes that most users look for come first; volumes are compared within one of them.
QUOTES = ("USDT", "USDC", "USD", "FDUSD", "EUR", "BTC", "ETH")
MARKET_WORDS = {
    "spot": ("SPOT",),
    "futures": ("FUTURES", "PERPETUALS", "PERPS", "SWAPS"),
}
_SHORTEST_EXCHANGE = 3

# Rank and position of a symbol in one number, so that many searches can be kept.
_POSITION_BITS = 32

Place = tuple[int, int, int, int, int, str, str, str, str, str]
"""What orders symbols that match equally well."""


class SearchKey(NamedTuple):
    """Where a symbol stands in the answer to a query; the symbols after it are the next page."""

    rank: int
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A symbol of a market, as a series id spells it.

    `timeframes` are the whitelisted ones. `volume` is that of 24 hours in the quote asset, 0 where
    it is not known.
    """

    exchange: str
    market: str
    symbol: str
    base: str
    quote: str
    is_active: bool = True
    step: PriceStep = UNKNOWN
    timeframes: tuple[str, ...] = ()
    volume: float = 0.0
    place: Place = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", self._place())

    def _place(self) -> Place:
        quote = QUOTES.index(self.quote) if self.quote in QUOTES else len(QUOTES)
        # A coarse one, so that a symbol seldom changes its place between two pages.
        volume = -int(math.log2(self.volume)) if self.volume > 1 else 0
        return (
            int(not self.timeframes),
            int(not self.is_active),
            quote,
            volume,
            len(self.base),
            self.base,
            self.quote,
            self.exchange,
            self.market,
            self.symbol,
        )


@dataclass(frozen=True, slots=True)
class SymbolQuery:
    """What to find; without `text` everything, of one exchange and one market if given."""

    text: str = ""
    exchange: str | None = None
    market: str | None = None


class Page(NamedTuple):
    """Symbols of an answer, and the key of the last one if more follow."""

    entries: list[Entry]
    next_key: SearchKey | None


class _WordMatch:
    """The bases, pairs, quotes, exchanges and markets that one word matches."""

    def __init__(self, word: str, index: SymbolIndex, *, with_mistakes: bool) -> None:
        self.bases = {
            base: rank
            for base in index.by_base
            if (rank := base_rank(word, base, with_mistakes=with_mistakes)) is not None
        }
        self.pairs = dict(_pairs(word, index, with_mistakes=with_mistakes))
        self.quotes = {quote for quote in index.quotes if quote.startswith(word)}
        self.exchanges = {
            each
            for each in index.exchanges
            if len(word) >= _SHORTEST_EXCHANGE and each.upper().startswith(word)
        }
        self.markets = {
            market
            for market, words in MARKET_WORDS.items()
            if len(word) > _SHORTEST_EXCHANGE and any(each.startswith(word) for each in words)
        }

    @property
    def qualifies(self) -> bool:
        """Whether the word may name a quote, an exchange or a market."""
        return bool(self.quotes or self.exchanges or self.markets)

    def rank(self, base: str, quote: str) -> Rank | None:
        """How well the word matches base and quote."""
        of_base, of_pair = self.bases.get(base), self.pairs.get((base, quote))
        if of_base is None or of_pair is None:
            return of_pair if of_base is None else of_base
        return min(of_base, of_pair)

    def is_qualifier_of(self, entry: Entry, quote: str) -> bool:
        """Whether the word names the quote, the exchange or the market of an entry."""
        return (
            quote in self.quotes or entry.exchange in self.exchanges or entry.market in self.markets
        )


def _pairs(
    word: str, index: SymbolIndex, *, with_mistakes: bool
) -> Iterable[tuple[tuple[str, str], Rank]]:
    """Bases and quotes that are written together in a word: BTCUSDT, BTCUS, PEPEUSDT."""
    for at in range(1, len(word)):
        head, rest = word[:at], word[at:]
        if with_mistakes and head in index.by_base and len(rest) >= SHORTEST_WITH_MISTAKE:
            similar = (each for each in index.quotes if is_one_edit(rest, each))
            yield from (((head, quote), Rank.MISTAKE) for quote in similar)
        quotes = [quote for quote in index.quotes if quote.startswith(rest)]
        if not quotes:
            continue
        tolerates = with_mistakes and rest in quotes
        for base, rank in _heads(head, index, with_mistakes=tolerates).items():
            for quote in quotes:
                whole = Rank.BASE if quote == rest else Rank.PREFIX
                yield (base, quote), max(rank, whole)


def _heads(head: str, index: SymbolIndex, *, with_mistakes: bool) -> dict[str, Rank]:
    """The bases that the beginning of a word stands for."""
    ranks: dict[str, Rank] = {}
    if with_mistakes:
        similar = (each for each in index.by_base if base_rank(head, each, with_mistakes=True))
        ranks = dict.fromkeys(similar, Rank.MISTAKE)
    ranks |= dict.fromkeys(index.by_part.get(head, ()), Rank.WORD)
    if head in index.by_base:
        ranks[head] = Rank.BASE
    return ranks


class SymbolIndex:
    """Symbols that can be searched, in the order in which they are shown. Any thread may ask."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = sorted(entries, key=lambda each: each.place)
        self.names = [(normal(each.base), normal(each.quote)) for each in self.entries]
        by_base: dict[str, list[int]] = defaultdict(list)
        by_part: dict[str, set[str]] = defaultdict(set)
        for position, (base, _) in enumerate(self.names):
            by_base[base].append(position)
        for base in by_base:
            for part in parts_of(base):
                by_part[part].add(base)
        self.by_base, self.by_part = dict(by_base), dict(by_part)
        self.quotes = sorted({quote for _, quote in self.names})
        self.exchanges = sorted({each.exchange for each in self.entries})
        self.search = lru_cache(maxsize=CACHED_SEARCHES)(self._search)

    def _search(self, query: SymbolQuery) -> Sequence[int]:
        """Every symbol that matches, the best first, for `page`."""
        query = _without_series(query)
        words = words_of(query.text)[:MAX_WORDS]
        found = self._found(query, words, with_mistakes=False)
        if words and len(found) < FEW:
            found = self._found(query, words, with_mistakes=True)
        return array("Q", sorted(found))

    def page(self, found: Sequence[int], *, limit: int, after: SearchKey | None = None) -> Page:
        """The first `limit` symbols, or those after the last one of another page."""
        first = 0 if after is None else bisect_right(found, after, key=self._key)
        shown = found[first : first + limit]
        has_more = first + limit < len(found)
        entries = [self.entries[code & (1 << _POSITION_BITS) - 1] for code in shown]
        return Page(entries, self._key(shown[-1]) if has_more else None)

    def _key(self, code: int) -> SearchKey:
        entry = self.entries[code & (1 << _POSITION_BITS) - 1]
        return SearchKey(code >> _POSITION_BITS, entry.place)

    def _found(
        self, query: SymbolQuery, words: tuple[str, ...], *, with_mistakes: bool
    ) -> list[int]:
        matches = [_WordMatch(word, self, with_mistakes=with_mistakes) for word in words]
        # Only what has a slash can be a whole symbol.
        written = normal(query.text.strip()) if "/" in query.text else None
        found = []
        for position in self._candidates(matches):
            entry = self.entries[position]
            if query.exchange not in (None, entry.exchange):
                continue
            if query.market not in (None, entry.market):
                continue
            rank = self._rank(position, matches)
            if rank is not None:
                if written is not None and written in _spellings(entry):
                    rank = Rank.SYMBOL
                found.append(rank << _POSITION_BITS | position)
        return found

    def _candidates(self, matches: Sequence[_WordMatch]) -> Iterable[int]:
        """Positions of all symbols that can match: those of the word that has the fewest."""
        plain = [each for each in matches if not each.qualifies]
        if not plain:
            return range(len(self.entries))
        bases = min(({*each.bases, *(base for base, _ in each.pairs)} for each in plain), key=len)
        return chain.from_iterable(self.by_base[base] for base in bases)

    def _rank(self, position: int, matches: Sequence[_WordMatch]) -> Rank | None:
        """The rank of the word that matches worst; words that only qualify do not count."""
        base, quote = self.names[position]
        worst: Rank | None = None
        for match in matches:
            rank = match.rank(base, quote)
            if rank is None or rank > Rank.PREFIX:
                if match.is_qualifier_of(self.entries[position], quote):
                    continue
                if rank is None:
                    return None
            worst = rank if worst is None else max(worst, rank)
        return Rank.WORD if worst is None else worst


def _without_series(query: SymbolQuery) -> SymbolQuery:
    """The query for the symbol alone, where its text is a series id or begins like one."""
    parts = query.text.strip().split(":")
    if len(parts) < 3 or parts[1] not in MARKET_WORDS:
        return query
    exchange, market, *symbol = parts
    if query.exchange not in (None, exchange) or query.market not in (None, market):
        return query
    if len(symbol) > 1 and _is_timeframe(symbol[-1]):
        symbol = symbol[:-1]
    return SymbolQuery(":".join(symbol), exchange, market)


def _is_timeframe(text: str) -> bool:
    try:
        Timeframe.parse(text)
    except TimeframeError:
        return False
    return True


def _spellings(entry: Entry) -> tuple[str, str]:
    """A symbol with and without the settle asset that repeats its quote."""
    symbol = normal(entry.symbol)
    return symbol, f"{symbol}:{normal(entry.quote)}"
