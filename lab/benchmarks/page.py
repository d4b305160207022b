"""The page in Chromium, against a page with nothing but lightweight-charts.

Both read the same candles from the same web process and receive the same messages; for the main
thread and the heap they are open side by side. All factors are drawn. The bare page (`bare_page/`)
has a chart of the same size, one socket, and no code for anything else. Times of the main thread
are processor time, which other programs disturb little; the time to the first candles is real time,
too, and needs an idle machine. A first visit comes from a page of another site, as by a link or a
bookmark, so that both pages begin in a new process: from an empty tab only ours would, because of
its Cross-Origin-Opener-Policy. `-m lab.benchmarks.page load socket main heap` names parts to run.
"""

from __future__ import annotations

import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import orjson
from playwright.sync_api import Browser, sync_playwright

from lab.benchmarks.harness import Comparison, Target, print_machine
from lab.benchmarks.page_views import Spent, View
from lab.benchmarks.stack import TOKEN, bare, stack, web
from lab.browser import ARGUMENTS, CHROMIUM
from lab.exchange import Exchange
from lab.installation import Installation
from lab.program import COLLECT_STATIC, manage
from lab.waiting import wait_until
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.runtime import pipeline
from trade_canvas.environment import BASE_DIR
from trade_canvas.switches import PREFIX
from trade_canvas.up.plan import HOST

SERIES = SeriesId.parse("sim:futures:BTC/USDT:1s")
STORED = 21_000
LONG = 20_000
FED = 4_000
"""Candles that are not stored at first, but fed to the open pages."""
LOADS = 16
ROUNDS = 5
FORMING_A_ROUND, FORMING_PAUSE_S = 24, 0.25
CLOSED_A_ROUND, CLOSED_PAUSE_S = 20, 0.25
SOCKET_CANDLES = 20
SETTLE_S = 1.0
UPDATES = 10_000
UPDATES_A_CANDLE = 20
BARE_PAGE = Path(__file__).with_name("bare_page")
LIBRARY = (
    BASE_DIR / "frontend/node_modules/lightweight-charts/dist"
    "/lightweight-charts.standalone.production.js"
)
COMPRESS = """
const [fs, zlib] = [require("fs"), require("zlib")];
for (const path of process.argv.slice(1))
    fs.writeFileSync(`${path}.br`, zlib.brotliCompressSync(fs.readFileSync(path)));
"""


class Feed:
    """Posts candles to the web process over one kept connection."""

    def __init__(self, url: str, candles: list[Candle]) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
        self._candles = iter(candles)
        self._next = next(self._candles)
        self.newest = 0
        """Open time of the newest closed candle."""
        self._random = random.Random(7)  # noqa: S311  Prices, not secrets.

    def close_candle(self) -> int:
        """Post the next closed candle; return its open time."""
        self._post("closed", self._next)
        self.newest = self._next.candle_time
        self._next = next(self._candles)
        return self.newest

    def form(self) -> float:
        """Post the open candle with another last price, which is returned."""
        candle = self._next
        close = round(self._random.uniform(candle.low, candle.high), 2)
        self._post("forming", candle._replace(close=close))
        return close

    def _post(self, kind: str, candle: Candle) -> None:
        body = orjson.dumps({"series_id": str(SERIES), "candle": candle._asdict()})
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        path = f"/api/market/ingest/candle_{kind}"
        try:
            self._connection.request("POST", path, body, headers)
            answer = self._connection.getresponse()
        except ConnectionError:  # The server closes idle connections.
            self._connection.close()
            self._connection.request("POST", path, body, headers)
            answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{answer.status}: {text.decode()}")


class Pages:
    """Opens both pages."""

    def __init__(self, browser: Browser, ours_url: str, bare_url: str) -> None:
        self._browser = browser
        self._elsewhere = f"{bare_url.replace(HOST, 'localhost')}/elsewhere.html"
        self._ours = f"{ours_url}/?series={quote(str(SERIES))}"
        self._bare = f"{bare_url}/?"
        self._query = {"server": ours_url, "series": str(SERIES)}
        view = self.ours()
        size = view.page.evaluate(
            "() => { const { width, height } = document.querySelector('.chart')"
            ".getBoundingClientRect(); return { width, height }; }"
        )
        self._query |= {name: str(round(value)) for name, value in size.items()}
        view.close()

    def ours(self, *, first: bool = False) -> View:
        """Open our page, and wait until it follows live with all its drawings."""
        view = View(self._browser, self._ours, ".chart", elsewhere=self._elsewhere * first)
        view.wait_for("status", "live")
        view.wait_for("overlay-status", "ready")
        return view

    def bare(self, candles: int = 2000, *, first: bool = False) -> View:
        """Open the bare page with so many candles, and wait until it follows live."""
        query = urlencode({**self._query, "candles": candles})
        url = f"{self._bare}{query}"
        view = View(self._browser, url, "#chart", elsewhere=self._elsewhere * first)
        view.wait_for("status", "live")
        return view


