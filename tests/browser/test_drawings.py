"""The chart shows exactly the API's drawings of the features that are switched on.

Only the test adds candles, so that nothing changes during a comparison.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from playwright.sync_api import WebSocketRoute

from lab.exchange import Exchange
from lab.http import get, post
from lab.program import Program
from lab.waiting import wait_until
from tests.browser.chart import ChartPage
from tests.browser.drawings import Candles, Line, definitions, expected, held

pytestmark = pytest.mark.browser

READ = """() => {
    const keys = (selector) => [...document.querySelectorAll(selector)].map((node) =>
        node.dataset.feature);
    return {
        pressed: keys('.factor-toggle[aria-pressed="true"]'),
        on: keys('.factor-list input:checked'),
        overlayTime: document.querySelector('.chart').dataset.overlayTime,
        times: window.tradeCanvas.heldTimes(),
        scene: window.tradeCanvas.scene(),
        ids: window.tradeCanvas.drawings(),
    };
}"""

IS_READ = """(address) => performance.getEntriesByType('resource')
    .some(({ name }) => name.includes(address))"""

STEP = 3600
INGEST_TIMEOUT_S = 60.0
BEGINNING = 1_735_689_600
"""First time of the source candles; shifted to end now, they have the same prices every day."""
WHOLE = ("sim:futures:BTC/USDT:1h", 3600)
GROWING = ("sim:futures:ETH/USDT:1h", 1200)
KEPT_BACK = 120
FOLLOWING = ("sim:futures:SOL/USDT:1h", 2400)
MOST_PUSHED = 2048
"""Bytes beside the candle's own message that a closed candle may cost on average."""
PICTURED = ("sim:spot:BTC/USDT:1h", 2000)
WIDE = {"width": 1600, "height": 900}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def server(browser, static_files, shared_stack):
    """A web process and a local exchange that no process follows."""
    exchange = shared_stack.local_exchange()
    web = shared_stack.web()
    query = "query=sim:futures:ETH/USDT&limit=1"

    def listing_states() -> set[str]:
        answer = get(f"{web.url}/api/market/symbols?{query}")[1]
        return {each["state"] for each in answer["listings"]}

    # Before, pages guess how prices are written, and would write them anew amid a test.
    wait_until(lambda: "reading" not in listing_states(), 20, "the listings of the exchange")
    return web, exchange


@pytest.fixture
def web(server):
    """The web process that pages are opened on."""
    return server[0]


@pytest.fixture(scope="module")
def fed(server):
    """A complete series that does not change."""
    feed = Feed(*server, WHOLE)
    feed.add(feed.left)
    return feed


@pytest.fixture(scope="module")
def growing(server):
    """A series to which tests add candles."""
    feed = Feed(*server, GROWING)
    feed.add(feed.left - KEPT_BACK)
    return feed


@pytest.fixture(scope="module")
def following(server):
    """A long series to which tests add candles one by one."""
    feed = Feed(*server, FOLLOWING)
    feed.add(feed.left - KEPT_BACK)
    return feed


@pytest.fixture(scope="module")
def pictured(server):
    """A series at the prices of today, which the list of markets shows too."""
    feed = Feed(*server, PICTURED, of_today=True)
    feed.add(feed.left)
    return feed


class Feed:
    """Candles of the local exchange, posted to the server in order."""

    def __init__(
        self,
        web: Program,
        exchange: Exchange,
        series: tuple[str, int],
        *,
        of_today: bool = False,
    ) -> None:
        self.url = web.url
        self.series_id, length = series
        first = int(time.time()) // STEP * STEP - length * STEP
        source = first if of_today else BEGINNING
        rows = exchange.truth(self.series_id, source, source + (length - 1) * STEP)
        assert len(rows) == length
        for row in rows:
            row["candle_time"] += first - source
        self._rows = rows
        self.head = 0
        self._frame: Any = None

    @property
    def left(self) -> int:
        """How many candles have not been posted yet."""
        return len(self._rows)

    def add(self, count: int) -> None:
        """Post the next candles, to be stored and published."""
        rows, self._rows = self._rows[:count], self._rows[count:]
        body = {"series_id": self.series_id, "candles": rows, "publish_ws": True}
        url = f"{self.url}/api/dev/market/ingest/candles_closed_batch"
        status, answer = post(url, body, INGEST_TIMEOUT_S)
        assert status == 200, answer
        self.head = rows[-1]["candle_time"]
        self._frame = None

    def frame(self) -> Any:
        """The drawings at the newest candle; read once a candle."""
        if self._frame is None:
            self._frame = self.ask("frame/live")
        return self._frame

    def ask(self, path: str, **query: Any) -> Any:
        """Return an answer of the API about the series."""
        words = "".join(f"&{name}={value}" for name, value in query.items())
        status, answer = get(f"{self.url}/api/{path}?series_id={self.series_id}{words}")
        assert status == 200, answer
        return answer


