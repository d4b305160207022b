"""Chunks of compact history against candle pages: bytes, and decoding in Node and in Python.

The candles are the recorded markets of `shared/data` beside the checkout, in whole cells. A page
has the same candles, as the server sends it: JSON, compressed at its level. Pages in both forms are
made from a store in memory. Both sides decode what the network stack hands over (in Node), or what
arrives (in Python), to candles of the same form.
The million is the recorded minutes of DOGE/USDT, one copy after the other; in Chromium the page's
decoder and the page's chart (`long_chart.ts`) show them, and for comparison a chart of the library
as it comes.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from unittest import mock

import orjson
from playwright.sync_api import Browser, CDPSession, Route, sync_playwright

from lab.benchmarks.harness import Comparison, Target, interleave, print_machine
from lab.benchmarks.page import LIBRARY
from lab.benchmarks.samples import new_series
from lab.browser import ARGUMENTS, CHROMIUM
from market.api.candle_pages import CandlePages
from market.api.candle_query import PageQuery
from market.api.gzip_body import LEVEL
from market.api.history_chunks import CELL_CANDLES, compressed
from market.candle_files.judge import Judges, Rules
from market.candle_files.reading import read
from market.domain.candle import Candle
from market.domain.history_format import encode
from market.domain.series import SeriesId
from market.stores.memory import MemoryCandleStore
from trade_canvas.environment import BASE_DIR
from trade_canvas_client import history
from trade_canvas_client.history import decode

RECORDED = BASE_DIR.parent / "shared" / "data"
MARKETS = ("BTC_USDT-5m", "DOGE_USDT-1m", "XRP_ETH-1m-with-gaps")
MILLION = 1_000_000
MAX_MILLION_BYTES = 9_000_000
MAX_SHOWN_MS = 2_000
PAGE_CANDLES = 2000
REPEATS = 20
SHOWN_ROUNDS = 3
CLIENT = BASE_DIR / "clients" / "typescript" / "src"
DECODER = CLIENT / "history-chunk.ts"
LONG_CHART = Path(__file__).with_name("long_chart.ts")
COLORS = ("background", "text", "grid", "border", "crosshair", "crosshair-label", "up", "down")
TOKENS = "".join(f"--chart-{color}:#777;" for color in COLORS)
DOCUMENT = f"<div id=chart style='width:1400px;height:800px;{TOKENS}'></div>".encode()

BUILD = """
import { build } from "vite";
const [client, entry, outDir] = process.argv.slice(1);
await build({
  configFile: false,
  logLevel: "warn",
  resolve: { alias: { "trade-canvas-client": client } },
  build: {
    target: "es2022",
    outDir,
    emptyOutDir: false,
    lib: { entry, formats: ["es"], fileName: "long-chart" },
  },
});
"""

ARRIVE = """
async (count) => {
  window.bodies = await Promise.all(
    Array.from({ length: count }, async (_, n) => (await fetch(`/${n}`)).arrayBuffer()),
  );
}
"""

PAGE = """
async () => {
  const { open, show } = await import("/long-chart.js");
  const chart = await open(document.getElementById("chart"));
  window.show = async () => { window.held = await show(chart, window.bodies); };
}
"""

BARE = """
async () => {
  const { decodeChunk } = await import("/long-chart.js");
  const root = document.getElementById("chart");
  const chart = LightweightCharts.createChart(root, { width: 1400, height: 800 });
  const series = chart.addSeries(LightweightCharts.CandlestickSeries);
  const painted = () =>
    new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  await painted();
  window.show = async () => {
    window.held = window.bodies.flatMap(decodeChunk);
    series.setData(
      window.held.map(({ candle_time: time, open, high, low, close }) => {
        return { time, open, high, low, close };
      }),
    );
    await painted();
  };
}
"""

SCRIPT = """
import { readFileSync } from "node:fs";
const [, , decoder, chunk, page, repeats] = process.argv;
const { decodeChunk } = await import(decoder);
const bytes = new Uint8Array(readFileSync(chunk)).buffer;
const text = readFileSync(page, "utf8");
if (JSON.stringify(decodeChunk(bytes)) !== JSON.stringify(JSON.parse(text).candles)) {
  throw new Error("not the same candles");
}
const time = (run) => {
  const start = performance.now();
  for (let n = 0; n < repeats; n += 1) run();
  return (performance.now() - start) / repeats;
};
const rounds = Array.from({ length: 12 }, () => [
  time(() => decodeChunk(bytes)),
  time(() => JSON.parse(text)),
]);
console.log(JSON.stringify(rounds.slice(2)));
"""


def recorded(market: str) -> list[Candle]:
    """Return the recorded candles of a market."""
    path = RECORDED / f"{market}.csv.gz"
    judges = Judges(new_series(), Rules(now=time.time(), off_grid=True))
    with path.open("rb") as file:
        return [candle for rows in read(file, judges).rows for candle in rows.candles]


def cells(candles: Sequence[Candle]) -> list[Sequence[Candle]]:
    """Return the candles in whole cells; all of them, if they do not fill one."""
    whole = range(0, len(candles) - CELL_CANDLES + 1, CELL_CANDLES)
    return [candles[start : start + CELL_CANDLES] for start in whole] or [candles]


def page(candles: Sequence[Candle]) -> bytes:
    """Return the body of a candle page."""
    return orjson.dumps({"candles": [candle.as_object() for candle in candles]})


def pages_made(market: str) -> Comparison:
    """Compare making a page of the newest candles as columns with making it as JSON, compressed."""
    series = SeriesId.parse("test:spot:PAGE/MADE:1m")
    store = MemoryCandleStore()
    with store.writing(series) as writer:
        candles = recorded(market)
        writer.upsert(candles)
        writer.advance(candles[-1].candle_time, revised_from=None)
    query = PageQuery(series, None, PAGE_CANDLES)

    def make(asked: PageQuery) -> float:
        return milliseconds(lambda: CandlePages(store).read(asked, gzip=True))

    ours, limit = interleave(lambda: make(query._replace(compact=True)), lambda: make(query))
    return Comparison(f"{market}: a page of {PAGE_CANDLES} made", "ms", ours, limit)


def sizes(market: str) -> Comparison:
    """Compare the bytes of a market's cells."""
    parts = cells(recorded(market))
    ours = [len(compressed(encode(part))) for part in parts]
    limit = [len(zlib.compress(page(part), LEVEL)) for part in parts]
    return Comparison(
        f"{market}, {len(parts)} cells: bytes", "bytes/cell", ours, limit, Target(0.4)
    )


