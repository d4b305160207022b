"""Chunks of compact history against candle pages: bytes, and decoding in Node and in Python.

The candles are the recorded markets of `shared/data` beside the checkout, in whole cells. A page
has the same candles, as the server sends it: JSON, compressed at its level. Both sides decode what
the network stack hands over (in Node), or what arrives (in Python), to candles of the same form.
The million is the recorded minutes of DOGE/USDT, one copy after the other.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path

import orjson

from clients.python.trade_canvas_history import decode
from lab.benchmarks.harness import Comparison, Target, interleave, print_machine
from market.api.gzip_body import LEVEL
from market.api.history_chunks import CELL_CANDLES, compressed
from market.csv_candles import read_candles
from market.domain.candle import Candle
from market.domain.history_format import encode
from trade_canvas.environment import BASE_DIR

RECORDED = BASE_DIR.parent / "shared" / "data"
MARKETS = ("BTC_USDT-5m", "DOGE_USDT-1m", "XRP_ETH-1m-with-gaps")
MILLION = 1_000_000
MAX_MILLION_BYTES = 9_000_000
REPEATS = 20

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
    text = zlib.decompress(path.read_bytes(), zlib.MAX_WBITS | 16).decode()
    return [candle for _, candle in read_candles(io.StringIO(text), None)]


def cells(candles: Sequence[Candle]) -> list[Sequence[Candle]]:
    """Return the candles in whole cells; all of them, if they do not fill one."""
    whole = range(0, len(candles) - CELL_CANDLES + 1, CELL_CANDLES)
    return [candles[start : start + CELL_CANDLES] for start in whole] or [candles]


def page(candles: Sequence[Candle]) -> bytes:
    """Return the body of a candle page."""
    return orjson.dumps({"candles": [candle.as_object() for candle in candles]})


def sizes(market: str) -> Comparison:
    """Compare the bytes of a market's cells."""
    parts = cells(recorded(market))
    ours = [len(compressed(encode(part))) for part in parts]
    limit = [len(zlib.compress(page(part), LEVEL)) for part in parts]
    return Comparison(
        f"{market}, {len(parts)} cells: bytes", "bytes/cell", ours, limit, Target(0.4)
    )


def in_python(market: str) -> Comparison:
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
    return Comparison(f"{market}: decoding in Python", "ms", ours, limit, Target(0.35))


def milliseconds(run: Callable[[], object]) -> float:
    """Return the time of one call."""
    start = time.perf_counter()
    for _ in range(REPEATS):
        run()
    return 1000 * (time.perf_counter() - start) / REPEATS


def in_node(market: str) -> Comparison:
    """Compare decoding the newest cell to objects with JSON.parse."""
    candles = cells(recorded(market))[-1]
    decoder = BASE_DIR / "frontend" / "src" / "sync" / "history-chunk.ts"
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
            [*command, str(decoder), *bodies, str(REPEATS)],
            check=True,
            capture_output=True,
            timeout=300,
        )
    ours, limit = zip(*json.loads(done.stdout), strict=True)
    return Comparison(f"{market}: decoding in Node", "ms", ours, limit, Target(0.35))


def million() -> str:
    """Return what a million candles of a minute take, in cells."""
    candles = recorded("DOGE_USDT-1m")
    span = candles[-1].candle_time - candles[0].candle_time + 60
    copies = range(-(-MILLION // len(candles)))
    many = chain.from_iterable(
        (candle._replace(candle_time=candle.candle_time + copy * span) for candle in candles)
        for copy in copies
    )
    taken = [candle for candle, _ in zip(many, range(MILLION), strict=False)]
    found = [taken[start : start + CELL_CANDLES] for start in range(0, MILLION, CELL_CANDLES)]
    total = sum(len(compressed(encode(part))) for part in found)
    verdict = "met" if total < MAX_MILLION_BYTES else "MISSED"
    return f"{MILLION} candles: {total} bytes in {len(found)} chunks  target < 9 MB: {verdict}"


def main() -> None:
    """Print the comparisons."""
    print_machine()
    for measured in (sizes, in_node, in_python):
        for market in MARKETS:
            print(measured(market), flush=True)
    print(million())


if __name__ == "__main__":
    main()
