"""A factor that `startfactor` wrote shows on the page as it is: no TypeScript knows it."""

from __future__ import annotations

import shutil
import sys
import time

import pytest
from django.core.management import call_command

from lab.http import get, post
from lab.waiting import wait_until
from tests.conftest import ONE_PROCESS
from tests.test_foreign_factors import environment
from trade_canvas.environment import BASE_DIR

pytestmark = pytest.mark.browser

SERIES = "sim:spot:NEW/USDT:1m"
STEP = 60
PACKAGES = ("market", "factors", "overlays", "trade_canvas")
BUILT = ("frontend", "staticfiles", "locale")
LENGTH = 3


@pytest.fixture(scope="module")
def web(browser, static_files, shared_stack, tmp_path_factory):
    """A web process of a checkout to which a factor was added."""
    root = tmp_path_factory.mktemp("checkout")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("tests", "__pycache__")
        shutil.copytree(BASE_DIR / package, root / package, ignore=ignored)
    (root / "overlays/domain/tests").mkdir()
    shutil.copy(BASE_DIR / "manage.py", root)
    for folder in BUILT:
        if (BASE_DIR / folder).exists():
            (root / folder).symlink_to(BASE_DIR / folder)
    call_command("startfactor", "close_run", "--root", str(root), verbosity=0)
    name_runs(root / "overlays" / "domain" / "close_run.py")
    shared_stack.local_exchange()
    command = (sys.executable, str(root / "manage.py"), "web", "--host", "127.0.0.1", "--port")
    return shared_stack.web(command=command, **ONE_PROCESS, **environment())


def name_runs(renderer):
    """Let the renderer write a label above each run, beside what it draws already."""
    text = renderer.read_text()
    drawn = "sheet.add(f\"{RUN}:{run['visible_time']}\", area)\n"
    assert drawn in text and "box, line" in text
    text = text.replace("box, line", "box, label, line")
    text = text.replace(
        drawn,
        drawn
        + '        name = label(RUN, end, "run", color="blue", place="above")\n'
        + "        sheet.add(f\"{RUN}.name:{run['visible_time']}\", name)\n",
    )
    renderer.write_text(text)