@pytest.fixture
def drawn_page(open_chart):
    """The page with the drawings of the newest candle of a series."""

    def open_it(feed: Feed, **more: Any) -> DrawnPage:
        page = DrawnPage(open_chart(feed.series_id, **more), feed)
        page.wait_drawn()
        return page

    return open_it


def candles_of(times: list[int]) -> Candles:
    """The candles at these times, which must be without gaps."""
    assert times == list(range(times[0], times[-1] + STEP, STEP))
    return Candles(times[0], times[-1], STEP)


class DrawnPage:
    """A page, its switches, and the server to compare it with."""

    def __init__(self, chart: ChartPage, feed: Feed) -> None:
        self.chart = chart
        self.page = chart.page
        self.feed = feed
        answer = get(f"{feed.url}/api/factor/catalog")[1]
        self.catalog: list[dict[str, Any]] = answer["factors"]
        self.looks: dict[str, Any] = answer["features"]

    def wait_drawn(self) -> None:
        """Wait until the newest candle and its drawings are on the page."""
        head = str(self.feed.head)
        self.chart.wait_for(last_time=head, overlay_time=head, overlay_status="ready")
        self.page.wait_for_selector(".factor-toggle", state="attached")

    def wait_followed(self) -> None:
        """Wait until the page follows the drawings, and knows the health, over its socket."""
        for kind in ("draw_cursor", "health"):
            wait_until(lambda kind=kind: self.heard(kind) > 0, 20, f"a {kind}")

    def wait_loaded(self) -> None:
        """Wait until the page has looked for a chunk of history that it keeps for the next visit.

        It does so seconds after it follows, when nothing else is left to load. A page that is full
        of candles reads one, others learn that there is none.
        """
        self.wait_followed()
        is_full = self.chart.number("candle-count") >= 2000
        address = "/api/market/history/" if is_full else "/api/market/history?"
        wait_until(lambda: self.page.evaluate(IS_READ, address), 30, f"an answer to {address}")

    def asked_meanwhile(self) -> list[str]:
        """The requests, without those that no candle causes: the lists of markets and of ticks."""
        kinds = ("/api/market/symbols", "/api/market/top_markets")
        return [url for url in self.chart.requests if not any(kind in url for kind in kinds)]

    def heard(self, kind: str) -> int:
        """How many messages of a type came over the socket."""
        # Playwright passes events on only while it waits for something.
        self.page.wait_for_timeout(10)
        return len(self.chart.received(kind))

    def hide(self) -> None:
        """Make the page one in a hidden tab."""
        self.page.evaluate(
            """() => {
                Object.defineProperty(document, 'hidden', { get: () => true });
                document.dispatchEvent(new Event('visibilitychange'));
            }"""
        )

    def parts(self) -> list[str]:
        """Every sub-feature of the catalog."""
        return [part["key"] for factor in self.catalog for part in factor["sub_features"]]

    def switch(self, key: str) -> None:
        """Click the switch of a factor or of a part of it."""
        if "." not in key:
            self.page.click(f'.factor-toggle[data-feature="{key}"]')
            return
        factor = f'.factor[data-factor="{key.split(".")[0]}"]'
        self.page.hover(f"{factor} .factor-opener")
        self.page.click(f'{factor} input[data-feature="{key}"]')

    def read(self) -> dict[str, Any]:
        """Switches, candles and drawings of the page at one moment."""
        return dict(self.page.evaluate(READ))

    def candles(self) -> Candles:
        """The candles on the chart."""
        return candles_of(self.read()["times"])

    def scene(self) -> dict[str, Any]:
        """The drawings on the chart."""
        return dict(self.read()["scene"])

    def ids(self) -> dict[str, list[str]]:
        """Ids of the drawings on the chart, by feature."""
        return dict(self.read()["ids"])

    def assert_drawn(self, features: set[str]) -> None:
        """Assert that exactly the API's drawings of these features are on the chart."""
        frame, there = self.feed.frame(), self.read()
        assert {each for each in there["on"] if each.split(".")[0] in there["pressed"]} == features
        assert int(there["overlayTime"]) == frame["time"]["aligned_time"]
        drawn, candles = definitions(frame["draw_state"]), candles_of(there["times"])
        shapes = expected(drawn, candles, features, self.looks)
        assert held(there["scene"], candles) == shapes
        ids = {key: feature for feature, keys in there["ids"].items() for key in keys}
        assert ids == {key: drawn[key]["feature"] for key in shapes if key in drawn}

    def times_drawn(self, feature: str) -> set[int]:
        """The times that the ids of a feature begin with."""
        return {int(key.split(":")[1]) for key in self.ids().get(feature, [])}

    def wait_painted(self) -> None:
        """Wait until changes are painted."""
        self.page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def picture(self) -> bytes:
        """The pane of the candles, with neither pointer nor focus on it, nor a list over it.

        Its axis is left out: the countdown there changes every second.
        """
        self.page.mouse.move(0, 0)
        self.page.evaluate("document.activeElement.blur()")
        self.page.wait_for_selector(".factor-list:visible", state="hidden")
        self.wait_painted()
        return bytes(self.page.locator(".chart tr:first-child > td:nth-child(2)").screenshot())