def in_python(market: str) -> Comparison:
    """Compare decoding the newest cell to tuples, decompression included; numpy is installed."""
    return decoded(market, "decoding in Python", Target(0.35))


def without_numpy(market: str) -> Comparison:
    """Compare the same where numpy is not installed."""
    with mock.patch.object(history, "numpy", return_value=None):
        return decoded(market, "decoding in Python without numpy")


def decoded(market: str, title: str, target: Target | None = None) -> Comparison:
    """Compare decoding the newest cell to tuples, decompression included."""
    candles = cells(recorded(market))[-1]
    chunk, body = compressed(encode(candles)), zlib.compress(page(candles), LEVEL)
    row = itemgetter(*Candle._fields)

    def of_chunk() -> object:
        return decode(zlib.decompress(chunk, zlib.MAX_WBITS | 16))

    def of_page() -> object:
        return [row(each) for each in orjson.loads(zlib.decompress(body))["candles"]]

    assert of_chunk() == of_page()
    ours, limit = interleave(lambda: milliseconds(of_chunk), lambda: milliseconds(of_page))
    return Comparison(f"{market}: {title}", "ms", ours, limit, target)


def milliseconds(run: Callable[[], object]) -> float:
    """Return the processor time of one call, which other programs disturb little."""
    start = time.thread_time()
    for _ in range(REPEATS):
        run()
    return 1000 * (time.thread_time() - start) / REPEATS


