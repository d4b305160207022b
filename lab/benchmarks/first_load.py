"""What each request of a page's first load costs the web process, in processor time.

Asked twice behind every new candle: the first answer is made anew, as it is for most pages where
candles close each second, the second is what a page costs that comes with others.
"""

from __future__ import annotations

import itertools
import os
import statistics
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

from lab.benchmarks.harness import print_machine
from lab.benchmarks.samples import new_series, walk
from lab.benchmarks.stack import stack, web
from lab.browser_drawings import FRAME, WINDOW
from lab.browser_page import ACCEPT_CANDLES, CANDLES
from lab.program import Program
from market.domain.series import SeriesId
from market.runtime import pipeline

HISTORY = 4_000
CANDLES_EACH = 40
TIMEOUT_S = 20.0


def requests_of(series: SeriesId) -> list[tuple[str, Mapping[str, str]]]:
    """The answers of a first load that are not files, each with the headers of its request."""
    symbol = quote(str(series).rpartition(":")[0])
    drawings = {"series_id": str(series), "window_candles": WINDOW, "factor_slices": "false"}
    return [
        ("/", {}),
        ("/api/market/whitelist", {}),
        ("/api/factor/catalog", {}),
        (f"/api/market/symbols?query={symbol}&limit=1", {}),
        (
            f"{CANDLES}?{urlencode({'series_id': series, 'limit': 2000})}",
            {"Accept": ACCEPT_CANDLES},
        ),
        (f"{FRAME}?{urlencode(drawings)}", {}),
    ]


def spent_ms(process: Program) -> float:
    """Processor time that all threads of a process have used."""
    threads = Path(f"/proc/{process.pid}/task")
    used = [(threads / each / "schedstat").read_text().split()[0] for each in os.listdir(threads)]
    return sum(map(int, used)) / 1e6


def asked_ms(process: Program, path: str, headers: Mapping[str, str]) -> float:
    """Processor time of one answer."""
    before = spent_ms(process)
    given = {"Accept-Encoding": "gzip", **headers}
    with urllib.request.urlopen(
        urllib.request.Request(process.url + path, headers=given), timeout=TIMEOUT_S
    ) as answer:
        answer.read()
    return spent_ms(process) - before


def main() -> None:
    """Print the medians."""
    print_machine()
    with stack(ledgers=True) as installation, web(installation) as process:
        series, candles = new_series(), walk()
        pipeline().ingest(series, itertools.islice(candles, HISTORY))
        for path, headers in requests_of(series):
            asked_ms(process, path, headers)
            anew, again = [], []
            for _ in range(CANDLES_EACH):
                # By this process: it costs the web process nothing.
                pipeline().ingest(series, [next(candles)])
                anew.append(asked_ms(process, path, headers))
                again.append(asked_ms(process, path, headers))
            medians = [statistics.median(each) for each in (anew, again)]
            name = path.partition("?")[0]
            print(f"{name}: anew {medians[0]:.1f} ms, again {medians[1]:.1f} ms", flush=True)


if __name__ == "__main__":
    main()
