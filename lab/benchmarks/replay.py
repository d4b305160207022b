"""Seeks, packages and bytes of a replay, in a series of a million candles with drawings.

A seek is the state at a random candle (`replay/stream` with `from` = `to`), against a page of 2,000
candles from a random one, both over one connection to the same web process and read uncached. The
recorded walk is random to the cent, so its prices hardly compress. REPLAY_CANDLES makes the series
shorter for a first look; `-m lab.benchmarks.replay seeks bytes packages` names parts to run.
"""

from __future__ import annotations

import http.client
import os
import random
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from urllib.parse import urlencode

from lab.benchmarks.harness import Comparison, Target, interleave, percentile, print_machine
from lab.benchmarks.samples import FIRST, walk
from lab.benchmarks.stack import stack, web
from market.domain.series import SeriesId
from market.runtime import pipeline

SERIES = SeriesId.parse("binance:futures:BTC/USDT:1m")
STORED = int(os.environ.get("REPLAY_CANDLES", "1000000"))
BATCH = 10_000
ROWS = 2000
SEEKS = 150
PACKAGES = 3
STREAMED = 20_000

PACKAGE_S = 3.0
PACKAGE_BYTES = 2_000_000
BYTES_A_BAR = 48


class Client:
    """One connection that is kept open."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=120)

    def get(self, path: str, *, encoding: str = "identity", **query: object) -> bytes:
        """Return the body as it was sent."""
        address = f"{path}?{urlencode({'series_id': str(SERIES), **query})}"
        self._connection.request("GET", address, headers={"Accept-Encoding": encoding})
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{address}: {answer.status} {body[:200]!r}")
        return body


def fill() -> None:
    """Store the candles with their drawings."""
    candles = walk()
    for _ in range(STORED // BATCH):
        pipeline().ingest(SERIES, list(islice(candles, BATCH)))


def at_random(seed: int) -> Iterator[int]:
    """Open times of stored candles, all over the series."""
    rng = random.Random(seed)
    while True:
        yield FIRST + 60 * rng.randrange(ROWS, STORED - ROWS)


def p95_ms(request: Callable[[], object]) -> float:
    """The time within which 95 of 100 requests are answered."""
    times = []
    for _ in range(SEEKS):
        began = time.perf_counter()
        request()
        times.append(1000 * (time.perf_counter() - began))
    return percentile(times, 0.95)


def seeks(client: Client, encoding: str) -> Comparison:
    """Compare seeks with pages of candles."""
    times = at_random(1)

    def seek() -> bytes:
        at = next(times)
        path = "/api/replay/stream"
        return client.get(path, encoding=encoding, **{"from": at, "to": at})

    def page() -> bytes:
        path = "/api/market/candles"
        return client.get(path, encoding=encoding, since=next(times) + 1, limit=ROWS)

    ours, limit = interleave(lambda: p95_ms(seek), lambda: p95_ms(page))
    title = f"seek in {STORED:,} bars, p95, {encoding}"
    return Comparison(title, "ms", ours, limit, Target(3))


def packages() -> Iterator[Comparison]:
    """Compare packages of 2,000 candles with what they may take."""
    from overlays.replay import jobs  # noqa: PLC0415  Needs Django, which `stack` sets up.

    cpu, elapsed, ready, sizes = [], [], [], []
    for at in islice(at_random(2), PACKAGES):
        spec = jobs.spec_of(SERIES, at, window_candles=ROWS, window_size=500, snapshot_interval=25)
        jobs.request(spec)
        began, began_cpu, queued = time.perf_counter(), time.process_time(), queued_s()
        list(jobs.parts(spec.cache_key))
        cpu.append(time.process_time() - began_cpu)
        elapsed.append(time.perf_counter() - began)
        ready.append(elapsed[-1] - (queued_s() - queued))
        folder = jobs.artifacts().folder(spec.cache_key)
        assert folder is not None
        sizes.append(float(folder.package.stat().st_size))
    title = f"package of {ROWS} candles"
    limit = [PACKAGE_S] * PACKAGES
    yield Comparison(f"{title}, processor time", "s", cpu, limit, Target(1))
    yield Comparison(f"{title}, elapsed", "s", elapsed, limit, Target(1))
    yield Comparison(f"{title}, elapsed while it had a core", "s", ready, limit, Target(1))
    yield Comparison(title, "bytes", sizes, [float(PACKAGE_BYTES)] * PACKAGES, Target(1))


def queued_s() -> float:
    """How long this thread has waited for a core, though it could have run: others had them.

    What it waits for stores and disks is not in it, even where those waited for a core.
    """
    with open("/proc/thread-self/schedstat") as line:
        return int(line.read().split()[1]) / 1e9


def bytes_a_bar(client: Client) -> Comparison:
    """Compare what bars with drawings take on the wire, gzipped, with the bound."""
    found = []
    for at in islice(at_random(3), 3):
        start = min(at, FIRST + 60 * (STORED - STREAMED - 1))
        query = {"from": start, "to": start + 60 * STREAMED, "limit": STREAMED}
        body = client.get("/api/replay/stream", encoding="gzip", **query)
        bars = zlib.decompress(body, wbits=31).count(b'"close":[')
        assert bars > 1
        found.append(len(body) / STREAMED)
    limit = [float(BYTES_A_BAR)] * len(found)
    return Comparison("bytes a bar with drawings", "bytes", found, limit, Target(1))


def main() -> None:
    """Print the comparisons of the parts that are named, or of all."""
    print_machine()
    parts = set(sys.argv[1:]) or {"seeks", "bytes", "packages"}
    with stack(ledgers=True) as installation:
        fill()
        if parts & {"seeks", "bytes"}:
            with web(installation) as ours:
                client = Client(ours.url)
                for encoding in ("identity", "gzip") if "seeks" in parts else ():
                    print(seeks(client, encoding), flush=True)
                if "bytes" in parts:
                    print(bytes_a_bar(client), flush=True)
        for comparison in packages() if "packages" in parts else ():
            print(comparison, flush=True)


if __name__ == "__main__":
    main()
