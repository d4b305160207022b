"""A run as an SVG picture: its candles, and its drawings with their looks, as the page shows them.

The picture needs nothing else: no script, no font, no address. A notebook shows it by itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from factors.domain.graph import Feature
from factors.domain.looks import Look
from market.domain.candle import Candle
from overlays.domain.instruction import BOX, LABEL, LINE, MARKER, Point
from trade_canvas_factors.engine import Drawing, Run

MARGIN_LEFT, MARGIN_RIGHT, MARGIN_TOP, MARGIN_BOTTOM = 12, 92, 40, 34
FONT = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
GRID_LINES = 5
UP, DOWN = "up", "down"

LEAST_CONTRAST = 1.6
"""Below this contrast (1 to 21, WCAG 2) a thin line can hardly be seen."""

THEMES: Mapping[str, Mapping[str, str]] = {
    "dark": {
        "ground": "#0b0f14", "grid": "#1a222c", "text": "#e2e8f0", "muted": "#94a3b8",
        "up": "#22c55e", "down": "#ef4444", "blue": "#60a5fa", "teal": "#2dd4bf",
        "violet": "#a78bfa", "pink": "#f472b6", "amber": "#f59e0b",
    },
    "light": {
        "ground": "#ffffff", "grid": "#e8edf3", "text": "#1e293b", "muted": "#64748b",
        "up": "#16a34a", "down": "#dc2626", "blue": "#2563eb", "teal": "#0f766e",
        "violet": "#7c3aed", "pink": "#db2777", "amber": "#d97706",
    },
}  # fmt: skip
"""Shades of the inks that drawings may name, and of what is around them."""


class Picture(str):
    """The text of an SVG document, which a notebook shows as a picture."""

    def _repr_svg_(self) -> str:
        return str(self)


def svg(
    run: Run,
    *,
    candles: int = 300,
    features: Collection[str] | None = None,
    title: str = "",
    theme: str = "dark",
    size: tuple[int, int] = (1200, 600),
) -> Picture:
    """The newest `candles` of a run, and what is drawn on them.

    `features` are the parts to draw, such as ``pen.confirmed``; without them those that the page
    shows at first. `theme` is ``dark`` or ``light``, `size` in pixels. Raises ValueError for a run
    without candles, and for an unknown theme.
    """
    shown = run.candles[-candles:]
    if not shown:
        raise ValueError("a run without candles has no picture")
    if theme not in THEMES:
        raise ValueError(f"the themes are {', '.join(THEMES)}")
    known = {each.key: each for spec in run.engine.factors.factors for each in spec.features}
    if features is None:
        features = [key for key, each in known.items() if each.default_visible]
    drawn = [each for each in run.drawings() if each.feature in features]
    looks = {each.id: _look(each, known.get(each.feature)) for each in drawn}
    chart = _Chart(shown, run.engine.timeframe.seconds, title, THEMES[theme], size)
    drawn.sort(key=lambda each: looks[each.id].layer)
    for drawing in drawn:
        if looks[drawing.id].layer < 0:
            chart.draw(drawing, looks[drawing.id])
    chart.areas(drawn, looks)
    chart.add_candles()
    for drawing in drawn:
        if looks[drawing.id].layer >= 0:
            chart.draw(drawing, looks[drawing.id])
    return Picture(chart.as_text())


def _look(drawing: Drawing, feature: Feature | None) -> Look:
    """How a drawing looks: that of its feature, with that of its variant on top."""
    if feature is None:
        return Look()
    word = drawing.id.split(":")[1] if ":" in drawing.id else ""
    variant = feature.variants.get(word)
    return feature.look if variant is None else replace(feature.look, **variant.as_object())


@dataclass(slots=True)
class _Chart:
    """Candles on a ground, to be drawn over. Positions are open times (seconds) and prices."""

    candles: Sequence[Candle]
    seconds: int
    title: str
    shades: Mapping[str, str]
    size: tuple[int, int]
    _root: Element = field(init=False)
    _plot: Element = field(init=False)
    _places: dict[int, int] = field(init=False)
    _range: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        width, height = self.size
        self._places = {each.candle_time: place for place, each in enumerate(self.candles)}
        low, high = min(each.low for each in self.candles), max(each.high for each in self.candles)
        room = (high - low) * 0.06 or abs(high) * 0.01 or 1.0
        self._range = low - room, high + room
        look = {"viewBox": f"0 0 {width} {height}", "role": "img", "font-family": FONT}
        self._root = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **look})
        SubElement(self._root, "title").text = self.title or "Candles with factors"
        self._rect(self._root, (0, 0, width, height), fill=self.shades["ground"])
        if self.title:
            self._write(MARGIN_LEFT, 25, self.title, "text", size=16)
        self._add_grid()
        clip = SubElement(SubElement(self._root, "defs"), "clipPath", {"id": "plot"})
        plot = (MARGIN_LEFT, MARGIN_TOP, self._width, height - MARGIN_TOP - MARGIN_BOTTOM)
        self._rect(clip, plot)
        self._plot = SubElement(self._root, "g", {"clip-path": "url(#plot)"})

    @property
    def _width(self) -> int:
        return self.size[0] - MARGIN_LEFT - MARGIN_RIGHT

    def x(self, time: float) -> float:
        """The middle of the candle that opened at `time`: candles stand side by side, gaps closed.

        A time without a candle lies as far from the nearest shown one as the clock is.
        """
        place: float | None = self._places.get(int(time))
        if place is None:
            first, last = self.candles[0].candle_time, self.candles[-1].candle_time
            if time < first or time > last:
                near, at = (first, 0) if time < first else (last, len(self.candles) - 1)
                place = at + (time - near) / self.seconds
            else:
                place = bisect_left(self.candles, time, key=lambda each: each.candle_time) - 0.5
        return MARGIN_LEFT + (place + 0.5) * self._width / len(self.candles)

    def y(self, price: float) -> float:
        """The height of a price."""
        low, high = self._range
        plot = self.size[1] - MARGIN_TOP - MARGIN_BOTTOM
        return MARGIN_TOP + (high - price) / (high - low) * plot

    def add_candles(self) -> None:
        """Draw the candles over what is there."""
        step = self._width / len(self.candles)
        for each in self.candles:
            color = self.shades[UP if each.close >= each.open else DOWN]
            x = f"{self.x(each.candle_time):.1f}"
            wick = {"x1": x, "x2": x, "y1": f"{self.y(each.low):.1f}"}
            wick["y2"] = f"{self.y(each.high):.1f}"
            SubElement(self._plot, "line", {"class": "wick", "stroke": color, **wick})
            top, bottom = self.y(max(each.open, each.close)), self.y(min(each.open, each.close))
            body = (float(x) - step * 0.35, top, step * 0.7, max(bottom - top, 0.8))
            self._rect(self._plot, body, fill=color)

    def areas(self, drawn: Sequence[Drawing], looks: Mapping[str, Look]) -> None:
        """Fill between the lines that are the two edges of one area."""
        by_id = {each.id: each for each in drawn}
        for drawing in drawn:
            look = looks[drawing.id]
            if look.area is None or not drawing.id.endswith(look.area[0]):
                continue
            other = by_id.get(drawing.id.removesuffix(look.area[0]) + look.area[1])
            if other is not None:
                corners = self._points(drawing) + self._points(other)[::-1]
                fill = {"fill": self._color(drawing, look), "stroke": "none"}
                opacity = f"{0.12 if look.fill_opacity is None else look.fill_opacity:g}"
                self._add(drawing, "polygon", corners, {**fill, "fill-opacity": opacity})

    def draw(self, drawing: Drawing, look: Look) -> None:
        """Draw an instruction of any kind."""
        if drawing.kind == MARKER:
            self._marker(drawing, look)
        elif drawing.kind == LABEL:
            self._label(drawing, look)
        elif drawing.kind == BOX:
            self._box(drawing, look)
        else:
            stroke = {"fill": "none", **self._stroke(drawing, look)}
            self._add(drawing, "polyline", self._points(drawing), stroke)
            if look.to_axis and drawing.definition.get("extendRight"):
                self._name_at_axis(drawing, look)

    def as_text(self) -> str:
        """The document."""
        ElementTree.indent(self._root)
        return ElementTree.tostring(self._root, encoding="unicode") + "\n"

    def _points(self, drawing: Drawing) -> list[Point]:
        """Times and prices that a line goes through, up to the right edge if it extends there."""
        definition = drawing.definition
        if drawing.kind == LINE:
            return [point for point in drawing.points if point[0] >= definition["start"]]
        points = [(each["time"], each["value"]) for each in definition["points"]]
        if definition.get("extendRight"):
            points.append((self.candles[-1].candle_time + self.seconds, points[-1][1]))
        return points

    def _box(self, drawing: Drawing, look: Look) -> None:
        given = drawing.definition
        end = given["end"]
        if given.get("extendRight"):
            end = self.candles[-1].candle_time + self.seconds
        left, right = given["start"], end
        top, bottom = given["top"], given["bottom"]
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        color = given.get("fill") or self._color(drawing, look)
        opacity = look.fill_opacity
        if opacity is None:
            opacity = 1.0 if given.get("fill") else 0.12
        fill = {"fill": self._shade(color), "fill-opacity": f"{opacity:g}"}
        self._add(drawing, "polygon", corners, {**fill, **self._stroke(drawing, look)})

    def _marker(self, drawing: Drawing, look: Look) -> None:
        given = drawing.definition
        place = self._places.get(given["time"])
        if place is None:
            return
        candle, above = self.candles[place], given["position"] == "aboveBar"
        x = self.x(candle.candle_time)
        y = self.y(candle.high if above else candle.low) + (-9 if above else 9)
        look_of = {"fill": self._color(drawing, look), "data-feature": drawing.feature}
        if given["shape"] == "circle":
            place_of = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{2 + 2 * given['size']:g}"}
            SubElement(self._plot, "circle", {**place_of, **look_of})
        else:
            tip = -6 if given["shape"] == "arrowUp" else 6
            corners = f"{x:.1f},{y + tip:.1f} {x - 5:.1f},{y - tip:.1f} {x + 5:.1f},{y - tip:.1f}"
            SubElement(self._plot, "polygon", {"points": corners, **look_of})
        if given["text"]:
            self._write(x, y + (-8 if above else 16), given["text"], look_of["fill"], "middle")

    def _label(self, drawing: Drawing, look: Look) -> None:
        given = drawing.definition
        y = self.y(given["value"]) + {"above": -6, "center": 4, "below": 15}[given["place"]]
        written = self._write(
            self.x(given["time"]), y, given["text"], self._color(drawing, look), "middle"
        )
        written.set("data-feature", drawing.feature)

    def _name_at_axis(self, drawing: Drawing, look: Look) -> None:
        price = self._points(drawing)[-1][1]
        low, high = self._range
        if low <= price <= high:
            text = f"{look.name or ''} {price:,.10g}".strip()
            x, color = self.size[0] - MARGIN_RIGHT + 6, self._color(drawing, look)
            self._write(x, self.y(price) + 4, text, color, size=11)

    def _stroke(self, drawing: Drawing, look: Look) -> dict[str, str]:
        given = drawing.definition
        width = given["lineWidth"] if look.width is None else look.width
        stroke = {"stroke": self._color(drawing, look), "stroke-width": f"{width:g}"}
        if look.dashed or given.get("lineStyle") == "dashed":
            stroke["stroke-dasharray"] = "6 5"
        if look.opacity is not None:
            stroke["stroke-opacity"] = f"{look.opacity:g}"
        return stroke

    def _color(self, drawing: Drawing, look: Look) -> str:
        return self._shade(look.color or drawing.definition["color"])

    def _shade(self, color: str) -> str:
        """The shade of an ink; a CSS colour that can't be seen on the ground becomes the text's."""
        if color in self.shades:
            return self.shades[color]
        light, ground = _luminance(color), _luminance(self.shades["ground"])
        if light is None or ground is None:
            return color
        contrast = (max(light, ground) + 0.05) / (min(light, ground) + 0.05)
        return color if contrast >= LEAST_CONTRAST else self.shades["text"]

    def _add(
        self, drawing: Drawing, name: str, points: Sequence[Point], look: Mapping[str, str]
    ) -> None:
        corners = " ".join(f"{self.x(time):.1f},{self.y(price):.1f}" for time, price in points)
        SubElement(self._plot, name, {"points": corners, "data-feature": drawing.feature, **look})

    def _add_grid(self) -> None:
        """Lines with prices at the right and times below."""
        low, high = self._range
        right, bottom = self.size[0] - MARGIN_RIGHT, self.size[1] - MARGIN_BOTTOM
        for number in range(GRID_LINES):
            price = low + (high - low) * (number + 0.5) / GRID_LINES
            y = f"{self.y(price):.1f}"
            self._line(x1=f"{MARGIN_LEFT}", x2=f"{right}", y1=y, y2=y)
            self._write(right + 6, float(y) + 4, f"{price:,.6g}", "muted", size=11)
            each = self.candles[int((len(self.candles) - 1) * (number + 0.5) / GRID_LINES)]
            x = f"{self.x(each.candle_time):.1f}"
            self._line(x1=x, x2=x, y1=f"{MARGIN_TOP}", y2=f"{bottom}")
            when = datetime.fromtimestamp(each.candle_time, UTC)
            self._write(float(x), bottom + 18, f"{when:%Y-%m-%d %H:%M}", "muted", "middle", size=11)

    def _line(self, **place: str) -> None:
        SubElement(self._root, "line", {**place, "stroke": self.shades["grid"]})

    def _rect(self, parent: Element, place: tuple[float, ...], **look: Any) -> None:
        names = ("x", "y", "width", "height")
        sides = {name: f"{value:.1f}" for name, value in zip(names, place, strict=True)}
        SubElement(parent, "rect", {**sides, **look})

    def _write(
        self, x: float, y: float, text: str, color: str, anchor: str = "start", *, size: int = 12
    ) -> Element:
        place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "font-size": f"{size}"}
        # The outline in the colour of the ground keeps a text readable over others.
        look = {"stroke": self.shades["ground"], "stroke-width": "3", "paint-order": "stroke"}
        written = SubElement(self._root, "text", {**place, **look, "fill": self._shade(color)})
        written.text = text
        return written


def _luminance(color: str) -> float | None:
    """Relative luminance of a #rgb or #rrggbb colour, 0 to 1; None for other notations."""
    digits = color.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    if not color.startswith("#") or len(digits) != 6:
        return None
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
