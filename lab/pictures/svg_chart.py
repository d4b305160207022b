"""A candlestick chart as SVG text, for the drawings in these pages.

It has a dark ground of its own, so it reads the same on a white page and on a dark one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import SubElement

from lab.svg import Svg
from market.domain.candle import Candle

WIDTH, HEIGHT = 900, 440
LEFT, RIGHT = 24, 24
TOP, BOTTOM = 112, 74
ROWS = 62, 80
"""Heights of the texts of moments."""

GROUND = "#0f1420"
EDGE = "#2a3345"
GRID = "#1c2434"
TEXT = "#e5e9f0"
FAINT = "#94a0b5"
NOTE = "#fbbf24"
LETTER = 7
# The page draws anchors stronger than their instructions ask for.
ANCHORS = {"anchor.current": ("#f59e0b", "3"), "anchor.history": ("#3b82f6", "2.5")}
RISING, FALLING = "#2f9e8f", "#c2575b"


class Chart(Svg):
    """Candles on a ground, to be drawn over. Positions are open times (seconds) and prices."""

    def __init__(self, title: str, subtitle: str, candles: Sequence[Candle]) -> None:
        self._first, self._last = candles[0].candle_time, candles[-1].candle_time
        self._step = (WIDTH - LEFT - RIGHT) / len(candles)
        self._seconds = candles[1].candle_time - self._first
        self._top = max(candle.high for candle in candles)
        self._bottom = min(candle.low for candle in candles)
        family = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
        super().__init__(f"{title}: {subtitle}", WIDTH, HEIGHT, {"font-family": family})
        self._lay_out(title, subtitle, candles)

    def x(self, time: float) -> float:
        """The middle of the candle that opened at `time`."""
        return LEFT + ((time - self._first) / self._seconds + 0.5) * self._step

    def y(self, price: float) -> float:
        """The height of a price."""
        part = (self._top - price) / (self._top - self._bottom)
        return TOP + part * (HEIGHT - TOP - BOTTOM)

    def line(self, points: Sequence[tuple[float, float]], color: str, **look: str) -> None:
        """A line through times and prices."""
        corners = " ".join(f"{self.x(time):.1f},{self.y(price):.1f}" for time, price in points)
        self.add("polyline", points=corners, fill="none", stroke=color, **look)

    def box(self, span: tuple[float, float], prices: tuple[float, float], color: str) -> None:
        """A see-through box between two times and two prices, the greater one first."""
        left, right = self.x(span[0]), self.x(span[1])
        top, bottom = self.y(prices[0]), self.y(prices[1])
        look = {"fill": color, "opacity": "0.2"}
        self._rect(left, top, right - left, bottom - top, under=True, **look)

    def moment(self, time: float, text: str, row: int = 0) -> None:
        """A line down the candle at `time`, with what became visible then."""
        x = self.x(time)
        ends = {"y1": f"{ROWS[row] + 5}", "y2": f"{HEIGHT - 30}"}
        look = {"stroke": NOTE, "stroke-dasharray": "2 4"}
        self.add("line", x1=f"{x:.1f}", x2=f"{x:.1f}", **ends, **look)
        half = len(text) * LETTER / 2
        self._write(min(x, WIDTH - RIGHT - half), ROWS[row], text, NOTE, "middle")

    def note(
        self,
        time: float,
        price: float,
        text: str,
        *,
        shift: tuple[float, float] = (0, 0),
        color: str = TEXT,
        anchor: str = "middle",
    ) -> None:
        """A text at a time and price, moved by some pixels."""
        self._write(self.x(time) + shift[0], self.y(price) + shift[1], text, color, anchor)

    def span(self, times: tuple[float, float], price: float, text: str) -> None:
        """A bracket below a price from the middle of one candle to that of another."""
        left, right, y = self.x(times[0]), self.x(times[1]), self.y(price) + 22
        path = f"M{left:.1f},{y - 5:.1f} V{y:.1f} H{right:.1f} V{y - 5:.1f}"
        self.add("path", d=path, fill="none", stroke=FAINT)
        self._write((left + right) / 2, y + 15, text, FAINT, "middle")

    def instruction(self, definition: Mapping[str, Any], opacity: float = 1) -> None:
        """A draw instruction, the way the page draws it."""
        if definition["type"] == "marker":
            self._marker(definition)
            return
        points = [(point["time"], point["value"]) for point in definition["points"]]
        if definition.get("extendRight"):
            points.append((self._last + self._seconds / 2, points[-1][1]))
        dashes = {"stroke-dasharray": "6 5"} if definition.get("lineStyle") else {}
        plain = (definition["color"], str(definition["lineWidth"]))
        color, width = ANCHORS.get(definition["feature"], plain)
        look = {"stroke-width": width, "opacity": f"{opacity:g}", "stroke-linejoin": "round"}
        self.line(points, color, **look, **dashes)

    def _marker(self, definition: Mapping[str, Any]) -> None:
        above = definition["position"] == "aboveBar"
        candle = self._candles[definition["time"]]
        gap = -11 if above else 11
        x, y = self.x(candle.candle_time), self.y(candle.high if above else candle.low) + gap
        if definition["shape"] == "circle":
            radius = 3 + 2.5 * definition["size"]
            self.add(
                "circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=f"{radius}", fill=definition["color"]
            )
            return
        tip = -6 if definition["shape"] == "arrowUp" else 6
        corners = f"{x:.1f},{y + tip:.1f} {x - 6:.1f},{y - tip:.1f} {x + 6:.1f},{y - tip:.1f}"
        self.add("polygon", points=corners, fill=definition["color"])

    def _lay_out(self, title: str, subtitle: str, candles: Sequence[Candle]) -> None:
        self._rect(0.5, 0.5, WIDTH - 1, HEIGHT - 1, fill=GROUND, stroke=EDGE, rx="10")
        self.add(
            "text", x=f"{LEFT}", y="30", fill=TEXT, **{"font-size": "17", "font-weight": "600"}
        ).text = title
        self._write(WIDTH - RIGHT, 29, subtitle, FAINT, "end")
        self._candles = {candle.candle_time: candle for candle in candles}
        for number, candle in enumerate(candles, 1):
            if number % 5 == 0:
                x = f"{self.x(candle.candle_time):.1f}"
                self.add("line", x1=x, x2=x, y1="48", y2=f"{HEIGHT - 30}", stroke=GRID)
                self._write(float(x), HEIGHT - 12, str(number), FAINT, "middle")
        self._under = self.add("g")
        for candle in candles:
            self._candle(candle)

    def _candle(self, candle: Candle) -> None:
        color = RISING if candle.close >= candle.open else FALLING
        x = f"{self.x(candle.candle_time):.1f}"
        low, high = f"{self.y(candle.low):.1f}", f"{self.y(candle.high):.1f}"
        self.add("line", x1=x, x2=x, y1=low, y2=high, stroke=color)
        top, bottom = self.y(max(candle.open, candle.close)), self.y(min(candle.open, candle.close))
        width = self._step * 0.56
        self._rect(float(x) - width / 2, top, width, max(bottom - top, 1), fill=color)

    def _rect(
        self, x: float, y: float, width: float, height: float, *, under: bool = False, **look: str
    ) -> None:
        place = {"x": f"{x:.1f}", "y": f"{y:.1f}"}
        size = {"width": f"{width:.1f}", "height": f"{height:.1f}"}
        if under:
            SubElement(self._under, "rect", {**place, **size, **look})
        else:
            self.add("rect", **place, **size, **look)

    def _write(self, x: float, y: float, text: str, color: str, anchor: str) -> None:
        # The outline in the colour of the ground keeps a text readable over candles.
        look = {
            "font-size": "13",
            "text-anchor": anchor,
            "stroke": GROUND,
            "stroke-width": "4",
            "stroke-linejoin": "round",
            "paint-order": "stroke",
        }
        self.add("text", x=f"{x:.1f}", y=f"{y:.1f}", fill=color, **look).text = text
