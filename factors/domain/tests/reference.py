"""Pivots, the pen's preview and sr written down a second time, as the contract words them.

Slow on purpose: each answer is made from all candles up to it, with nothing carried over.
"""

from __future__ import annotations

from itertools import pairwise


def major_pivots(candles, window, seconds):
    """(ordinal, direction, ordinal of the confirming candle), as they are emitted."""
    found = []
    for centre in range(window, len(candles) - window):
        last = centre + window
        if candles[last].candle_time - candles[centre].candle_time != window * seconds:
            continue
        left, right = candles[centre - window : centre], candles[centre + 1 : last + 1]
        high, low = candles[centre].high, candles[centre].low
        if all(one.high < high for one in left) and all(one.high <= high for one in right):
            found.append((centre, "resistance", last))
        if all(one.low > low for one in left) and all(one.low >= low for one in right):
            found.append((centre, "support", last))
    return found


def minor_pivots(candles, window, seconds, majors):
    """The same for minor pivots."""
    found = []
    for centre in range(window, len(candles) - window):
        last = centre + window
        known = [ordinal for ordinal, _, seen in majors if seen <= last]
        if not known or centre - window < known[-1]:
            continue
        if candles[last].candle_time - candles[centre].candle_time != window * seconds:
            continue
        around = candles[centre - window : last + 1]
        if candles[centre].high >= max(one.high for one in around):
            found.append((centre, "resistance", last))
        if candles[centre].low <= min(one.low for one in around):
            found.append((centre, "support", last))
    return found


def effective_pivots(candles, majors):
    """Alternating pivots, each the most extreme of its run: (ordinal, direction, price)."""
    effective = []
    for ordinal, direction, _ in majors:
        rises = direction == "resistance"
        price = candles[ordinal].high if rises else candles[ordinal].low
        if not effective or effective[-1][1] != direction:
            effective.append((ordinal, direction, price))
        elif price > effective[-1][2] if rises else price < effective[-1][2]:
            effective[-1] = (ordinal, direction, price)
    return effective


def extreme(candles, start, *, highest):
    """Ordinal and price of the earliest extreme from `start` on, None without candles."""
    prices = [one.high if highest else -one.low for one in candles[start:]]
    if not prices:
        return None
    best = max(prices)
    return start + prices.index(best), best if highest else -best


def pen_head(candles, majors):
    """The pen's preview, None before the first confirmed pen."""
    effective = effective_pivots(candles, majors)
    if len(effective) < 3:
        return None
    ordinal, direction, price = effective[-2]
    rising = direction == "support"
    reach = extreme(candles, ordinal + 1, highest=rising)
    if reach is None or reach[1] == price:
        return {}
    head = {"extending": stroke(candles, (ordinal, price), reach, 1 if rising else -1)}
    back = extreme(candles, reach[0] + 1, highest=not rising)
    if back is not None and back[1] != reach[1]:
        head["candidate"] = stroke(candles, reach, back, -1 if rising else 1)
    return head


def stroke(candles, start, end, direction):
    return {
        "start_time": candles[start[0]].candle_time,
        "end_time": candles[end[0]].candle_time,
        "start_price": start[1],
        "end_price": end[1],
        "direction": direction,
    }


