"""The status of a derived series in the page: whether it follows its base, and why not."""

from __future__ import annotations

import time

import pytest

from lab.http import post
from lab.waiting import wait_until

pytestmark = pytest.mark.browser

BASE = "sim:spot:MADE/USDT:1m"
FIVE = "sim:spot:MADE/USDT:5m"
DERIVING = {
    "TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES": "1",
    "TRADE_CANVAS_DERIVED_TIMEFRAMES": "5m",
}


@pytest.fixture(scope="module")
def deriving(installed):
    """A web process that derives a series of two days ago; the installation's others do not."""
    web = installed.web(**DERIVING)
    start = int(time.time()) // 300 * 300 - 2 * 86_400
    prices = {"open": 2.0, "high": 2.0, "low": 2.0, "close": 2.0, "volume": 1.0}
    rows = [{"candle_time": start + 60 * number, **prices} for number in range(20)]
    body = {"series_id": BASE, "candles": rows}
    status, answer = post(f"{web.url}/api/dev/market/ingest/candles_closed_batch", body)
    assert status == 200, answer
    wait_until(lambda: len(installed.stored(FIVE, 0, start + 1200)) == 4, 20, "derived candles")
    yield web
    web.terminate()


def base_line(chart, label):
    """The line of the status panel about the base, once it is there and has this label."""
    chart.page.click("#status-button")
    chart.page.wait_for_selector(f"#derived-lamp:visible:has-text('{label}')")
    return chart.page.inner_text("#derived-lamp").split("\n")


def test_derived_series_names_what_is_wrong_with_its_base(open_chart, deriving):
    chart = open_chart(FIVE, url=deriving.url)
    name, label, explanation = base_line(chart, "Base is late")
    assert (name, label) == ("Base", "Base is late")
    assert explanation.startswith("The newest candle of 1m is of ")
    chart.page.keyboard.press("Escape")
    chart.open(BASE)
    chart.page.click("#status-button")
    chart.page.wait_for_selector("#candle-lamp[data-state=lagging]")
    assert not chart.page.is_visible("#derived-lamp")


def test_derived_series_that_these_settings_do_not_make_is_stopped(open_chart, deriving):
    chart = open_chart(FIVE, locale="zh-CN")
    name, label, explanation = base_line(chart, "已停止")
    assert (name, label) == ("基础序列", "已停止")
    assert explanation.startswith("服务器不再合成该序列")
