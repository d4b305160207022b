"""A visitor who comes back reads no history from the server."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from lab.http import post
from lab.waiting import wait_until

pytestmark = pytest.mark.browser

OLD = "sim:futures:OLD/USDT:1m"
CANDLES = 12_000

# Of a request that the browser answers from its cache, nothing is transferred.
TRANSFERRED = """
performance.getEntriesByType('resource')
    .filter(({ name }) => name.includes('/api/market/'))
    .map(({ name, transferSize }) => [name.split('/api/market/')[1], transferSize])
"""


@pytest.fixture
def stored(web):
    """Enough minutes up to now for several chunks."""
    newest = int(time.time()) // 60 * 60 - 60
    times = range(newest - 60 * (CANDLES - 1), newest + 60, 60)
    candles = [
        {"candle_time": each, "open": 10, "high": 12, "low": 9, "close": 11, "volume": 1}
        for each in times
    ]
    body = {"series_id": OLD, "candles": candles}
    status, answer = post(f"{web.url}/api/dev/market/ingest/candles_closed_batch", body)
    assert status == 200, answer


def read(chart, kind):
    """Addresses of a kind that were requested, with the bytes that came over the network."""
    found = Counter()
    for address, size in chart.page.evaluate(TRANSFERRED):
        if address.startswith(kind):
            found[address] += size
    return found


def scroll_to_start(chart):
    """Scroll back until the page has all candles: how far it reads ahead of less may differ."""

    def has_all():
        for _ in range(10):
            chart.page.press(".chart", "Shift+ArrowLeft")
        return chart.number("candle-count") == CANDLES

    wait_until(has_all, 30, f"{CANDLES} candles")


def test_second_visit_reads_chunks_from_the_browser(stored, open_chart):
    chart = open_chart(OLD)
    chart.wait_for(status="live")
    assert chart.number("candle-count") == 2000
    kept = "JSON.parse(localStorage['trade_canvas.history'] ?? '{}')"
    wait_until(lambda: chart.page.evaluate(f"{kept}['{OLD}']"), 20, "a chunk that is kept")
    scroll_to_start(chart)
    first = read(chart, "history/")
    assert len(first) >= 3
    assert all(first.values())

    chart.page.reload()
    chart.wait_for(status="live")
    assert 2048 <= chart.number("candle-count") <= 4200
    chart.assert_whole()
    (page,) = read(chart, "candles")
    assert "since=" in page
    scroll_to_start(chart)
    again = read(chart, "history/")
    assert again.keys() == first.keys()
    assert set(again.values()) == {0}
    (index,) = read(chart, "history?").values()
    assert index < 1000, "the index is unchanged"


def test_page_in_a_hidden_tab_reads_no_chunk_until_it_is_seen(stored, open_chart):
    chart = open_chart()
    chart.page.add_init_script(
        "window.isSeen = false;"
        "Object.defineProperty(document, 'hidden', { get: () => !window.isSeen });"
    )
    chart.requests.clear()
    chart.open(OLD)
    chart.wait_for(status="live")

    def beats():
        chart.page.wait_for_timeout(10)
        return len(chart.received("heartbeat"))

    # Twice as long as a page that is seen waits with the chunk.
    wait_until(lambda: beats() >= 4, 40, "four heartbeats")
    assert read(chart, "history") == Counter()
    chart.page.evaluate(
        "window.isSeen = true; document.dispatchEvent(new Event('visibilitychange'))"
    )
    wait_until(lambda: read(chart, "history/"), 30, "the newest chunk")
