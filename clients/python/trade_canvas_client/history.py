"""Reads compact history (docs/history-format.md): the decoder, and a reader of a whole series.

This file needs Python 3.11 and nothing else: without the package, copy it into your own project.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array
from collections.abc import Callable, Iterator
from itertools import accumulate
from urllib.parse import quote
from urllib.request import urlopen

HEADER = struct.Struct("<4sIqqBB6BI")
AS_DOUBLES = 255

Row = tuple[int, float, float, float, float, float]
"""candle_time (Unix seconds), open, high, low, close, volume."""


def decode(chunk: bytes) -> list[Row]:
    """The candles of an uncompressed chunk; raises ValueError for anything else."""
    times, values = decode_columns(chunk)
    return list(zip(times, *values, strict=True))


def decode_columns(chunk: bytes) -> tuple[list[int], list[list[float]]]:
    """The times of a chunk's candles, and their five columns of values; raises ValueError."""
    try:
        return _decode(chunk)
    except (struct.error, IndexError) as error:
        raise ValueError(f"not a chunk of history: {error}") from None


def _decode(chunk: bytes) -> tuple[list[int], list[list[float]]]:
    magic, count, first, step, price_decimals, volume_decimals, *rest = HEADER.unpack_from(chunk)
    *widths, odd = rest
    start = HEADER.size + 12 * odd
    if magic != b"TCH1" or len(chunk) != start + count * sum(widths):
        raise ValueError("not a chunk of history, or not a whole one")
    if not count:
        return [], [[] for _ in range(5)]
    columns = []
    for width in widths:
        columns.append(_column(chunk, start, count, width))
        start += count * width
    waits, gaps, bodies, ups, downs, volumes = columns
    times = list(accumulate([step + wait for wait in waits[1:]], initial=first))
    if price_decimals == AS_DOUBLES:
        values = [_as_doubles(column) for column in (gaps, bodies, ups, downs)]
    else:
        # From close to open to close: each of them is one difference further.
        walk = [0] * (2 * count)
        walk[0::2], walk[1::2] = _signed(gaps), _signed(bodies)
        path = list(accumulate(walk))
        opens, closes, scale = path[0::2], path[1::2], 10**price_decimals
        values = [
            [one / scale for one in opens],
            [(one + up) / scale for one, up in zip(opens, ups.tolist(), strict=True)],
            [(one - down) / scale for one, down in zip(opens, downs.tolist(), strict=True)],
            [close / scale for close in closes],
        ]
    if volume_decimals == AS_DOUBLES:
        values.append(_as_doubles(volumes))
    else:
        scale = 10**volume_decimals
        values.append([units / scale for units in volumes.tolist()])
    exceptions = struct.unpack_from(f"<{odd}I{odd}d", chunk, HEADER.size)
    for place, value in zip(exceptions[:odd], exceptions[odd:], strict=True):
        values[place % 5][place // 5] = value
    return times, values


def _column(chunk: bytes, start: int, count: int, width: int) -> array[int]:
    """The whole numbers of a column; `width` bytes of each are written, the lowest first."""
    whole = bytearray(8 * count)
    for plane in range(width):
        whole[plane::8] = chunk[start + plane * count : start + (plane + 1) * count]
    column = array("q", bytes(whole))
    if sys.byteorder == "big":
        column.byteswap()
    return column


def _signed(column: array[int]) -> list[int]:
    """0, 1, 2, 3 … as 0, -1, 1, -2 …: all of them at once, as the digits of one long number."""
    ones = int.from_bytes(b"\1\0\0\0\0\0\0\0" * len(column), "little")
    digits = int.from_bytes(column.tobytes(), sys.byteorder)
    odd = digits & ones
    signed = ((digits ^ odd) >> 1) ^ ((odd << 64) - odd)
    return array("q", signed.to_bytes(8 * len(column), sys.byteorder)).tolist()


def _as_doubles(column: array[int]) -> list[float]:
    return array("d", column.tobytes()).tolist()


Fetch = Callable[[str], bytes]
"""The body of an address, decompressed."""


def fetch(address: str) -> bytes:
    """The body of an address by the standard library; raises OSError."""
    with urlopen(address, timeout=30) as answer:
        body: bytes = answer.read()
    return body


def candles(server: str, series_id: str, *, fetch: Fetch = fetch) -> Iterator[Row]:
    """All closed candles of a series, oldest first, at `server` such as ``https://example.org``.

    Chunks never change: a `fetch` that keeps them by their address never reads one again.
    """
    series = f"series_id={quote(series_id, safe='')}"
    root = f"{server.rstrip('/')}/api/market"
    chunks: list[str] = []
    tail, before = None, ""
    while True:
        index = json.loads(fetch(f"{root}/history?{series}&limit=1000{before}"))
        tail = index["tail_since"] if not before else tail
        chunks[:0] = [chunk["name"] for chunk in index["chunks"]]
        if index["next_before"] is None:
            break
        before = f"&before={index['next_before']}"
    for name in chunks:
        yield from decode(fetch(f"{root}/history/{name}?{series}"))
    since = 0 if tail is None else tail
    while True:
        page = json.loads(fetch(f"{root}/candles?{series}&since={since}&limit=5000"))
        yield from (tuple(candle.values()) for candle in page["candles"])
        if not page["candles"] or page["candles"][-1]["candle_time"] >= page["server_head_time"]:
            return
        since = page["candles"][-1]["candle_time"]
