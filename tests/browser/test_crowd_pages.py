"""The pages of the capacity gate ask for what the page in the browser asks for."""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest

from lab.browser_drawings import POLL
from lab.client import Order
from lab.crowd_process import Crew
from lab.sockets import Socket
from lab.waiting import eventually, wait_until
from tests.browser.chart import ChartPage
from tests.browser.conftest import SCREEN

pytestmark = pytest.mark.browser

LIVE = "sim:futures:BTC/USDT:1s"
# Asked for only when drawings or candles changed between the first read and the subscribe, and
# where the series has a whole chunk of history.
SOMETIMES = {POLL, "/api/market/history/NAME"}
NEXT_PAGE = ("/api/market/candles", ("limit", "series_id", "since"))
# What is asked for last, some seconds after the rest.
LATE = {"/api/market/top_markets/stream", "/api/market/history"}


def shape(url):
    """The path of a request, and the names of what it asks with."""
    parts = urlsplit(url)
    path = re.sub(r"(?<=/history/).+", "NAME", parts.path)
    return path, tuple(sorted(name for name, _ in parse_qsl(parts.query)))


def form(url, accept):
    """The form in which the page asks for candles; None for other requests."""
    return accept if shape(url)[0] == "/api/market/candles" else None


def shapes(urls):
    """The requests to the API, each kind once."""
    found = {shape(url) for url in urls if "/api/" in url}
    return {each for each in found if each[0] not in SOMETIMES and each != NEXT_PAGE}


def fields(messages):
    """The names of the fields of each type of message."""
    return {body["type"]: tuple(sorted(body)) for body in map(json.loads, messages)}


@pytest.fixture
def asked_by_the_page(browser, web):
    """What the page in the browser requests, and sends over its socket."""
    context = browser.new_context(viewport=SCREEN)
    page = context.new_page()
    sent, forms = [], set()
    page.on("request", lambda one: forms.add(form(one.url, one.headers.get("accept"))))
    page.on("websocket", lambda socket: socket.on("framesent", lambda text: sent.append(text)))
    chart = ChartPage(page, web.url)
    chart.open(LIVE)
    chart.wait_for(status="live")
    wait_until(lambda: page.title() and {shape(url)[0] for url in chart.requests} >= LATE)
    chart.wait_past(chart.number("last-time") + 3)
    yield shapes(chart.requests), fields(sent), forms
    context.close()


async def asked_by_a_member(url, monkeypatch):
    """What a page of a crowd requests, and sends over its socket."""
    urls, sent, forms = [], [], set()
    request, send = aiohttp.ClientSession.get, Socket.send

    def get(self, to, **more):
        urls.append(to)
        forms.add(form(to, more.get("headers", {}).get("Accept")))
        return request(self, to, **more)

    monkeypatch.setattr(aiohttp.ClientSession, "get", get)
    monkeypatch.setattr(Socket, "send", lambda self, data: sent.append(data) or send(self, data))
    crew = Crew(Order(urls=(url,), series=(LIVE,), watchers=1, pages=True))
    joined = await crew.attach()
    await eventually(lambda: {shape(each)[0] for each in urls} >= LATE)
    await crew.finish({}, wait=False)
    await crew.close()
    assert joined.live == 1
    return shapes(urls), fields(sent), forms


def test_member_of_a_crowd_asks_for_what_the_page_asks_for(asked_by_the_page, web, monkeypatch):
    # Playwright's event loop runs in this thread.
    with ThreadPoolExecutor(1) as pool:
        work = asked_by_a_member(web.url, monkeypatch)
        requests, messages, forms = pool.submit(lambda: asyncio.run(work)).result()
    page_requests, page_messages, page_forms = asked_by_the_page
    past = {each for each in requests if each[0] == "/api/frame/at_time"}
    assert sorted(page_requests - requests) == []
    assert sorted(requests - past - page_requests) == []
    assert messages == page_messages
    assert forms == page_forms
    assert any(forms)