@dataclass(frozen=True, slots=True)
class Visit:
    """A first visit of a page, with everything that it loads."""

    first_candles_ms: float
    thread_ms: float | None
    kilobytes: float
    largest: list[tuple[int, str]]

    @staticmethod
    def of(view: View) -> Visit:
        """Measure a page that was just opened, and close it."""
        times = view.first_candles_ms(), view.first_candles_thread_ms()
        time.sleep(SETTLE_S)
        kilobytes = (view.http_bytes + view.socket_bytes) / 1000
        visit = Visit(*times, kilobytes, view.largest(12))
        view.close()
        return visit


def load(pages: Pages) -> Iterator[Comparison]:
    """Compare first visits; each pair begins with the other page."""
    visits: dict[str, list[Visit]] = {"ours": [], "bare": []}
    openers = {"ours": pages.ours, "bare": pages.bare}
    for number in range(LOADS + 1):
        for name in sorted(openers, reverse=number % 2 == 0):
            visit = Visit.of(openers[name](first=True))
            if number:
                visits[name].append(visit)
    ours, limit = visits["ours"], visits["bare"]
    for prefix, shown, count in (("", ours, 12), ("bare ", limit, 4)):
        for size, path in shown[-1].largest[:count]:
            print(f"    {size / 1000:8.1f} KB  {prefix}{path}")
    a, b = ([each.kilobytes for each in side] for side in (ours, limit))
    yield Comparison("a cold load with all drawings", "KB", a, b, Target(1.5))
    a, b = ([each.first_candles_ms for each in side] for side in (ours, limit))
    yield Comparison("first candles drawn", "ms", a, b, Target(1.2))
    times = [(a.thread_ms, b.thread_ms) for a, b in zip(ours, limit, strict=True)]
    known = [(a, b) for a, b in times if a is not None and b is not None]
    a, b = ([pair[side] for pair in known] for side in (0, 1))
    yield Comparison("main thread until then", "ms", a, b)


def socket(pages: Pages, feed: Feed) -> Iterator[str]:
    """Count what our page requests for each closed candle of a second, beside the socket."""
    ours = pages.ours()
    time.sleep(3 * SETTLE_S)
    before = ours.http_bytes, ours.socket_bytes
    for _ in range(SOCKET_CANDLES):
        began = time.monotonic()
        last = feed.close_candle()
        time.sleep(max(0.0, 1 - (time.monotonic() - began)))
    caught_up(ours, last)
    time.sleep(SETTLE_S)
    after = ours.http_bytes, ours.socket_bytes
    ours.close()
    http, frames = ((b - a) / SOCKET_CANDLES for a, b in zip(before, after, strict=True))
    verdict = "met" if http <= 2000 else "MISSED"
    yield (
        f"a closed candle of 1s: {http:,.0f} bytes beside the socket, {frames:,.0f} on it"
        f"  target <= 2000: {verdict}"
    )


def main_thread(pages: Pages, feed: Feed) -> Iterator[Comparison]:
    """Compare what candles cost the main thread, behind 2,000 candles and behind LONG."""
    ours, limit = pages.ours(), pages.bare()
    yield from _rounds("2,000", (ours, limit), feed)
    limit.close()
    _load_back(ours, LONG)
    limit = pages.bare(LONG)
    yield from _rounds(f"{LONG:,}", (ours, limit), feed)
    ours.close()
    limit.close()


def _rounds(behind: str, views: tuple[View, View], feed: Feed) -> Iterator[Comparison]:
    def form() -> None:
        feed.form()
        time.sleep(FORMING_PAUSE_S)

    def close() -> None:
        feed.close_candle()
        time.sleep(CLOSED_PAUSE_S)

    pairs: dict[str, list[list[Spent]]] = {"forming": [], "closed": []}
    for _ in range(ROUNDS + 1):
        pairs["forming"].append(_spent(views, form, FORMING_A_ROUND))
        pairs["closed"].append(_spent(views, close, CLOSED_A_ROUND))
        for view in views:
            caught_up(view, feed.newest)
    for name, (_, *rounds) in pairs.items():
        ours, limit = ([1000 * pair[side].total for pair in rounds] for side in (0, 1))
        title = f"a {name} candle behind {behind}, main thread"
        yield Comparison(title, "ms/candle", ours, limit, Target(1.5))
        for part in ("script", "layout"):
            median = statistics.median(getattr(pair[0], part) for pair in rounds)
            print(f"    of ours {1000 * median:.2f} ms {part}")


