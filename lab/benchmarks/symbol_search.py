"""One search among the symbols of eight exchanges, against the plainest search that there is.

Ours ranks, tolerates mistakes and orders; the limit looks for the text in every name and sorts what
it finds. Processor time, without what is kept of earlier searches.
"""

from __future__ import annotations

import random
import string
import time
from collections.abc import Callable

from lab.benchmarks.harness import Comparison, interleave, print_machine
from market.exchanges.symbol_search import Entry, SymbolIndex, SymbolQuery

EXCHANGES = ("binance", "bitget", "bybit", "gate", "kraken", "kucoin", "mexc", "okx")
A_VENUE = 2_000
KNOWN = ("BTC", "ETH", "SOL", "DOGE", "PEPE", "1000PEPE", "SHIB")
SEARCHED = ("b", "btc", "btcusdt", "okx btc", "usdt", "dgoe", "")


def entries(seed: int = 1) -> list[Entry]:
    """Return the symbols: names of 3 to 6 letters, most of them at a few exchanges only."""
    chance = random.Random(seed)
    names = [
        "".join(chance.choices(string.ascii_uppercase, k=chance.randint(3, 6)))
        for _ in range(3 * A_VENUE)
    ]
    return [
        Entry(
            exchange=exchange,
            market=market,
            symbol=f"{base}/{quote}",
            base=base,
            quote=quote,
            volume=chance.random() * 1e8,
        )
        for exchange in EXCHANGES
        for market in ("spot", "futures")
        for base in (*KNOWN, *chance.sample(names, A_VENUE))
        for quote in (chance.choice(("USDT", "USDT", "USDC", "BTC")),)
    ]


def milliseconds(work: Callable[[], object]) -> float:
    """Return the processor time of one call."""
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began)


def main() -> None:
    """Print a row for each text."""
    print_machine()
    listed = entries()
    print(
        f"{len(listed)} symbols, index made in {milliseconds(lambda: SymbolIndex(listed)):.0f} ms"
    )
    index = SymbolIndex(listed)
    names = [(f"{each.exchange} {each.base}{each.quote}".upper(), each) for each in listed]
    for text in SEARCHED:

        def ours(text: str = text) -> float:
            index.search.cache_clear()
            return milliseconds(lambda: index.page(index.search(SymbolQuery(text)), limit=20))

        def bare(text: str = text) -> float:
            word = text.upper()
            return milliseconds(
                lambda: sorted(each.place for name, each in names if word in name)[:20]
            )

        print(Comparison(f"search {text!r}", "ms", *interleave(ours, bare)))


if __name__ == "__main__":
    main()
