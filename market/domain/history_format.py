"""Closed candles as columns of integers: the encoder of docs/history-format.md, version 1.

Prices become whole numbers of their last decimal place, each written as a difference to its
neighbour, and the bytes of a column are sorted by their weight: what a general compressor makes
small. Every double survives bit by bit: what is no such number is written as it is.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from market.domain.candle import Candle

MAGIC = b"TCH1"

# Magic, candles, first time, least step, decimals of prices and of volumes, widths of the six
# columns, exceptions.
HEADER = struct.Struct("<4sIqqBB6BI")

# Instead of a number of decimals: the values are written as doubles.
AS_DOUBLES = 255

# Sums and differences of such whole numbers are exact in the doubles of a browser.
MAX_UNITS = 2**50
MAX_DECIMALS = 15

# An exception takes 12 bytes, a further decimal about 3.3 bits of each value.
EXCEPTION_BYTES = 12
DECIMAL_BYTES = 0.42

# About so many values are looked at to choose the number of decimals.
SAMPLE = 512

Columns = Sequence[Sequence[float]]
Units = list[list[int]]


class Scaled(NamedTuple):
    """Columns as whole numbers of one decimal place, and what is no such number.

    An exception is the place of a value in its chunk (row * 5 + field) and the value.
    """

    decimals: int
    units: Units
    exceptions: list[tuple[int, float]]


def encode(candles: Sequence[Candle]) -> bytes:
    """Candles, ascending and finite, as one uncompressed chunk."""
    if not candles:
        return HEADER.pack(MAGIC, *[0] * 12)
    times = [candle.candle_time for candle in candles]
    steps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    step = min(steps, default=0)
    values = list(zip(*(candle[1:] for candle in candles), strict=True))
    prices, volumes = _scaled(values[:4], field=0), _scaled(values[4:], field=4)
    columns = [
        [0, *(each - step for each in steps)],
        *(_differences(prices.units) if prices else map(_bits, values[:4])),
        *(volumes.units if volumes else map(_bits, values[4:])),
    ]
    exceptions = [each for scaled in (prices, volumes) if scaled for each in scaled.exceptions]
    widths = [(max(column).bit_length() + 7) // 8 for column in columns]
    return b"".join(
        (
            HEADER.pack(
                MAGIC,
                len(candles),
                times[0],
                step,
                prices.decimals if prices else AS_DOUBLES,
                volumes.decimals if volumes else AS_DOUBLES,
                *widths,
                len(exceptions),
            ),
            struct.pack(f"<{len(exceptions)}I", *(place for place, _ in exceptions)),
            struct.pack(f"<{len(exceptions)}d", *(value for _, value in exceptions)),
            *map(_planes, columns, widths),
        )
    )


def _scaled(columns: Columns, *, field: int) -> Scaled | None:
    """The columns, of which `field` is the first; None if they are better written as doubles."""
    decimals = _common_decimals([value for column in columns for value in column])
    scale = 10**decimals
    units = [_whole_numbers(column, scale) for column in columns]
    exceptions = [
        (row * 5 + column, value)
        for column, (whole, exact) in enumerate(zip(units, columns, strict=True), field)
        # Most columns have none: comparing them whole takes a third of the time.
        if 0 in whole or [unit / scale for unit in whole] != list(exact)
        for row, (unit, value) in enumerate(zip(whole, exact, strict=True))
        if unit / scale != value or (unit == 0 and math.copysign(1, value) < 0)
    ]
    is_worth_it = len(exceptions) * 4 <= len(columns) * len(columns[0])
    return Scaled(decimals, units, exceptions) if is_worth_it and _has_order(units) else None


def _whole_numbers(column: Sequence[float], scale: int) -> list[int]:
    """The values as multiples of 1 / `scale`, as near as possible.

    Rounding and bounding keep the order of a candle's prices.
    """
    if min(column) * scale >= -MAX_UNITS and max(column) * scale <= MAX_UNITS:
        return [round(value * scale) for value in column]
    return [round(max(-MAX_UNITS, min(value * scale, MAX_UNITS))) for value in column]


def _has_order(units: Units) -> bool:
    """Whether every difference that is written without a sign is positive."""
    if len(units) == 1:
        return min(units[0]) >= 0
    opens, highs, lows, _ = units
    return all(low <= one <= high for low, one, high in zip(lows, opens, highs, strict=True))


def _common_decimals(values: list[float]) -> int:
    """The number of decimals with which the values take the fewest bytes, judged by a sample."""
    found = Counter(map(_decimals, values[:: max(1, len(values) // SAMPLE)]))
    total = found.total()

    def cost(decimals: int) -> float:
        odd = sum(count for each, count in found.items() if each > decimals)
        return odd * EXCEPTION_BYTES + total * decimals * DECIMAL_BYTES

    return min((each for each in {0, *found} if each <= MAX_DECIMALS), key=cost)


def _decimals(value: float) -> int:
    """The number of decimals of the shortest text that names the value."""
    mantissa, _, exponent = repr(value).partition("e")
    fraction = mantissa.partition(".")[2]
    return max(0, (0 if fraction in ("", "0") else len(fraction)) - int(exponent or 0))


def _differences(units: Units) -> Units:
    """Open against the close before, close, high and low against the open of the same candle."""
    opens, highs, lows, closes = units
    return [
        [_zigzag(one - before) for one, before in zip(opens, [0, *closes[:-1]], strict=True)],
        [_zigzag(close - one) for close, one in zip(closes, opens, strict=True)],
        [high - one for high, one in zip(highs, opens, strict=True)],
        [one - low for one, low in zip(opens, lows, strict=True)],
    ]


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _bits(values: Sequence[float]) -> list[int]:
    return list(struct.unpack(f"<{len(values)}Q", struct.pack(f"<{len(values)}d", *values)))


def _planes(values: list[int], width: int) -> bytes:
    """The lowest bytes of all values, then the next ones."""
    whole = struct.pack(f"<{len(values)}Q", *values)
    return b"".join(whole[plane::8] for plane in range(width))