def _spent(views: tuple[View, View], step: Callable[[], None], count: int) -> list[Spent]:
    """Return what each page's main thread uses for one of `count` steps."""
    time.sleep(SETTLE_S)
    before = [view.spent() for view in views]
    for _ in range(count):
        step()
    # What a candle brings with it may come a moment later.
    time.sleep(SETTLE_S)
    return [view.spent().since(start, count) for view, start in zip(views, before, strict=True)]


def caught_up(view: View, closed: int) -> None:
    """Wait until a page shows the closed candle."""
    wait_until(lambda: int(view.fact("last-time")) >= closed, 10, f"candle {closed} on the page")


def _load_back(ours: View, count: int) -> None:
    """Scroll our page back until it holds `count` candles with drawings, and to the end again."""
    ours.page.focus(".chart")

    def has_enough() -> bool:
        for _ in range(15):
            ours.page.keyboard.press("Shift+ArrowLeft")
        return int(ours.fact("candle-count")) >= count

    wait_until(has_enough, 60, f"{count} candles")
    ours.wait_for("older-status", "complete")
    ours.page.keyboard.press("End")


def heap(pages: Pages, feed: Feed) -> Iterator[Comparison | str]:
    """Compare heaps after UPDATES updates, and ours with itself after half of them."""
    views = pages.ours(), pages.bare()
    halves: list[list[float]] = []
    for number in range(1, UPDATES + 1):
        if number % UPDATES_A_CANDLE == 0:
            last = feed.close_candle()
        else:
            feed.form()
        if number in (UPDATES // 2, UPDATES):
            for view in views:
                caught_up(view, last)
            time.sleep(3 * SETTLE_S)
            halves.append([view.heap_mb() for view in views])
    for view in views:
        view.close()
    (half, _), (whole, limit) = halves
    yield Comparison(f"heap after {UPDATES:,} updates", "MB", [whole], [limit], Target(1.3))
    yield f"our heap after {UPDATES:,} updates against {UPDATES // 2:,}: {whole / half:.3f}"


def fill(exchange: Exchange) -> list[Candle]:
    """Store candles of the local exchange that end a while ago; return those that follow them."""
    end = int(time.time()) - 10
    candles: list[Candle] = []
    for start in range(end - STORED - FED, end, 1000):
        rows = exchange.truth(str(SERIES), start, start + 999)
        candles += [Candle(**{name: row[name] for name in Candle._fields}) for row in rows]
    pipeline().ingest(SERIES, candles[:STORED])
    return candles[STORED:]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def bare_page(installation: Installation) -> Iterator[str]:
    """The address of the bare page, compressed as ours is, for as long as the context lasts."""
    folder = installation.directory / "bare_page"
    shutil.copytree(BARE_PAGE, folder)
    shutil.copy(LIBRARY, folder / "chart.js")
    node = Path(sys.executable).with_name("node")
    paths = [str(path) for path in folder.iterdir()]
    subprocess.run([node, "-e", COMPRESS, *paths], check=True)
    with bare(installation, "files", str(folder)) as served:
        yield served.url


def main(parts: list[str]) -> None:
    """Print the comparisons; of some parts only, if they are named."""
    print_machine()
    subprocess.run(manage(*COLLECT_STATIC), cwd=BASE_DIR, check=True)
    with stack(ledgers=True) as installation, bare_page(installation) as bare_url:
        exchange = installation.local_exchange()
        candles = fill(exchange)
        on = ("ENABLE_DEBUG_API", "ENABLE_COMPACT_HISTORY")
        switches = {f"{PREFIX}CORS_ORIGINS": bare_url} | {f"{PREFIX}{name}": "1" for name in on}
        with web(installation, **switches) as process, chromium() as browser:
            pages, feed = Pages(browser, process.url, bare_url), Feed(process.url, candles)
            every: dict[str, Callable[[], Iterator[object]]] = {
                "load": lambda: load(pages),
                "socket": lambda: socket(pages, feed),
                "main": lambda: main_thread(pages, feed),
                "heap": lambda: heap(pages, feed),
            }
            for name, run in every.items():
                if not parts or name in parts:
                    for each in run():
                        print(each, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
