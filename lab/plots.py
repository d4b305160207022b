"""Line plots as SVG text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.svg import Svg

WIDTH, HEIGHT = 860, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 36, 34
COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4b5563")
GRID, TEXT, FAINT = "#e5e7eb", "#111827", "#6b7280"
TICKS = 5

Points = Sequence[tuple[float, float]]


def line_plot(title: str, lines: Mapping[str, Points], *, x: str, y: str) -> str:
    """Draw lines over one pair of axes that begin at zero; `x` and `y` name them with units."""
    every = [point for points in lines.values() for point in points]
    right = nice(max((across for across, _ in every), default=1.0))
    top = nice(max((up for _, up in every), default=1.0))
    svg = Svg(title, WIDTH, HEIGHT, {"font-family": "system-ui, sans-serif", "font-size": "12"})

    def place(across: float, up: float) -> tuple[float, float]:
        return (
            LEFT + across / right * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - up / top * (HEIGHT - TOP - BOTTOM),
        )

    def write(at: tuple[float, float], text: str, fill: str, **look: str) -> None:
        where = {"x": f"{at[0]:.1f}", "y": f"{at[1]:.1f}", "fill": fill}
        look = {name.replace("_", "-"): value for name, value in look.items()}
        svg.add("text", **where, **look).text = text

    def line(begin: tuple[float, float], end: tuple[float, float], **look: str) -> None:
        ends = zip(("x1", "y1", "x2", "y2"), (*begin, *end), strict=True)
        svg.add("line", **{name: f"{each:.1f}" for name, each in ends}, **look)

    svg.add("rect", width=str(WIDTH), height=str(HEIGHT), fill="#ffffff")
    middle = (LEFT + WIDTH - RIGHT) / 2
    write((middle, 20), title, TEXT, text_anchor="middle", font_weight="600")
    # From the very edge: the unit's name may be wider than the numbers below it.
    write((4, TOP - 12), y, FAINT)
    write((WIDTH - RIGHT, HEIGHT - 6), x, FAINT, text_anchor="end")
    for share in (tick / TICKS for tick in range(TICKS + 1)):
        across, up = place(share * right, share * top)
        line((LEFT, up), (WIDTH - RIGHT, up), stroke=GRID)
        write((LEFT - 8, up + 4), f"{share * top:g}", FAINT, text_anchor="end")
        below = HEIGHT - BOTTOM + 14
        write((across, below), f"{share * right:g}", FAINT, text_anchor="middle")
    for number, (name, points) in enumerate(lines.items()):
        look = {"stroke": COLOURS[number % len(COLOURS)], "fill": "none"}
        corners = " ".join(f"{across:.1f},{up:.1f}" for across, up in (place(*p) for p in points))
        svg.add("polyline", points=corners, **look, **{"stroke-width": "1.6"})
        row = TOP + 14 + 18 * number
        key = WIDTH - RIGHT + 8
        line((key, row - 4), (key + 14, row - 4), **look)
        write((key + 20, row), name, TEXT)
    return svg.as_text()


def nice(most: float) -> float:
    """Return a round number not below `most`, so that ticks read well."""
    if most <= 0:
        return 1.0
    scale = 1.0
    while scale * 10 <= most:
        scale *= 10
    while scale > most:
        scale /= 10
    return next(step * scale for step in (1, 2, 2.5, 5, 10) if step * scale >= most)
