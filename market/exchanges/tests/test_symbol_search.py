"""Which symbols a search finds, in which order, and its pages."""

from __future__ import annotations

import itertools

import pytest

from market.exchanges.symbol_match import is_one_edit, matched_ranges, words_of
from market.exchanges.symbol_search import CACHED_SEARCHES, Entry, SymbolIndex, SymbolQuery

SPOT = [
    "BTC/USDT", "BTC/EUR", "BTCDOM/USDT", "WBTC/USDT", "ETH/BTC", "ETH/USDT", "ETC/USDT",
    "DOGE/USDT", "PEPE/USDC", "1000PEPE/USDT", "SOL/USDT", "SOLV/USDT", "USDT/EUR", "USDC/USDT",
    "币安人生/USDT",
]  # fmt: skip
FUTURES = ["BTC/USDT", "BTC/USD:BTC", "DOGE/USDT"]


def entry(symbol, exchange="binance", market="spot", **more):
    base, _, quote = symbol.partition(":")[0].partition("/")
    return Entry(exchange=exchange, market=market, symbol=symbol, base=base, quote=quote, **more)


@pytest.fixture(scope="module")
def small():
    listed = [entry(symbol) for symbol in SPOT]
    listed += [entry(symbol, market="futures") for symbol in FUTURES]
    listed += [entry("BTC/USDT", "okx"), entry("SOL/USDT", "okx")]
    return SymbolIndex(listed)


def found(index, text, limit=100, **filters):
    result = index.search(SymbolQuery(text, **filters))
    shown = index.page(result, limit=limit).entries
    return [f"{each.exchange} {each.market} {each.symbol}" for each in shown]


def symbols(index, text, **filters):
    return [name.split(" ")[2] for name in found(index, text, **filters)]


@pytest.mark.parametrize(
    ("text", "best"),
    [
        # The symbol as it is written, also with the settle asset that ids leave out.
        ("BTC/EUR", ["BTC/EUR"]),
        ("btc/usd:btc", ["BTC/USD:BTC", "BTC/USDT"]),
        ("DOGE/USDT:USDT", ["DOGE/USDT"]),
        # The base, then longer ones, then words and letters within one.
        ("btc", ["BTC/USDT", "BTC/USD:BTC", "BTC/EUR", "BTCDOM/USDT", "ETH/BTC", "WBTC/USDT"]),
        ("sol", ["SOL/USDT", "SOLV/USDT"]),
        ("pepe", ["PEPE/USDC", "1000PEPE/USDT"]),
        ("epe", ["1000PEPE/USDT", "PEPE/USDC"]),
        # Base and quote together or apart, in any order.
        ("btcusdt", ["BTC/USDT"]),
        ("BTC-USDT", ["BTC/USDT"]),
        ("usdt btc", ["BTC/USDT", "BTCDOM/USDT", "WBTC/USDT"]),
        ("btcusd", ["BTC/USD:BTC", "BTC/USDT"]),
        ("pepeusdt", ["1000PEPE/USDT"]),
        ("eth btc", ["ETH/BTC"]),
        ("usdt eur", ["USDT/EUR"]),
        # Mistakes: letters in another order, missing, too many, wrong; in the quote as well.
        ("dgoe", ["DOGE/USDT"]),
        ("dge", ["DOGE/USDT"]),
        ("dogge", ["DOGE/USDT"]),
        ("btcudst", ["BTC/USDT"]),
        ("dogeeusdt", ["DOGE/USDT"]),
        ("币安", ["币安人生/USDT"]),
        ("nothing", []),
        ("btc nothing", []),
    ],
)
def test_best_match_comes_first(small, text, best):
    assert list(dict.fromkeys(symbols(small, text)))[: len(best)] == best
    if not best:
        assert symbols(small, text) == []


def test_mistakes_come_after_what_is_right(small):
    first, *others = symbols(small, "etc")
    assert first == "ETC/USDT"
    assert {"ETH/USDT", "BTC/USDT"} < set(others)


def test_words_name_exchange_and_market(small):
    assert found(small, "okx btc") == ["okx spot BTC/USDT"]
    assert found(small, "doge futures") == ["binance futures DOGE/USDT"]
    assert found(small, "perp doge") == ["binance futures DOGE/USDT"]
    assert found(small, "okx") == ["okx spot SOL/USDT", "okx spot BTC/USDT"][::-1]