def defaults(page: DrawnPage) -> set[str]:
    """The features that the catalog shows by default."""
    return {
        part["key"]
        for factor in page.catalog
        for part in factor["sub_features"]
        if part["default_visible"]
    }


def test_chart_holds_exactly_the_features_that_are_switched_on(drawn_page, fed):
    page = drawn_page(fed)
    shown = defaults(page)
    assert shown < set(page.parts())
    page.assert_drawn(shown)
    for factor in page.catalog:
        parts = {part["key"] for part in factor["sub_features"]}
        for part in sorted(parts):
            page.switch(part)
            shown ^= {part}
            page.assert_drawn(shown)
        page.switch(factor["key"])
        page.assert_drawn(shown - parts)
        page.switch(factor["key"])
        page.assert_drawn(shown)
    # The comparison was not empty: these features were on the chart.
    drawn = definitions(fed.frame()["draw_state"])
    there = {each["feature"] for each in drawn.values()}
    assert there >= {"pivot.major", "pivot.minor", "pen.confirmed", "zhongshu.dead", "sr.active"}
    assert there >= {"anchor.current", "anchor.switch"}


def test_drawings_follow_a_new_candle_and_switches_survive_a_reload(drawn_page, growing):
    page = drawn_page(growing)
    page.switch("sr.broken")
    page.switch("pivot.minor")
    page.switch("zhongshu")
    chosen = defaults(page) | {"sr.broken", "pivot.minor"}
    chosen -= {"zhongshu.alive", "zhongshu.dead"}
    page.assert_drawn(chosen)
    page.wait_loaded()
    before = page.chart.number("overlay-time")
    page.chart.requests.clear()
    growing.add(1)
    page.wait_drawn()
    assert page.chart.number("overlay-time") == before + STEP
    assert page.asked_meanwhile() == []
    page.assert_drawn(chosen)
    active = set(growing.frame()["draw_state"]["active_ids"])
    growing.add(growing.left)
    page.wait_drawn()
    page.assert_drawn(chosen)
    assert active - set(growing.frame()["draw_state"]["active_ids"]), "nothing was withdrawn"
    page.page.reload()
    page.wait_drawn()
    page.assert_drawn(chosen)
    page.switch("zhongshu")
    page.assert_drawn(chosen | {"zhongshu.alive", "zhongshu.dead"})


def test_closed_candles_cost_a_small_message_and_no_request(drawn_page, following):
    page = drawn_page(following)
    page.wait_loaded()
    page.chart.requests.clear()
    page.chart.frames.clear()
    for _ in range(8):
        following.add(1)
        page.wait_drawn()
    pushed = page.chart.received("draw_") + page.chart.received("health")
    assert sum(map(len, pushed)) <= 8 * MOST_PUSHED, pushed
    assert page.asked_meanwhile() == []
    page.assert_drawn(defaults(page))


def test_hidden_tab_asks_for_nothing(drawn_page, following):
    page = drawn_page(following)
    page.wait_loaded()
    page.hide()
    page.chart.requests.clear()
    for _ in range(3):
        following.add(1)
        page.wait_drawn()
    beats = page.heard("heartbeat")
    wait_until(lambda: page.heard("heartbeat") >= beats + 3, 30, "three heartbeats")
    assert page.chart.requests == []
    page.assert_drawn(defaults(page))


