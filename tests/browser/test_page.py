"""The page keeps every candle, through lost connections, gaps and changes of series."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import WebSocketRoute

from lab.http import post
from lab.line import Line
from lab.waiting import wait_until
from tests.browser.conftest import SCREEN

pytestmark = pytest.mark.browser

LIVE = "sim:futures:BTC/USDT:1s"
MINUTES = "sim:futures:BTC/USDT:1m"
HOLED = "sim:futures:ETH/USDT:1s"
ANOTHER = "sim:futures:ETH/USDT:1m"
FOUND = "sim:futures:SOL/USDT:1m"
UNKNOWN = "sim:spot:NOTHING/USDT:1m"
REFUSED = "test:spot:ABC/USDT:1m"
PHONE = {"width": 390, "height": 844}
# What Chromium logs when a server dies: before it is asked, before it has answered, in the middle
# of an answer and of a stream.
LOST = (
    "ERR_CONNECTION",
    "ERR_EMPTY_RESPONSE",
    "ERR_CONTENT_LENGTH_MISMATCH",
    "ERR_INCOMPLETE_CHUNKED_ENCODING",
)


def test_page_loads_two_thousand_candles_and_follows_live(open_chart):
    chart = open_chart(LIVE)
    chart.wait_for(status="live", gap_count="0")
    # If opened during the first backfill, it receives the rest of it.
    wait_until(lambda: chart.number("candle-count") >= 2000, 30, "2,000 candles")
    loaded = chart.number("last-time")
    chart.wait_past(loaded + 3)
    assert chart.number("ws-last-time") > loaded
    chart.assert_whole()


def test_page_opens_a_whitelisted_series_by_itself(open_chart):
    chart = open_chart()
    chart.wait_for(status="live")
    assert chart.fact("series-id") in (LIVE, MINUTES)


@pytest.mark.parametrize("end", ["kill", pytest.param("terminate", marks=pytest.mark.prove)])
def test_page_has_every_candle_after_its_server_was_replaced(installation, web, open_chart, end):
    chart = open_chart(LIVE)
    chart.wait_for(status="live")
    chart.page.evaluate("window.notReloaded = true")
    before = chart.wait_past(chart.number("last-time"))
    getattr(web, end)()
    chart.wait_for(status="reconnecting")
    notices = chart.page.locator(".notices .notice:visible")
    wait_until(lambda: notices.count() == 1, 5, "one notice")
    # What is not live looks not live: quote, list and title.
    for figures in ("#quote", "#picker .market-list"):
        chart.page.wait_for_selector(f'{figures}[data-fresh="false"]', state="attached")
    wait_until(lambda: chart.page.title().startswith("(old) "), 5, "a title marked as old")
    installation.web(port=urlsplit(web.url).port)
    chart.wait_for(status="live")
    chart.wait_past(before + 8)
    chart.assert_whole()
    for figures in ("#quote", "#picker .market-list"):
        chart.page.wait_for_selector(f'{figures}[data-fresh="true"]', state="attached")
    wait_until(lambda: not chart.page.title().startswith("("), 5, "a title without a mark")
    assert chart.fact("gap-count") == "0"
    assert chart.page.evaluate("window.notReloaded")
    # Only lost connections may be logged; a server that is shutting down answers 503.
    lost = (*LOST, "WebSocket", "503")
    assert [line for line in chart.complaints if not any(word in line for word in lost)] == []
    chart.complaints.clear()


def test_gap_is_shown_and_recovered_without_a_reload(installation, open_chart, exchange):
    chart = open_chart(HOLED)
    chart.wait_for(status="live", gap_count="0")
    chart.page.evaluate("window.notReloaded = true")
    exchange.fault("omit", HOLED, next=2, rest=True)
    chart.wait_for(gap_count="1")
    chart.page.wait_for_selector(".notices:has-text('2 candles missing')")
    exchange.clear()
    installation.manage("gaps", HOLED, "--repair")
    chart.wait_for(gap_count="0", status="live")
    chart.assert_whole()
    times = chart.closed_times()
    assert times == list(range(times[0], times[-1] + 1))
    assert chart.page.evaluate("window.notReloaded")


def test_another_series_replaces_the_first_and_back_returns_to_it(open_chart):
    chart = open_chart(LIVE)
    chart.wait_for(status="live")
    chart.page.click('#timeframes [data-timeframe="1m"]')
    chart.wait_for(series_id=MINUTES, status="live")
    chart.assert_whole()
    assert {moment % 60 for moment in chart.closed_times()} == {0}
    assert f"series={MINUTES}" in chart.page.url
    chart.page.click(f'#picker [data-series-id="{ANOTHER}"]')
    chart.wait_for(series_id=ANOTHER, status="live")
    chart.assert_whole()
    chart.page.go_back()
    # Chromium logs a WebSocket that is closed before it is open.
    chart.wait_for(series_id=MINUTES, status="live")
    chart.page.go_back()
    chart.wait_for(series_id=LIVE, status="live")
    chart.assert_whole()


def test_series_that_does_not_exist_is_named_and_the_nearest_is_offered(open_chart):
    chart = open_chart(UNKNOWN)
    chart.wait_for(status="error", candle_count="0")
    assert "There is no such series" in chart.page.inner_text(".mask")
    chart.page.click(".mask .button-offer >> nth=0")
    chart.wait_for(status="live")
    offered = chart.fact("series-id")
    # What does not exist is not remembered.
    chart.page.goto(chart.url)
    chart.wait_for(status="live", series_id=offered)


def test_link_that_names_no_series_is_explained(open_chart):
    chart = open_chart("nonsense")
    chart.page.wait_for_selector(".mask:has-text('nonsense')")
    chart.page.click(".mask .button-offer >> nth=0")
    chart.wait_for(status="live")


def test_refused_series_is_polled_and_shows_a_notice(web, open_chart):
    store(web, REFUSED, *range(60, 60 * 50, 60))
    chart = open_chart(REFUSED)
    chart.page.wait_for_selector(".notices .notice-warning:has-text('Capacity reached'):visible")
    chart.wait_for(candle_count="49")
    store(web, REFUSED, 60 * 50)
    chart.wait_for(last_time=str(60 * 50))
    chart.assert_whole()
    # The exchange does not exist, so its markets can not be ranked.
    wait_until(lambda: chart.page.wait_for_timeout(10) or chart.complaints, what="a complaint")
    [complaint] = chart.complaints
    assert "400" in complaint
    chart.complaints.clear()


def test_page_is_usable_on_a_phone(open_chart):
    chart = open_chart(LIVE, screen=PHONE)
    chart.wait_for(status="live")
    page = chart.page
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    box = page.locator(".chart").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]
    assert box["height"] > PHONE["height"] / 2
    page.click("#series-button")
    page.fill("#picker input", "SOL")
    page.click(f'#picker .market[data-series-id="{FOUND}"]')
    chart.wait_for(series_id=FOUND, status="live")
    wait_until(lambda: page.get_attribute("#series-button", "aria-expanded") == "false", 5, "panel")
    chart.assert_whole()


def store(web, series_id, *times):
    candles = [
        {"candle_time": each, "open": 10, "high": 12, "low": 9, "close": 11, "volume": each}
        for each in times
    ]
    body = {"series_id": series_id, "candles": candles}
    status, answer = post(f"{web.url}/api/dev/market/ingest/candles_closed_batch", body)
    assert status == 200, answer


def test_health_page_refreshes_itself_and_warns_only_without_an_answer(open_admin):
    # The requests that are cut off are complained about.
    page = open_admin("/admin/status/", is_checked=False)
    page.wait_for_selector("text=Followed series")
    with page.expect_response("**/admin/status/?part=tables") as renewed:
        renewed.value.finished()
    assert not page.is_visible("#status-silence")
    page.route("**/admin/status/?part=tables", lambda route: route.abort())
    page.wait_for_selector("#status-silence", state="visible")
    page.unroute_all()
    page.wait_for_selector("#status-silence", state="hidden")


def test_dead_but_open_connection_is_noticed_on_a_slow_timeframe(open_chart, web):
    line = Line([urlsplit(web.url).port]).start()
    try:
        chart = open_chart(MINUTES, url=f"http://127.0.0.1:{line.port}")
        chart.wait_for(status="live")
        line.cut()
        chart.wait_for(status="reconnecting")
        line.heal()
        chart.wait_for(status="live")
        chart.assert_whole()
    finally:
        line.close()
    chart.page.close()
    chart.complaints.clear()


def test_intraday_times_are_shown_in_the_chosen_zone_and_days_are_never_shifted(open_chart):
    chart = open_chart(MINUTES, zone="America/New_York")
    chart.wait_for(status="live")
    sign = chart.page.locator(".zone-sign")
    assert sign.inner_text() == "New York"
    closed = chart.page.locator("#status-facts .fact-last-close [aria-label]")
    local = closed.get_attribute("aria-label")
    chart.page.click("#settings-button")
    chart.page.select_option('select[name="zone"]', "exchange")
    assert sign.inner_text() == "UTC"
    wait_until(lambda: closed.get_attribute("aria-label") != local, 5, "the time in UTC")
    chart.page.select_option('select[name="zone"]', "Asia/Kathmandu")
    assert sign.inner_text() == "Kathmandu"
    chart.page.reload()
    chart.wait_for(status="live")
    assert sign.inner_text() == "Kathmandu"
    chart.page.click('#timeframes [data-timeframe="1d"]')
    wait_until(lambda: sign.inner_text() == "UTC", 5, "the exchange's days")


# The pixels that are painted in an area of some size, a number each; 0 is transparent.
PIXELS = """
const pixelsOf = (width, height, paint) => {
    const context = new OffscreenCanvas(width, height).getContext("2d");
    paint(context);
    return new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
};
const pixelsOn = (canvas) =>
    pixelsOf(canvas.width, canvas.height, (context) => context.drawImage(canvas, 0, 0));