def in_node(market: str) -> Comparison:
    """Compare decoding the newest cell to objects with JSON.parse."""
    candles = cells(recorded(market))[-1]
    node = str(Path(sys.executable).with_name("node"))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("script.mjs", "chunk", "page")]
        for file, content in zip(
            files, (SCRIPT.encode(), encode(candles), page(candles)), strict=True
        ):
            file.write_bytes(content)
        script, *bodies = map(str, files)
        command = [node, "--experimental-strip-types", "--no-warnings", script]
        done = subprocess.run(
            [*command, str(DECODER), *bodies, str(REPEATS)],
            check=True,
            capture_output=True,
            timeout=300,
        )
    ours, limit = zip(*json.loads(done.stdout), strict=True)
    return Comparison(f"{market}: decoding in Node", "ms", ours, limit, Target(0.35))


def million() -> Iterator[str]:
    """Report the bytes of a million candles of a minute, and how soon a browser shows them."""
    candles = recorded("DOGE_USDT-1m")
    span = candles[-1].candle_time - candles[0].candle_time + 60
    copies = range(-(-MILLION // len(candles)))
    many = chain.from_iterable(
        (candle._replace(candle_time=candle.candle_time + copy * span) for candle in candles)
        for copy in copies
    )
    taken = [candle for candle, _ in zip(many, range(MILLION), strict=False)]
    found = [taken[start : start + CELL_CANDLES] for start in range(0, MILLION, CELL_CANDLES)]
    chunks = [encode(part) for part in found]
    total = sum(len(compressed(each)) for each in chunks)
    verdict = "met" if total < MAX_MILLION_BYTES else "MISSED"
    yield f"{MILLION} candles: {total} bytes in {len(chunks)} chunks  target < 9 MB: {verdict}"
    ours, limit = in_browser(chunks)
    title = f"{MILLION} candles from the last byte to the screen, main thread"
    yield str(Comparison(title, "ms", ours, limit))
    shown = statistics.median(ours)
    verdict = "met" if shown <= MAX_SHOWN_MS else "MISSED"
    yield f"the same: {shown:.0f} ms  target <= {MAX_SHOWN_MS} ms: {verdict}"


def main_thread_ms(session: CDPSession) -> float:
    """Return the processor time that the main thread has used since the session enabled it."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return 1000 * float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))


def in_browser(chunks: Sequence[bytes]) -> tuple[list[float], list[float]]:
    """Return what the main thread needs from the last byte to the frame with all candles.

    Milliseconds of processor time, which other programs disturb little, of each round: of the
    page's chart and of the library's.
    """
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        script = page_chart(Path(folder))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))

        def measured(opened: str) -> float:
            return shown_ms(browser, script, chunks, opened)

        rounds = interleave(lambda: measured(PAGE), lambda: measured(BARE), rounds=SHOWN_ROUNDS)
        browser.close()
    return rounds


def page_chart(folder: Path) -> bytes:
    """Build the page's chart and decoder as one module."""
    node = str(Path(sys.executable).with_name("node"))
    subprocess.run(
        [node, "--input-type=module", "-e", BUILD, str(CLIENT), str(LONG_CHART), str(folder)],
        check=True,
        cwd=BASE_DIR / "frontend",
        timeout=120,
    )
    return (folder / "long-chart.js").read_bytes()


def shown_ms(browser: Browser, script: bytes, chunks: Sequence[bytes], opened: str) -> float:
    """Return what the main thread needs to show all chunks on a new page."""

    def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        if name == "long-chart.js":
            route.fulfill(body=script, content_type="text/javascript")
        else:
            body = chunks[int(name)] if name.isdigit() else DOCUMENT
            route.fulfill(body=body, content_type="text/html")

    view = browser.new_page(viewport={"width": 1440, "height": 900})
    view.set_default_timeout(300_000)
    view.route("**/*", answer)
    view.goto("http://chunks.test/")
    view.add_script_tag(path=LIBRARY)
    view.evaluate(ARRIVE, len(chunks))
    view.evaluate(opened)
    session = view.context.new_cdp_session(view)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = main_thread_ms(session)
    view.evaluate("window.show()")
    spent = main_thread_ms(session) - before
    view.close()
    return spent


def main() -> None:
    """Print the comparisons; `million` as argument leaves out the others."""
    print_machine()
    if "million" not in sys.argv[1:]:
        for measured in (sizes, pages_made, in_node, in_python, without_numpy):
            for market in MARKETS:
                print(measured(market), flush=True)
    for line in million():
        print(line, flush=True)


if __name__ == "__main__":
    main()
