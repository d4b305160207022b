"""Line plots as SVG text that stands by itself: no script, no font, no address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import SubElement

WIDTH, HEIGHT = 860, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 36, 34
COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4b5563")
GRID, TEXT, FAINT = "#e5e7eb", "#111827", "#6b7280"
TICKS = 5

Points = Sequence[tuple[float, float]]


def line_plot(title: str, lines: Mapping[str, Points], *, x: str, y: str) -> str:
    """Draw lines over one pair of axes that begin at zero; `x` and `y` name them with units."""
    plot = _Plot(lines)
    plot.title(title, x, y)
    for number, (name, points) in enumerate(lines.items()):
        plot.line(name, points, number)
    return plot.text()


class _Plot:
    def __init__(self, lines: Mapping[str, Points]) -> None:
        every = [point for points in lines.values() for point in points]
        self._right = nice(max((x for x, _ in every), default=1.0))
        self._top = nice(max((y for _, y in every), default=1.0))
        self._root = ElementTree.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {WIDTH} {HEIGHT}",
                "role": "img",
                "font-family": "system-ui, sans-serif",
                "font-size": "12",
            },
        )

    def title(self, title: str, x: str, y: str) -> None:
        """Axes, grid and names."""
        SubElement(self._root, "title").text = title
        SubElement(self._root, "rect", width=str(WIDTH), height=str(HEIGHT), fill="#ffffff")
        self._words((LEFT + WIDTH - RIGHT) / 2, 20, title, TEXT, anchor="middle", weight="600")
        # From the very edge: the unit's name may be wider than the numbers below it.
        self._words(4, TOP - 12, y, FAINT)
        self._words(WIDTH - RIGHT, HEIGHT - 6, x, FAINT, anchor="end")
        for tick in range(TICKS + 1):
            share = tick / TICKS
            self._mark(share)

    def line(self, name: str, points: Points, number: int) -> None:
        """One line with its name beside the plot."""
        colour = COLOURS[number % len(COLOURS)]
        way = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in points)
        style = {"fill": "none", "stroke": colour, "stroke-width": "1.6"}
        SubElement(self._root, "polyline", {"points": way, **style})
        height = TOP + 14 + 18 * number
        self._words(WIDTH - RIGHT + 28, height, name, TEXT)
        ends = {"x1": str(WIDTH - RIGHT + 8), "x2": str(WIDTH - RIGHT + 22)}
        level = {"y1": str(height - 4), "y2": str(height - 4)}
        SubElement(self._root, "line", {**ends, **level, "stroke": colour, "stroke-width": "3"})

    def text(self) -> str:
        """The drawing."""
        return ElementTree.tostring(self._root, encoding="unicode")

    def _mark(self, share: float) -> None:
        x, y = self._x(share * self._right), self._y(share * self._top)
        ends = {"x1": str(LEFT), "x2": str(WIDTH - RIGHT), "y1": f"{y:.1f}", "y2": f"{y:.1f}"}
        SubElement(self._root, "line", {**ends, "stroke": GRID})
        self._words(LEFT - 8, y + 4, f"{share * self._top:g}", FAINT, anchor="end")
        self._words(x, HEIGHT - BOTTOM + 14, f"{share * self._right:g}", FAINT, anchor="middle")

    def _words(
        self,
        x: float,
        y: float,
        words: str,
        colour: str,
        *,
        anchor: str = "start",
        weight: str = "400",
    ) -> None:
        place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "fill": colour}
        style = {"text-anchor": anchor, "font-weight": weight}
        SubElement(self._root, "text", {**place, **style}).text = words

    def _x(self, value: float) -> float:
        return LEFT + value / self._right * (WIDTH - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self._top * (HEIGHT - TOP - BOTTOM)


def nice(most: float) -> float:
    """A round number not below `most`, so that ticks read well."""
    if most <= 0:
        return 1.0
    scale = 1.0
    while scale * 10 <= most:
        scale *= 10
    while scale > most:
        scale /= 10
    return next(step * scale for step in (1, 2, 2.5, 5, 10) if step * scale >= most)