class Prices:
    """Candles in minutes up to now, three up and three down in turn, stored one by one."""

    def __init__(self, url, series=SERIES):
        self.url, self.series = url, series
        self.closes = [100.0]
        self.first = int(time.time()) // STEP * STEP - 200 * STEP

    def add(self, count):
        """Store the next candles."""
        rows = []
        for _ in range(count):
            n = len(self.closes)
            before, close = self.closes[-1], self.closes[-1] + (2 if n // LENGTH % 2 else -2)
            self.closes.append(close)
            rows.append(
                {
                    "candle_time": self.first + n * STEP,
                    "open": before,
                    "high": max(before, close) + 1,
                    "low": min(before, close) - 1,
                    "close": close,
                    "volume": 1.0,
                }
            )
        body = {"series_id": self.series, "candles": rows, "publish_ws": True}
        url = f"{self.url}/api/dev/market/ingest/candles_closed_batch"
        assert post(url, body, 30.0)[0] == 200

    @property
    def head(self):
        return self.first + (len(self.closes) - 1) * STEP

    def means(self):
        """The mean of the newest closes at each candle."""
        closes = self.closes[1:]
        newest = [closes[max(0, n - LENGTH) : n] for n in range(1, len(closes) + 1)]
        return [sum(each) / len(each) for each in newest]


def scene_at(chart, head):
    """The drawings on the chart, once it shows the candle at `head`."""
    chart.wait_for(last_time=str(head), overlay_time=str(head), overlay_status="ready")
    return chart.page.evaluate("window.tradeCanvas.scene()")


def mean_line(scene):
    (line,) = [each for each in scene["lines"] if each["id"] == "close_run.mean"]
    return line


def test_generated_factor_shows_its_box_and_its_line(web, open_chart, screenshot):
    prices = Prices(web.url)
    prices.add(60)
    chart = open_chart(SERIES, url=web.url)
    scene = scene_at(chart, prices.head)
    chart.page.wait_for_selector('.factor[data-factor="close_run"]')
    boxes = [each for each in scene["boxes"] if each["feature"] == "close_run.run"]
    assert len(boxes) >= 60 // LENGTH - 2
    assert {each["color"] for each in boxes} == {"up", "down"}
    for box in boxes:
        assert (box["to"] - box["from"], box["top"] - box["bottom"]) == (LENGTH - 1, 8)
    labels = [each for each in scene["labels"] if each["feature"] == "close_run.run"]
    assert [(each["index"], each["price"]) for each in labels] == [
        (box["to"], box["top"]) for box in boxes
    ]
    assert {(each["text"], each["color"], each["place"]) for each in labels} == {
        ("run", "blue", "above")
    }
    line = mean_line(scene)
    assert (line["color"], line["width"], line["opacity"]) == ("blue", 2, 0.8)
    assert [place["price"] for place in line["places"]] == prices.means()
    screenshot(chart, "new-factor.png")

    # A new candle brings one point, over the wire too.
    cursor = get(f"{web.url}/api/draw/delta?series_id={SERIES}")[1]["next_cursor"]["version_id"]
    prices.add(1)
    grown = mean_line(scene_at(chart, prices.head))
    assert [place["price"] for place in grown["places"]] == prices.means()
    asked = f"{web.url}/api/draw/delta?series_id={SERIES}&cursor_version_id={cursor}"
    points = get(asked)[1]["series_points"]
    assert points["close_run.mean"] == [[prices.head, prices.means()[-1]]]

    # Its parts are switched like those of any factor, and named under the pointer.
    chart.page.hover('.factor[data-factor="close_run"] .factor-opener')
    chart.page.click('input[data-feature="close_run.run"]')
    left = chart.page.evaluate("window.tradeCanvas.drawings()")
    assert "close_run.run" not in left and left["close_run.mean"] == ["close_run.mean"]
    assert named_under_the_pointer(chart, "Close run · Mean")


def test_factor_of_another_package_and_its_instance_show_side_by_side(web, open_chart):
    prices = Prices(web.url, "sim:spot:EMA/USDT:1m")
    prices.add(60)
    chart = open_chart(prices.series, url=web.url)
    scene = scene_at(chart, prices.head)
    for name, label in (("ema", "EMA 10"), ("ema_50", "EMA 50")):
        chip = chart.page.locator(f'.factor[data-factor="{name}"] .factor-toggle')
        assert chip.text_content() == label
        (line,) = [each for each in scene["lines"] if each["id"] == f"{name}.line"]
        assert line["color"] == "amber" and len(line["places"]) > 50
    # Each is switched alone.
    chart.page.click('.factor[data-factor="ema"] .factor-toggle')
    left = chart.page.evaluate("window.tradeCanvas.drawings()")
    assert "ema.line" not in left and left["ema_50.line"] == ["ema_50.line"]


def test_drawing_is_named_at_a_tap(web, open_chart):
    prices = Prices(web.url, "sim:spot:TAP/USDT:1m")
    prices.add(60)
    chart = open_chart(prices.series, url=web.url, touch=True)
    scene_at(chart, prices.head)
    area, tip = chart.page.locator(".chart").bounding_box(), chart.page.locator(".drawing-tip")

    def tapped():
        for share in (0.3, 0.4, 0.5, 0.6):
            chart.page.touchscreen.tap(
                area["x"] + area["width"] * 0.6, area["y"] + area["height"] * share
            )
            if tip.is_visible():
                return True
        return False

    wait_until(tapped, 20, "a tooltip at a tap")
    assert chart.page.text_content(".drawing-tip-title") in ("Close run · Run", "Close run · Mean")
    # The drawing moves away from it with the chart.
    chart.page.press(".chart", "ArrowLeft")
    tip.wait_for(state="hidden")


def named_under_the_pointer(chart, title):
    """Whether some place of the chart has a tooltip with this title."""
    area = chart.page.locator(".chart").bounding_box()
    middle, tip = area["x"] + area["width"] * 0.6, chart.page.locator(".drawing-tip-title")
    for y in range(int(area["y"]) + 60, int(area["y"] + area["height"] * 0.8), 4):
        chart.page.mouse.move(middle, y)
        if tip.is_visible() and tip.text_content() == title:
            return True
    return False