def test_filters_leave_out_other_venues(small):
    assert found(small, "btcusdt", exchange="okx") == ["okx spot BTC/USDT"]
    assert found(small, "", market="futures", exchange="okx") == []
    assert set(symbols(small, "", market="futures")) == set(FUTURES)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("okx:spot:BTC/USDT:1m", ["okx spot BTC/USDT"]),
        ("okx:spot:BTC/USDT", ["okx spot BTC/USDT"]),
        ("binance:futures:DOGE/USDT:USDT:4h", ["binance futures DOGE/USDT"]),
        ("binance:futures:BTC/USD:BTC", ["binance futures BTC/USD:BTC"]),
        ("nowhere:spot:BTC/USDT:1m", []),
    ],
)
def test_series_id_is_found_where_it_is(small, text, names):
    assert found(small, text)[: len(names) or 1] == names


def test_without_words_everything_is_found(small):
    assert len(found(small, " /: ")) == len(small.entries)


def test_equal_matches_are_ordered_by_whitelist_state_quote_and_volume():
    index = SymbolIndex(
        [
            entry("AX/USDT", volume=10.0),
            entry("AY/USDT", volume=9e6),
            entry("AZ/EUR", volume=9e9),
            entry("AB/USDT", is_active=False, volume=9e9),
            entry("ALONG/USDT", timeframes=("1m",)),
        ]
    )
    assert symbols(index, "a") == ["ALONG/USDT", "AY/USDT", "AX/USDT", "AZ/EUR", "AB/USDT"]
    assert symbols(index, "ax")[0] == "AX/USDT"


@pytest.fixture(scope="module")
def large():
    """Six venues with 2,000 symbols each."""
    letters = itertools.islice(itertools.product("ABCDEFGH", repeat=4), 2000)
    bases = ["".join(each) for each in letters]
    venues = itertools.product(("binance", "kraken", "okx"), ("spot", "futures"))
    return SymbolIndex(
        entry(f"{base}/{quote}", exchange, market, volume=float(number))
        for exchange, market in venues
        for number, base in enumerate(bases)
        for quote in ("USDT" if number % 3 else "EUR",)
    )


@pytest.mark.parametrize("text", ["", "a", "ab usdt", "okx", "hhhg"])
def test_pages_have_everything_once(large, text):
    result = large.search(SymbolQuery(text))
    pages, key = [], None
    while True:
        page = large.page(result, limit=97, after=key)
        pages.append(page.entries)
        key = page.next_key
        if key is None:
            break
    seen = [id(each) for each in itertools.chain(*pages)]
    assert len(seen) == len(set(seen)) == len(result) > 0
    assert all(len(page) <= 97 for page in pages)


def test_next_page_is_right_after_the_list_has_changed():
    """Another process, or a newer listing: what was shown is not shown again."""
    names = [f"A{number:02}/USDT" for number in range(40)]
    before = SymbolIndex(entry(name) for name in names)
    first = before.page(before.search(SymbolQuery("a")), limit=10)
    after = SymbolIndex(entry(name) for name in [*names[5:], "A00X/USDT", "B/USDT"])
    rest = after.page(after.search(SymbolQuery("a")), limit=100, after=first.next_key)
    assert [each.symbol for each in rest.entries] == [*names[10:], "A00X/USDT"]


def test_answers_that_are_kept_are_bounded(large):
    for number in range(CACHED_SEARCHES + 5):
        large.search(SymbolQuery(f"aa {number}"))
    assert large.search.cache_info().currsize == CACHED_SEARCHES
    assert large.search(SymbolQuery("")).itemsize * len(large.entries) < 100_000


@pytest.mark.parametrize(
    ("text", "symbol", "marked"),
    [
        ("btc", "BTC/USDT", "BTC"),
        ("btcusdt", "BTC/USDT", "BTCUSDT"),
        ("usdt btc", "BTC/USDT", "BTCUSDT"),
        ("pepe", "1000PEPE/USDT", "PEPE"),
        ("dge", "DOGE/USDT", "DGE"),
        ("okx", "BTC/USDT", ""),
        ("", "BTC/USDT", ""),
    ],
)
def test_letters_that_match_are_marked(text, symbol, marked):
    ranges = matched_ranges(words_of(text), symbol)
    assert "".join(symbol[first:end] for first, end in ranges) == marked
    assert ranges == sorted(ranges)


@pytest.mark.parametrize(
    ("left", "right", "is_one"),
    [
        ("DOGE", "DGOE", True),
        ("DOGE", "DOG", True),
        ("DOGE", "DOGEE", True),
        ("DOGE", "DOBE", True),
        ("DOGE", "DGEO", False),
        ("DOGE", "DO", False),
        ("DOGE", "EGOD", False),
    ],
)
def test_one_edit(left, right, is_one):
    assert is_one_edit(left, right) is is_one_edit(right, left) is is_one
