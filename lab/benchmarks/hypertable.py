"""The candle store on a hypertable, against the same store on a plain table of the same server.

    TEST_DATABASE_URL=postgres://… python -m lab.benchmarks.hypertable

Makes two databases there and drops them. The limit is the plain table.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from lab.benchmarks.harness import Comparison, Target, interleave, print_machine
from lab.benchmarks.samples import FIRST as START
from lab.benchmarks.samples import new_series
from lab.database import create_database, drop_database, server_url
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.stores import postgres_timescale as timescale
from market.stores.postgres import PostgresCandleStore
from market.stores.postgres_timescale import HypertablePlan

DAY = 86_400
BATCH = 50_000
MINUTES = 500_000
LIVE = 200
READS = 50
PLAN = HypertablePlan(chunk_s=7 * DAY)
HISTORY = SeriesId.parse("binance:spot:BTC/USDT:1m")
DAYS = SeriesId.parse("binance:spot:BTC/USDT:1d")


def rows(count: int, *, step: int = 60, close: float = 1.5) -> list[Candle]:
    """Return candles one after the other from START on."""
    return [Candle(START + step * i, 1.0, 9.0, 0.5, close, i / 7) for i in range(count)]


def write(series: SeriesId, candles: list[Candle]) -> None:
    """Write as the pipeline does, without stages."""
    with PostgresCandleStore().writing(series) as writer:
        writer.upsert(candles)
        writer.advance(max(candles[-1].candle_time, writer.state.head or 0), revised_from=None)


def imported(candles: list[Candle]) -> float:
    """Return rows a second into an empty series."""
    return _rate(len(candles), partial(write, new_series(), candles))


def repeated(candles: list[Candle]) -> float:
    """Return rows a second of what is stored already."""
    return _rate(len(candles), lambda: write(HISTORY, candles))


def live() -> float:
    """Return candles a second, a transaction each."""
    series, candles = new_series(), rows(LIVE)

    def one_by_one() -> None:
        for candle in candles:
            write(series, [candle])

    return _rate(LIVE, one_by_one)


def read(ask: Callable[[PostgresCandleStore], object]) -> float:
    """Return milliseconds of one read."""
    store = PostgresCandleStore()
    return 1000 / _rate(READS, lambda: [ask(store) for _ in range(READS)])


def _rate(count: int, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


@contextmanager
def databases(url: str) -> Iterator[tuple[str, str]]:
    """Two empty databases: one for a hypertable and one for a plain table."""
    hyper, plain = create_database(url, prefix="hyper"), create_database(url, prefix="plain")
    try:
        yield hyper, plain
    finally:
        connection.close()
        drop_database(hyper)
        drop_database(plain)


def use(url: str, *, is_hypertable: bool) -> None:
    """Have the store work on another database."""
    connection.close()
    connection.settings_dict["NAME"] = urlsplit(url).path.strip("/")
    connection.ensure_connection()
    settings.SWITCHES = replace(settings.SWITCHES, enable_timescale=is_hypertable)


def fill(url: str) -> None:
    """Store a year of minutes and ten years of days."""
    use(url, is_hypertable=False)
    call_command("migrate", verbosity=0)
    everything = rows(MINUTES)
    for begin in range(0, MINUTES, BATCH):
        write(HISTORY, everything[begin : begin + BATCH])
    write(DAYS, rows(3650, step=DAY))


def convert() -> None:
    """Make a hypertable of the table in use."""
    seconds = 1 / _rate(1, lambda: timescale.enable(connection, PLAN))
    chunks, count = _hypertable().chunks, MINUTES + 3650
    print(f"conversion of {count:,} rows into {chunks} chunks: {seconds:.1f} s", flush=True)


def comparisons() -> Iterator[tuple[str, str, Callable[[], float], Target | None]]:
    """What is measured, in which unit, and what it must reach."""
    batch, page, end = rows(BATCH), rows(1000), START + 60 * MINUTES
    most = Target(0.65, at_least=True)
    yield "COPY of 50,000 new rows", "rows/s", partial(imported, batch), most
    yield "pages of 1,000 new rows", "rows/s", partial(imported, page), most
    yield "50,000 rows again", "rows/s", partial(repeated, batch), most
    yield "live candles one by one", "candles/s", live, None
    asks: dict[str, Callable[[PostgresCandleStore], Any]] = {
        "newest 500": lambda store: store.newest(HISTORY, 500),
        "500 after a time in the middle": lambda s: s.read_after(HISTORY, end - 30 * MINUTES, 500),
        "newest 500 of a day series": lambda store: store.newest(DAYS, 500),
        "gaps of a week": lambda store: store.gaps(HISTORY, end - 7 * DAY, end),
        "first": lambda store: store.first(HISTORY),
    }
    for title, ask in asks.items():
        yield title, "ms", partial(read, ask), None


def compress() -> None:
    """Print what compression saves, and what reads and writes cost in it."""
    before = _hypertable().size_bytes
    timescale.enable(connection, HypertablePlan(chunk_s=PLAN.chunk_s, compress_after_s=30 * DAY))
    with connection.cursor() as cursor:
        cursor.execute("SELECT compress_chunk(chunk) FROM show_chunks('candles') AS chunk")
    print(f"compression: {before / 1e6:.0f} MB to {_hypertable().size_bytes / 1e6:.0f} MB")
    print(f"newest 500, compressed: {read(lambda store: store.newest(HISTORY, 500)):.2f} ms")
    revised = rows(MINUTES, close=1.6)
    dense, sparse = revised[100_000:101_000], revised[200_000:400_000:1000]
    for title, candles in (("1,000 revised rows", dense), ("200 scattered ones", sparse)):
        print(f"{title}, compressed: {_rate(len(candles), partial(write, HISTORY, candles)):.0f}/s")


def _hypertable() -> timescale.Hypertable:
    found = timescale.status(connection).hypertable
    assert found is not None
    return found


def main() -> None:
    """Print the comparisons."""
    url = os.environ.get("TEST_DATABASE_URL")
    if not url:
        print("left out: TEST_DATABASE_URL names no server with TimescaleDB")
        return
    os.environ["DJANGO_SETTINGS_MODULE"] = "trade_canvas.settings"
    os.environ["DATABASE_URL"] = server_url(url)
    os.environ["TRADE_CANVAS_ENABLE_PG_STORE"] = "1"
    django.setup()
    print_machine()
    with databases(url) as (hyper, plain):
        for each in (plain, hyper):
            fill(each)
        convert()
        for title, unit, measure, target in comparisons():

            def on(database: str, measured: Callable[[], float] = measure) -> float:
                use(database, is_hypertable=database == hyper)
                return measured()

            figures = interleave(partial(on, hyper), partial(on, plain))
            print(Comparison(title, unit, *figures, target), flush=True)
        use(hyper, is_hypertable=True)
        compress()


if __name__ == "__main__":
    main()
