"""Splits one candle into shorter candles that aggregate to exactly that candle.

A random bridge from open to close is folded into the candle's range; each part's own range adds
some noise around its ends. Splitting the parts again gives clusters of low and high volatility at
every scale.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from itertools import accumulate
from random import Random

from market.local_exchange.candles import TickCandle

# The spread of the parts' volatility, and of their volume beyond it (log-normal weights).
_VOLATILITY_SPREAD = 0.35
_VOLUME_SPREAD = 0.55
# The expected range of a Brownian bridge with unit variance.
_BRIDGE_RANGE = 1.25
# The expected wick beyond the body, as a share of a part's own volatility.
_WICK = 0.45


def keyed_random(*parts: object) -> Random:
    """A random generator that depends only on `parts`, in every process and run."""
    text = "|".join(map(str, parts))
    return Random(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big"))


def refine(parent: TickCandle, parts: int, random: Random) -> tuple[TickCandle, ...]:
    """Split `parent` into `parts` adjacent candles that aggregate to exactly `parent`.

    Each part opens at the close of the one before it.
    """
    gauss = random.gauss
    spreads = [math.exp(_VOLATILITY_SPREAD * gauss(0.0, 1.0)) for _ in range(parts)]
    scale = (parent.high - parent.low) / (_BRIDGE_RANGE * math.sqrt(sum(s * s for s in spreads)))
    path = _bridge(parent, [gauss(0.0, scale * spread) for spread in spreads])
    highs, lows = [], []
    for index, spread in enumerate(spreads):
        wick = _WICK * scale * spread
        before, after = path[index], path[index + 1]
        highs.append(min(parent.high, max(before, after) + int(abs(gauss(0.0, wick)) + 0.5)))
        lows.append(max(parent.low, min(before, after) - int(abs(gauss(0.0, wick)) + 0.5)))
    highs[highs.index(max(highs))] = parent.high
    lows[lows.index(min(lows))] = parent.low
    volumes = _share_out(parent.volume, _volume_weights(highs, lows, random))
    return tuple(map(TickCandle, path, highs, lows, path[1:], volumes))


def _bridge(parent: TickCandle, steps: list[float]) -> list[int]:
    """The prices between the parts, from open to close, within the parent's range."""
    parts = len(steps)
    walk = list(accumulate(steps))
    drift = (parent.close - parent.open - walk[-1]) / parts
    inner = [
        _folded(parent.open + position + drift * index, parent.low, parent.high)
        for index, position in enumerate(walk[:-1], 1)
    ]
    return [parent.open, *inner, parent.close]


def _folded(price: float, low: int, high: int) -> int:
    """Reflect a price outside the range back into it."""
    if price > high:
        price = 2 * high - price
    elif price < low:
        price = 2 * low - price
    return min(max(round(price), low), high)


def _volume_weights(highs: list[int], lows: list[int], random: Random) -> list[float]:
    ranges = [high - low for high, low in zip(highs, lows, strict=True)]
    quiet = 0.3 * sum(ranges) / len(ranges) + 0.5
    return [(quiet + size) * math.exp(_VOLUME_SPREAD * random.gauss(0.0, 1.0)) for size in ranges]


def _share_out(total: int, weights: list[float]) -> list[int]:
    """Integers in proportion to `weights` whose sum is exactly `total`."""
    scale = total / sum(weights)
    edges = [int(edge * scale) for edge in accumulate(weights)]
    edges[-1] = total
    return [edge - before for edge, before in zip(edges, [0, *edges], strict=False)]