class Levels:
    """The levels of a prefix of candles."""

    def __init__(self, candles, majors, parameters):
        self.candles = candles
        self.parameters = parameters
        self.closes = [one.close for one in candles]
        self.atr = self._averages()
        self.majors = majors

    def chosen(self):
        """(kind, status, start, partner, line, touches, death, flip) of the levels shown."""
        if len(self.candles) < 5:
            return []
        found = self._of_kind("resistance") + self._of_kind("support")
        found.sort(key=lambda level: abs(level[4] - self.closes[-1]))
        living = [level for level in found if level[1] != "broken"]
        broken = [level for level in found if level[1] == "broken"]
        return living[: self.parameters.max_levels] + broken

    def _averages(self):
        ranges, averages, total, before = [], [], 0.0, None
        period = self.parameters.atr_period
        for n, one in enumerate(self.candles):
            before = one.close if before is None else before
            ranges.append(max(one.high - one.low, abs(one.high - before), abs(one.low - before)))
            total += ranges[n]
            if n >= period:
                total -= ranges[n - period]
            averages.append(total / min(n + 1, period))
            before = one.close
        return averages

    def _near(self, first, second, reference):
        positive = [value for value in (self.atr[first], self.atr[second]) if value > 0]
        near = sum(positive) / len(positive) * 0.5 if positive else 0.0
        return near if near > 0 else 0.002 * (reference if reference > 0 else 1)

    def _positions(self, start, end, line, near):
        for ordinal in range(start, end):
            if self.closes[ordinal] > line + near:
                yield ordinal, 1
            elif self.closes[ordinal] < line - near:
                yield ordinal, -1

    def _turns(self, *where):
        positions = list(self._positions(*where))
        return [later[0] for sooner, later in pairwise(positions) if sooner[1] != later[1]]

    def _of_kind(self, kind):
        rises = kind == "resistance"
        pivots = [
            ordinal
            for ordinal, direction, _ in self.majors
            if direction == kind
            and (self.candles[ordinal].high if rises else self.candles[ordinal].low) > 0
        ][-self.parameters.cluster_pivot_limit :]
        merged = []
        for start in reversed(pivots):
            level = self._level(kind, start, pivots)
            if level is not None:
                self._merge(level, merged)
        return [level[0] for level in merged]

    def _level(self, kind, start, pivots):
        for partner in reversed([one for one in pivots if one < start]):
            both = (self.candles[start], self.candles[partner])
            low, high = max(one.low for one in both), min(one.high for one in both)
            line = high if kind == "resistance" else low
            near = self._near(start, partner, line)
            if low <= high + near and len(self._turns(partner + 1, start, line, near)) <= 3:
                return self._judged(kind, start, partner, (low, high, line, near, pivots))
        return None

    def _judged(self, kind, start, partner, found):
        low, high, line, near, pivots = found
        scale = self.atr[-1] if self.atr[-1] > 0 else max(abs(line) * 0.02, 1e-9)
        turns = self._turns(start + 1, len(self.closes), line, 0.5 * scale)[:3]
        status = "broken" if len(turns) == 3 else "flip" if turns else "active"
        flip = None
        if status == "flip" and self.closes[-1] > line + 0.5 * scale:
            flip = "up"
        elif status == "flip" and self.closes[-1] < line - 0.5 * scale:
            flip = "down"
        touches = self._touches(start, partner, (*sorted((low, high)), line), pivots)
        death = turns[-1] if turns else None
        same = max(0.001 * abs(line), near / 2)
        return (kind, status, start, partner, line, touches, death, flip), same

    def _touches(self, start, partner, band, pivots):
        low, high, line = band
        positive = [value for value in (self.atr[partner], self.atr[start]) if value > 0]
        scale = sum(positive) / len(positive) if positive else line * 0.02
        if not scale > 0:
            scale = max(abs(line) * 0.02, 1e-9)
        width = high - low if high != low else 0.5 * scale
        width = min(max(width, 0.5 * scale), 3 * scale)
        low, high = (low + high) / 2 - width / 2, (low + high) / 2 + width / 2
        count = 0
        for pivot in pivots:
            near = self._near(pivot, pivot, (low + high) / 2)
            one = self.candles[pivot]
            count += not one.high < low - near and not one.low > high + near
        return count

    def _merge(self, found, merged):
        level, same = found
        for place, (other, _) in enumerate(merged):
            if abs(other[4] - level[4]) > same:
                continue
            if other[1] == "broken" and level[1] != "broken":
                merged[place] = found
            return
        merged.append(found)
