"""Draws docs/images/factors: each factor's answer to a few candles, computed by the real engines.

Run `.venv/bin/python -m lab.pictures.draw_factors` after a change of a factor or a renderer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from factors.domain.all_factors import FACTORS
from factors.domain.engine import Engine
from factors.domain.pivot import PivotParameters
from factors.domain.values import Payload
from lab.pictures.svg_chart import FAINT, Chart
from market.domain.candle import Candle
from market.domain.timeframe import Timeframe
from overlays.domain.all_renderers import overlay_engine
from overlays.domain.instruction import feature_of
from overlays.domain.renderer import FactorStep

FOLDER = Path(__file__).parents[2] / "docs" / "images" / "factors"
MINUTE = Timeframe.parse("1m")
DOTTED = {"stroke-dasharray": "2 3"}
ZONE = "#4ade80"

# How a price strays from a straight leg, in parts of a candle's move, and wicks in prices.
STRAYS = (0.0, 0.35, -0.3, 0.15, -0.2)
WICKS = (0.35, 0.15, 0.5, 0.25, 0.4, 0.1)
TURN_WICK = 0.8

Leg = tuple[float, int]
"""A price to reach, and the number of candles to reach it with."""


@dataclass(frozen=True, slots=True)
class Results:
    """Candles and what the engines made of them: events by kind, heads and drawings."""

    candles: list[Candle]
    events: dict[str, list[Payload]]
    heads: dict[str, Payload]
    drawings: dict[str, dict[str, Any]]

    def draw(self, chart: Chart, *features: str, opacity: float = 1) -> None:
        """Draw these features as the page does."""
        for name, definition in self.drawings.items():
            if feature_of(name) in features and definition:
                chart.instruction(definition, opacity)


def walk(start: float, *legs: Leg) -> list[Candle]:
    """One-minute candles along straight legs, with small strays and wicks in between."""
    candles: list[Candle] = []
    strays, wicks = cycle(STRAYS), cycle(WICKS)
    last = start
    for price, count in legs:
        move = (price - last) / count
        begin = last
        for number in range(1, count + 1):
            turns = number == count
            close = price if turns else begin + move * (number + next(strays))
            above, below = next(wicks), next(wicks)
            if turns:
                above, below = (TURN_WICK, below) if move > 0 else (above, TURN_WICK)
            high, low = max(last, close) + above, min(last, close) - below
            time = 60 * (len(candles) + 1)
            prices = (round(last, 2), round(high, 2), round(low, 2), round(close, 2))
            candles.append(Candle(time, *prices, 1.0))
            last = close
    return candles


def compute(candles: list[Candle], major: int, minor: int) -> Results:
    """Fold the candles through factors and renderers."""
    engine = Engine(FACTORS, {"pivot": PivotParameters(major, minor)})
    renderers = overlay_engine()
    facts, drawn = engine.initial(MINUTE), renderers.initial(MINUTE)
    results = Results(candles, {}, {}, {})
    for candle in candles:
        result = engine.step(facts, candle)
        for event in result.events:
            results.events.setdefault(event.kind, []).append(event.payload)
        results.heads.update({head.factor: head.head for head in result.heads})
        new = FactorStep.of(
            result,
            lambda start, end: [each for each in candles if start <= each.candle_time <= end],
        )
        for change in renderers.step(drawn, new):
            results.drawings[change.instruction_id] = dict(change.definition)
    return results


def number(time: int) -> int:
    """Return which candle opened at `time`, counted from 1."""
    return time // 60


def pivot() -> Chart:
    """Two sizes of pivots, and when one becomes visible."""
    candles = walk(
        100, (103, 3), (101.5, 2), (109, 7), (105, 3), (106.5, 2), (100, 6), (102.5, 3),
        (101.5, 2), (107, 6), (104.5, 3), (106, 2), (103, 4),
    )  # fmt: skip
    results = compute(candles, 5, 2)
    chart = Chart("pivot", "window_major 5, window_minor 2", candles)
    results.draw(chart, "pivot.major", "pivot.minor")
    for each in results.events["pivot.major"]:
        time, seen, price = each["pivot_time"], each["visible_time"], each["pivot_price"]
        chart.line([(time, price), (seen, price)], FAINT, **DOTTED)
        chart.moment(seen, f"{number(time)} is a major {each['direction']}")
        if each["direction"] == "support":
            chart.span((time, seen), price, "5 after")
            chart.span((2 * time - seen, time), price, "5 before")
    minor = results.events["pivot.minor"][0]
    low = candles[number(minor["pivot_time"]) - 1].low
    chart.note(minor["pivot_time"], low, "minor support", shift=(-8, 30), color=FAINT)
    return chart


def pen() -> Chart:
    """Confirmed pens, the one under way and the candidate against it."""
    candles = walk(
        103, (100, 4), (108, 6), (103, 5), (112, 7), (105, 6), (109.5, 5), (107, 4),
    )  # fmt: skip
    results = compute(candles, 3, 1)
    chart = Chart("pen", "window_major 3", candles)
    results.draw(chart, "pivot.major", "pen.confirmed", "pen.extending", "pen.candidate")
    for row, each in enumerate(results.events["pen.confirmed"]):
        ends = f"{number(each['start_time'])} → {number(each['end_time'])}"
        chart.moment(each["visible_time"], f"{ends} is confirmed", row % 2)
    head = results.heads["pen"]
    for name, shift in (("extending", (-46, -10)), ("candidate", (-34, 20))):
        stroke = head[name]
        time, price = _middle(stroke)
        chart.note(time, price, name, shift=shift)
    return chart


def zhongshu() -> Chart:
    """A zone that formed and died, and one that formed early and lives."""
    candles = walk(
        104, (100, 4), (110, 5), (104, 4), (109, 4), (105, 4), (108, 4), (106, 4), (118, 6),
        (113, 4), (116.5, 4), (114, 4), (114.9, 2), (111.6, 1), (112.6, 2), (113.5, 3),
    )  # fmt: skip
    results = compute(candles, 2, 1)
    chart = Chart("zhongshu", "window_major 2", candles)
    pens = {each["start_time"]: each for each in results.events["pen.confirmed"]}
    (dead,), (alive,) = results.events["zhongshu.dead"], results.heads["zhongshu"]["alive"]
    for zone, end in ((dead, dead["end_time"]), (alive, candles[-1].candle_time)):
        chart.box((zone["start_time"], end), (zone["zg"], zone["zd"]), ZONE)
    results.draw(chart, "pen.confirmed", "pen.extending", "pen.candidate", opacity=0.8)
    results.draw(chart, "zhongshu.dead", "zhongshu.alive")
    chart.moment(dead["formed_time"], f"formed: {dead['formed_reason']}")
    chart.moment(dead["death_time"], "died")
    chart.moment(alive["formed_time"], f"formed: {alive['formed_reason']}", 1)
    for zone in (dead, alive):
        start = zone["start_time"]
        for name in ("entry", "1", "2", "3"):
            if start in pens:
                time, price = _middle(pens[start])
                chart.note(time, price, name, shift=(-12 if name != "entry" else -24, 4))
                start = pens[start]["end_time"]
    chart.note(dead["start_time"], dead["zg"], "zg", shift=(-14, 4), color=ZONE)
    chart.note(dead["start_time"], dead["zd"], "zd", shift=(-14, 4), color=ZONE)
    return chart


def anchor() -> Chart:
    """The anchor moving from pen to pen, for both reasons."""
    candles = walk(
        101, (100, 3), (114, 6), (111, 4), (119, 5), (116, 4), (118, 4), (116.5, 4), (117.5, 3),
        (105, 7), (108, 4),
    )  # fmt: skip
    results = compute(candles, 2, 1)
    chart = Chart("anchor", "window_major 2", candles)
    results.draw(chart, "pen.confirmed", "pen.extending", "pen.candidate", opacity=0.15)
    results.draw(chart, "anchor.history", "anchor.switch", "anchor.current")
    for row, switch in enumerate(results.events["anchor.switch"]):
        to = switch["new_anchor"]
        ends = f"{number(to['start_time'])} → {number(to['end_time'])}"
        chart.moment(switch["switch_time"], f"{switch['reason']}: {ends}", row % 2)
    for name, shift in (("anchor.history", (-34, 0)), ("anchor.current", (-34, 10))):
        for line in (results.drawings[each] for each in results.drawings if each.startswith(name)):
            start, end = line["points"]
            time, price = (start["time"] + end["time"]) / 2, (start["value"] + end["value"]) / 2
            word = "current" if name == "anchor.current" else "before"
            chart.note(time, price, word, shift=shift, color=FAINT)
    return chart


def sr() -> Chart:
    """Intact levels, one that turned from resistance to support, one that broke."""
    candles = walk(
        105, (100, 4), (108, 5), (102, 4), (108.3, 5), (105, 4), (113, 5), (105.5, 5), (113.3, 6),
        (111, 4), (119, 5), (116.8, 3), (118.8, 3), (117, 3), (118.4, 8),
    )  # fmt: skip
    results = compute(candles, 2, 1)
    chart = Chart("sr", "window_major 2", candles)
    results.draw(chart, "sr.active", "sr.broken", "pivot.major")
    for level in results.heads["sr"]["levels"]:
        words = f"{level['level_type']}, {level['status']} {level['flip_dir'] or ''}"
        _name_level(chart, level, words.strip(), end=candles[-1].candle_time)
    return chart


def _name_level(chart: Chart, level: Payload, words: str, *, end: int) -> None:
    """Write behind a broken level, above an intact resistance, below the others."""
    price = level["price"]
    if level["status"] == "broken":
        chart.note(level["death_time"], price, words, shift=(8, 18), color=FAINT, anchor="start")
    else:
        shift = -8 if level["type"] == "resistance" else 17
        chart.note(end, price, words, shift=(4, shift), color=FAINT, anchor="end")


def _middle(stroke: Payload) -> tuple[float, float]:
    """Return time and price halfway along a pen or stroke."""
    time = (stroke["start_time"] + stroke["end_time"]) / 2
    return time, (stroke["start_price"] + stroke["end_price"]) / 2


DRAWINGS = (pivot, pen, zhongshu, anchor, sr)


def charts() -> Iterator[tuple[str, str]]:
    """File names and contents of all drawings."""
    for draw in DRAWINGS:
        yield f"{draw.__name__}.svg", draw().as_text()


def main() -> None:
    """Write all drawings."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in charts():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