def test_each_switch_changes_the_picture_and_restores_it(drawn_page, growing):
    page = drawn_page(growing)
    # The answer that says how prices are written.
    page.page.wait_for_function(IS_READ, arg="/symbols")

    def is_at_start() -> bool:
        page.page.press(".chart", "Shift+ArrowLeft")
        return page.page.is_visible(".beginning")

    # What is older must not come between two pictures.
    wait_until(is_at_start, 30, "the first candle in view")
    page.page.evaluate("document.querySelector('.beginning').remove()")
    page.page.press(".chart", "End")
    # Until all candles are visible.
    for _ in range(13):
        page.page.press(".chart", "-")
    whole = page.picture()
    for factor in page.catalog:
        page.switch(factor["key"])
        assert page.picture() != whole, f"{factor['key']} was not painted"
        page.switch(factor["key"])
        assert page.picture() == whole, f"{factor['key']} looks different when switched on again"


def test_zoomed_out_fewer_marks_are_painted_and_levels_keep_their_names(drawn_page, fed):
    page = drawn_page(fed)
    page.switch("pivot.minor")
    for _ in range(14):
        page.page.press(".chart", "-")
    page.wait_painted()
    scene = page.scene()
    painted = set(scene["paintedMarks"])
    assert 10 < len(painted) < 0.7 * len(scene["markers"])
    assert painted < {marker["id"] for marker in scene["markers"]}
    levels = {
        (line["name"], line["places"][-1]["price"])
        for line in scene["lines"]
        if line["feature"] == "sr.active"
    }
    names = [name.split(" ") for name in scene["names"]]
    assert names and {(letter, float(price.replace(",", ""))) for letter, price in names} <= levels
    assert {letter for letter, _ in names} <= {"R", "S"}


@pytest.mark.parametrize(
    ("locale", "title", "text"),
    [
        ("en-GB", "Anchor · Current", "The pen from which the present is measured"),
        ("zh-CN", "锚 · 当前", "衡量当前走势所依据的笔"),
    ],
)
def test_anchor_is_named_under_the_pointer(drawn_page, fed, locale, title, text):
    page = drawn_page(fed, locale=locale)
    # Alone on the chart, so that nothing lies before it.
    for factor in page.catalog:
        if factor["key"] != "anchor":
            page.switch(factor["key"])
    page.switch("anchor.switch")
    for _ in range(10):
        page.page.press(".chart", "-")
    page.wait_painted()
    tip = page.page.locator(".drawing-tip")
    assert not tip.is_visible()
    area = page.page.locator(".chart").bounding_box()
    assert area is not None

    def is_named_at(across: float, down: float) -> bool:
        assert area is not None
        x, y = area["x"] + area["width"] * across, area["y"] + area["height"] * down
        page.page.mouse.move(x, y)
        return tip.is_visible() and page.page.text_content(".drawing-tip-title") == title

    places = ((across / 40, down / 70) for across in range(36, 1, -1) for down in range(6, 56))
    assert any(is_named_at(*place) for place in places)
    assert page.page.text_content(".drawing-tip-text") == text
    prices = page.page.text_content(".drawing-tip-prices") or ""
    assert "→" in prices

    # With keys alone: named, framed, read out, and followed while the chart moves.
    page.page.mouse.move(0, 0)
    tip.wait_for(state="hidden")
    said = page.page.locator(".chart .spoken")
    seen = [""]
    while seen[-1] not in seen[:-1]:
        page.page.keyboard.press("n")
        seen.append(said.inner_text())
    (found,) = [each for each in seen[1:-1] if each.startswith(f"{title}. {prices}. ")]
    assert found.endswith(f". {text}")
    while said.inner_text() != found:
        page.page.keyboard.press("p")
    frame = page.page.locator(".drawing-frame")
    before = frame.bounding_box()
    page.page.keyboard.press("ArrowLeft")
    wait_until(lambda: frame.bounding_box()["x"] > before["x"], 10, "the frame at its new place")
    assert tip.is_visible() and page.page.text_content(".drawing-tip-title") == title
    page.page.keyboard.press("Escape")
    tip.wait_for(state="hidden")
    assert not frame.is_visible() and said.inner_text() == ""


def test_scrolling_back_loads_the_drawings_of_older_candles(drawn_page, fed):
    page = drawn_page(fed)
    assert page.chart.number("candle-count") == 2000
    scroll_to_start(page)
    # The same facts from another source: the factors' ledger over all candles at once.
    slices = fed.ask("factor/slices", at_time=fed.head, window_candles=5000)["snapshots"]
    pivots = {each["pivot_time"] for each in slices["pivot"]["history"]["major"]}
    assert min(pivots) < fed.head - 3000 * STEP
    wait_until(lambda: page.times_drawn("pivot.major") == pivots, 20, "all pivots on the chart")
    page.chart.wait_for(older_status="complete")
    dead = {each["start_time"] for each in slices["zhongshu"]["history"]["dead"]}
    assert page.times_drawn("zhongshu.dead") == dead
    pens = slices["pen"]["history"]["confirmed"]
    corners = {pens[0]["start_time"], *(pen["end_time"] for pen in pens)}
    line = held(page.scene(), page.candles())["pen.confirmed"]
    assert isinstance(line, Line)
    assert [moment for moment, _ in line.points] == sorted(corners)
    # Features that are valid at one candle only are those of the newest candle.
    live = definitions(fed.frame()["draw_state"])
    for feature in ("anchor.current", "pen.extending", "sr.active"):
        there = sorted(key for key, each in live.items() if each["feature"] == feature)
        assert page.ids().get(feature, []) == there


