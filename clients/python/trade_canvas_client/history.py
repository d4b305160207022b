"""Reads compact history (docs/history-format.md): the decoder, and a reader of a whole series.

This file needs Python 3.11 and nothing else: without the package, copy it into your own project.
Where numpy is installed, it decodes twice as fast.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from itertools import accumulate, repeat
from operator import add
from typing import Any, NamedTuple
from urllib.parse import quote
from urllib.request import urlopen

HEADER = struct.Struct("<4sIqqBB6BI")
AS_DOUBLES = 255

Row = tuple[int, float, float, float, float, float]
"""candle_time (Unix seconds), open, high, low, close, volume."""


class Packed(NamedTuple):
    """A chunk taken apart; `planes` are the bytes of its six columns."""

    candles: int
    first: int
    step: int
    decimals: tuple[int, int]
    planes: list[bytes]


def decode(chunk: bytes) -> list[Row]:
    """The candles of an uncompressed chunk; raises ValueError for anything else."""
    columns = [each if isinstance(each, list) else each.tolist() for each in _columns(chunk)]
    return list(zip(*columns, strict=True))


def decode_columns(chunk: bytes) -> tuple[array[int], list[array[float]]]:
    """The times of a chunk's candles, and their five columns of values; raises ValueError."""
    times, *values = (
        each if isinstance(each, list) else each.tobytes() for each in _columns(chunk)
    )
    return array("q", times), [array("d", column) for column in values]


def _columns(chunk: bytes) -> list[Any]:
    """Times and values of the candles: arrays of numpy, or lists where it is not installed."""
    try:
        magic, count, first, step, *decimals_widths, odd = HEADER.unpack_from(chunk)
    except struct.error as error:
        raise ValueError(f"not a chunk of history: {error}") from None
    (price, volume), widths = decimals_widths[:2], decimals_widths[2:]
    start = HEADER.size + 12 * odd
    if magic != b"TCH1" or len(chunk) != start + count * sum(widths) or max(widths) > 8:
        raise ValueError("not a chunk of history, or not a whole one")
    if not count:
        return [[] for _ in range(6)]
    ends = list(accumulate((count * width for width in widths), initial=start))
    planes = [chunk[begin:end] for begin, end in zip(ends, ends[1:], strict=False)]
    packed = Packed(count, first, step, (price, volume), planes)
    np = numpy()
    columns = _as_lists(packed) if np is None else _as_arrays(np, packed)
    exceptions = struct.unpack_from(f"<{odd}I{odd}d", chunk, HEADER.size)
    for place, value in zip(exceptions[:odd], exceptions[odd:], strict=True):
        if place >= 5 * count:
            raise ValueError("not a chunk of history: an exception behind the last candle")
        columns[1 + place % 5][place // 5] = value
    return columns


@cache
def numpy() -> Any:
    """The module; None where it is not installed."""
    try:
        return import_module("numpy")
    except ImportError:
        return None


def _as_arrays(np: Any, packed: Packed) -> list[Any]:
    """Times and values by numpy, but for exceptions."""
    waits, gaps, bodies, ups, downs, volumes = columns = np.zeros((6, packed.candles), "<i8")
    for column, planes in zip(columns, packed.planes, strict=True):
        rows = column.view("u1").reshape(packed.candles, 8)
        for plane, start in enumerate(range(0, len(planes), packed.candles)):
            rows[:, plane] = np.frombuffer(planes, "u1", packed.candles, start)
    waits += packed.step
    waits[0] = packed.first
    price, volume = packed.decimals
    if price == AS_DOUBLES:
        values = [each.view("<f8").astype("f8") for each in (gaps, bodies, ups, downs)]
    else:
        # From close to open to close: each of them is one difference further.
        walk = np.stack((gaps, bodies), axis=1).ravel()
        path = np.cumsum((walk >> 1) ^ -(walk & 1))
        opens, closes, scale = path[0::2], path[1::2], float(10**price)
        values = [opens / scale, (opens + ups) / scale, (opens - downs) / scale, closes / scale]
    is_double = volume == AS_DOUBLES
    values.append(volumes.view("<f8").astype("f8") if is_double else volumes / float(10**volume))
    return [np.cumsum(waits), *values]


def _as_lists(packed: Packed) -> list[Any]:
    """Times and values by the standard library, but for exceptions."""
    waits, gaps, bodies, ups, downs, volumes = (
        _whole_numbers(planes, packed.candles) for planes in packed.planes
    )
    # Most chunks have no gap, and a column of no bytes.
    evenly = repeat(packed.step, packed.candles - 1)
    steps = map(add, evenly, waits[1:]) if packed.planes[0] else evenly
    times = accumulate(steps, initial=packed.first)
    price, volume = packed.decimals
    if price == AS_DOUBLES:
        values = [_as_doubles(column) for column in (gaps, bodies, ups, downs)]
    else:
        walk = array("q", bytes(16 * packed.candles))
        walk[0::2], walk[1::2] = gaps, bodies
        path = list(accumulate(_signed(walk)))
        opens, closes, scale = path[0::2], path[1::2], 10**price
        values = [
            [one / scale for one in opens],
            [(one + up) / scale for one, up in zip(opens, ups.tolist(), strict=True)],
            [(one - down) / scale for one, down in zip(opens, downs.tolist(), strict=True)],
            [close / scale for close in closes],
        ]
    if volume == AS_DOUBLES:
        values.append(_as_doubles(volumes))
    else:
        scale = 10**volume
        values.append([units / scale for units in volumes.tolist()])
    return [list(times), *values]


def _whole_numbers(planes: bytes, count: int) -> array[int]:
    """The values of a column; the lowest bytes of all are written first."""
    whole = bytearray(8 * count)
    for plane, start in enumerate(range(0, len(planes), count)):
        whole[plane::8] = planes[start : start + count]
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