"""
UPPER_CANVASES = f"""() => {{
    {PIXELS}
    return [...document.querySelectorAll(".chart canvas + canvas")].map((canvas) =>
        [getComputedStyle(canvas).opacity === "1", pixelsOn(canvas).some((pixel) => pixel > 0)]);
}}"""


def test_canvases_of_the_crosshair_are_shown_with_it_and_hold_nothing_else(open_chart):
    chart = open_chart(LIVE)
    chart.wait_for(status="live", overlay_status="ready")
    page = chart.page

    def wait_for(*, crosshair: bool) -> None:
        def is_so() -> bool:
            canvases = page.evaluate(UPPER_CANVASES)
            painted = any(has_paint for _, has_paint in canvases)
            return all(is_shown == crosshair for is_shown, _ in canvases) and painted == crosshair

        wait_until(is_so, 5, f"the crosshair to be {'shown' if crosshair else 'away'}")

    assert len(page.evaluate(UPPER_CANVASES)) == 5
    wait_for(crosshair=False)
    page.hover(".chart", position={"x": 300, "y": 200})
    wait_for(crosshair=True)
    page.hover("#picker")
    wait_for(crosshair=False)
    page.keyboard.press("j")
    wait_for(crosshair=True)
    page.keyboard.press("Escape")
    wait_for(crosshair=False)


CANDLE_COLORS = f"""() => {{
    {PIXELS}
    const root = document.querySelector(".chart");
    const canvas = root.querySelector("canvas");
    const pixels = pixelsOn(canvas);
    return ["--chart-up", "--chart-down"].map((name) => {{
        const [color] = pixelsOf(1, 1, (context) => {{
            context.fillStyle = getComputedStyle(root).getPropertyValue(name);
            context.fillRect(0, 0, 1, 1);
        }});
        const columns = new Set();
        pixels.forEach((pixel, at) => pixel === color && columns.add(at % canvas.width));
        return columns.size / canvas.width;
    }});
}}"""


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_candles_are_painted_in_the_colours_of_the_theme_wherever_the_view_is(open_chart, scheme):
    chart = open_chart(MINUTES, scheme=scheme)
    chart.wait_for(status="live", overlay_status="ready")

    def wait_for_candles() -> None:
        def rise_and_fall() -> bool:
            rising, falling = chart.page.evaluate(CANDLE_COLORS)
            return rising > 0.1 and falling > 0.1

        wait_until(rise_and_fall, 5, "rising and falling candles across the chart")

    wait_for_candles()
    chart.page.press(".chart", "Home")
    chart.page.wait_for_selector(".to-live:visible")
    wait_for_candles()


CROSSHAIR_COLUMN = f"""() => {{
    {PIXELS}
    const canvas = document.querySelector(".chart canvas + canvas");
    const painted = new Array(canvas.width).fill(0);
    pixelsOn(canvas).forEach((pixel, at) => painted[at % canvas.width] += pixel > 0);
    return painted.indexOf(Math.max(...painted));
}}"""


def test_keys_keep_the_crosshair_and_the_legend_on_a_candle_while_others_come(open_chart):
    chart = open_chart(LIVE)
    chart.wait_for(status="live", overlay_status="ready")
    for _ in range(4):
        chart.page.keyboard.press("j")
    said = chart.page.locator("#stage > .spoken").inner_text()
    volume = said.rsplit(" ", 1)[1]
    shown = chart.page.locator(".legend-V [aria-label]")
    columns = [chart.page.evaluate(CROSSHAIR_COLUMN)]
    for _ in range(3):
        assert shown.get_attribute("aria-label") == volume
        chart.wait_past(chart.number("last-time") or 0)
        wait_until(
            lambda: chart.page.evaluate(CROSSHAIR_COLUMN) < columns[-1],
            5,
            "the crosshair to move with its candle",
        )
        columns.append(chart.page.evaluate(CROSSHAIR_COLUMN))
    assert shown.get_attribute("aria-label") == volume


def test_last_price_is_shown_also_when_it_is_out_of_view(open_chart):
    chart = open_chart(LIVE)
    chart.wait_for(status="live")
    for _ in range(6):
        chart.page.press(".chart", "Shift+ArrowLeft")
    chart.page.wait_for_selector(".to-live:visible")

    def is_newest() -> bool:
        return bool(
            chart.page.evaluate(
                """() => {
                    const { forming, candles } = window.tradeCanvas.state();
                    const { close } = forming ?? candles.at(-1);
                    return Number(window.tradeCanvas.lastPrice().replaceAll(",", "")) === close;
                }"""
            )
        )

    wait_until(is_newest, 5, "the newest price on the axis")


@pytest.mark.parametrize(
    "screen",
    [
        pytest.param(SCREEN, id="wide"),
        pytest.param(PHONE, id="phone", marks=pytest.mark.prove),
    ],
)
def test_light_system_gets_a_light_page_until_the_user_chooses(open_chart, screen):
    chart = open_chart(MINUTES, scheme="light", screen=screen)
    chart.wait_for(status="live")
    page = chart.page

    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert background() == "rgb(255, 255, 255)"
    page.click("#settings-button")
    page.select_option('select[name="theme"]', "dark")
    assert background() == "rgb(11, 15, 20)"
    page.select_option('select[name="rising"]', "red")
    page.reload()
    chart.wait_for(status="live")
    assert background() == "rgb(11, 15, 20)"
    assert page.get_attribute("html", "data-rising") == "red"
    # The first paint has these colours, however late the page's script is.
    empty = {"body": "", "content_type": "text/javascript"}
    page.route("**/assets/*.js", lambda route: route.fulfill(**empty))
    page.reload()
    assert page.locator(".legend").count() == 0
    assert background() == "rgb(11, 15, 20)"
    assert page.get_attribute("html", "data-rising") == "red"


def test_page_is_in_the_browsers_language_until_the_user_chooses(open_chart):
    chart = open_chart(MINUTES, locale="zh-CN")
    chart.wait_for(status="live")
    page = chart.page
    assert page.get_attribute("html", "lang") == "zh-CN"
    assert page.inner_text("#status-word") == "实时"
    page.click("#settings-button")
    page.select_option('select[name="language"]', "en")
    page.wait_for_selector('html[lang="en"]')
    chart.wait_for(status="live")
    assert page.inner_text("#status-word") == "Live"


@pytest.mark.parametrize(
    ("screen", "scheme", "locale", "word", "sentence"),
    [
        (SCREEN, "dark", "en-GB", "Halted", "halted or delisted this market"),
        (PHONE, "light", "zh-CN", "已停牌", "停牌或下架"),
    ],
    ids=["wide", "phone"],
)
def test_halted_market_does_not_look_live(
    open_chart, screenshot, screen, scheme, locale, word, sentence
):
    chart = open_chart(MINUTES, screen=screen, scheme=scheme, locale=locale)

    def halted(text: str) -> str:
        message = json.loads(text)
        if message["type"] == "health":
            message["market"]["is_halted"] = True
        return json.dumps(message)

    def pass_on(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        socket.on_message(server.send)
        server.on_message(lambda text: socket.send(halted(str(text))))

    chart.page.route_web_socket("**/ws/market", pass_on)
    chart.page.reload()
    chart.page.wait_for_selector(f'#status-button[data-tone="warning"]:has-text("{word}")')
    chart.page.wait_for_selector(f'.notice:has-text("{sentence}")')
    screenshot(chart, f"halted-{locale}.png")