def scroll_to_start(page: DrawnPage) -> None:
    """Scroll back until all candles are loaded and the first one is visible."""
    total = len(page.feed.ask("market/candles", limit=5000)["candles"])

    def all_loaded() -> bool:
        for _ in range(10):
            page.page.press(".chart", "Shift+ArrowLeft")
        return page.chart.number("candle-count") == total

    wait_until(all_loaded, 20, "all candles on the page")
    for _ in range(20):
        page.page.press(".chart", "Shift+ArrowLeft")


def test_lamps_show_the_health_that_the_server_reports(drawn_page, fed):
    page = drawn_page(fed)
    answers = {
        "market/health": {"status": "red", "head_time": fed.head, "missing_seconds": 7200},
        "factor/health": {
            "status": "red",
            "store_head_time": fed.head,
            "factor_head_time": fed.head - STEP,
            "overlay_head_time": fed.head - STEP,
            "max_delay_seconds": STEP,
        },
    }
    real = {path: fed.ask(path) for path in answers}
    assert real["market/health"]["head_time"] == real["factor/health"]["overlay_head_time"]
    page.page.wait_for_selector('#drawing-lamp[data-state="ok"]', state="attached")

    sockets = []

    def health() -> str:
        market, factor = ({**real[path], **answers[path]} for path in answers)
        message = {"type": "health", "series_id": fed.series_id}
        return json.dumps({**message, "market": market, "factor": factor})

    def pass_on(socket: WebSocketRoute) -> None:
        """Replace the health that the server pushes."""
        server = socket.connect_to_server()
        socket.on_message(server.send)
        server.on_message(
            lambda text: socket.send(health() if '"type":"health"' in str(text) else text)
        )
        sockets.append(socket)

    page.page.route_web_socket("**/ws/market", pass_on)
    page.page.reload()
    page.page.wait_for_selector('#status-button[data-tone="bad"]:has-text("Delayed")')
    page.page.click("#status-button")
    page.page.wait_for_selector('#candle-lamp[data-state="lagging"]:has-text("missing 2h")')
    page.page.wait_for_selector('#drawing-lamp[data-state="lagging"]:has-text("Behind 1h")')
    answers["factor/health"]["overlay_head_time"] = None
    sockets[-1].send(health())
    page.page.wait_for_selector('#drawing-lamp[data-state="rebuilding"]')


@pytest.mark.parametrize("screen", [WIDE, PHONE], ids=["wide", "phone"])
def test_drawings_fit_the_screen(drawn_page, pictured, screen):
    page = drawn_page(pictured, screen=screen)
    is_wide = screen is WIDE
    for _ in range(9 if is_wide else 6):
        page.page.press(".chart", "-")
    page.page.evaluate("document.activeElement.blur()")
    page.page.wait_for_selector('#drawing-lamp[data-state="ok"]', state="attached")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= screen["width"]
    for selector in (".topbar > *", ".tools > *", ".factors > *"):
        assert_apart(page, selector, screen["width"])
    if not is_wide:
        return
    opener = page.page.locator('.factor[data-factor="zhongshu"] .factor-opener')
    opener.click()
    box = page.page.locator("#factor-list-zhongshu").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= screen["width"]


def assert_apart(page: DrawnPage, selector: str, width: int) -> None:
    """Assert that the visible ones of these elements neither overlap nor leave the screen."""
    found = page.page.locator(f"{selector}:visible").all()
    boxes = [box for each in found if (box := each.bounding_box()) and box["width"]]
    for box in boxes:
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width + 0.5
    for index, one in enumerate(boxes):
        for other in boxes[index + 1 :]:
            beside = one["x"] + one["width"] <= other["x"] + 0.5
            beside |= other["x"] + other["width"] <= one["x"] + 0.5
            under = one["y"] + one["height"] <= other["y"] + 0.5
            under |= other["y"] + other["height"] <= one["y"] + 0.5
            assert beside or under, (selector, one, other)
