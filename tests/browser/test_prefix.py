"""The page, the API, the socket, the admin and static files below a prefix, in a browser."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from lab.http import get, get_text
from lab.waiting import patience, wait_until
from tests.browser.chart import ChartPage

pytestmark = pytest.mark.browser

PREFIX = "/canvas"
NAMED = f"X-Forwarded-Prefix: {PREFIX}"
LIVE = "sim:futures:BTC/USDT:1s"


class PrefixProxy:
    """A proxy at `PREFIX` that strips the prefix, or does not; everything else it answers 404.

    It `names` the prefix in a header, or does not.
    """

    def __init__(self, port, *, strips, names):
        self._port, self._strips, self._names = port, strips, names
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0)
        future = asyncio.run_coroutine_threadsafe(starting, self._loop)
        self._server = future.result(patience())
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{PREFIX}"
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(patience())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(patience())
        self._loop.close()

    async def _end(self):
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # A turn for the transports to close.
        await asyncio.sleep(0.1)

    async def _serve(self, reader, writer):
        with suppress(OSError, asyncio.IncompleteReadError):
            first, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
            method, path, version = first.split()
            if path != PREFIX.encode() and not path.startswith(f"{PREFIX}/".encode()):
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                writer.close()
                return
            if self._strips:
                path = path.removeprefix(PREFIX.encode()) or b"/"
            # One request a connection, so that each head is seen here.
            close = b"" if b"upgrade: websocket" in rest.lower() else b"Connection: close\r\n"
            kept = b"\r\n".join(
                line
                for line in rest.split(b"\r\n")
                if not close or not line.lower().startswith(b"connection:")
            )
            if self._names:
                kept = f"X-Forwarded-For: 203.0.113.7\r\n{NAMED}\r\n".encode() + kept
            answers, requests = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                requests.write(b" ".join((method, path, version)) + b"\r\n" + close + kept)
                await asyncio.gather(_copy(reader, requests), _copy(answers, writer))
            finally:
                requests.close()
                writer.close()


async def _copy(reader, writer):
    with suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture(scope="module", params=["setting", "header"])
def prefixed(request, installed):
    """A web process that has the prefix by its setting, or by the header of a trusted proxy."""
    by_setting = request.param == "setting"
    web = installed.web(
        **({"FORCE_SCRIPT_NAME": PREFIX} if by_setting else {"TRADE_CANVAS_TRUSTED_PROXIES": "1"})
    )
    web.has_setting = by_setting
    yield web
    web.terminate()
    installed.webs.remove(web)


@pytest.fixture(
    params=[
        pytest.param(True, id="stripped"),
        pytest.param(False, id="kept", marks=pytest.mark.prove),
    ]
)
def proxy(request, prefixed):
    names = not prefixed.has_setting
    with PrefixProxy(urlsplit(prefixed.url).port, strips=request.param, names=names) as running:
        yield running


def test_page_and_admin_work_below_a_prefix(browser, proxy, admin_account):
    name, password = admin_account
    context = browser.new_context()
    try:
        page = context.new_page()
        chart = ChartPage(page, proxy.url)
        chart.open(LIVE)
        chart.wait_for(status="live")
        wait_until(lambda: chart.number("ws-last-time") > 0, 30, "candles from the socket")
        assert chart.complaints == []
        page.goto(f"{proxy.url}/admin/")
        page.fill("#id_username", name)
        page.fill("#id_password", password)
        page.click("input[type=submit]")
        page.wait_for_url(f"{proxy.url}/admin/")
        assert page.locator("#site-name").count() == 1
        assert {one["path"] for one in context.cookies()} == {f"{PREFIX}/"}
        # Styles of the admin are there: nothing was asked for outside of the prefix.
        assert [url for url in chart.requests if not url.startswith(proxy.url)] == []
    finally:
        context.close()


def test_probes_and_the_prefix_alone(prefixed, proxy):
    assert get(f"{prefixed.url}/healthz")[0] == 200
    assert get(f"{proxy.url}/healthz")[0] == 200
    assert get(f"{proxy.url}/api/market/whitelist")[0] == 200
    # urllib follows the redirect to the page.
    assert get(proxy.url)[0] == 200
    # The page of a request without the header is not below the prefix.
    direct = f'"{PREFIX}/static/' if prefixed.has_setting else '"/static/'
    assert direct in get_text(f"{prefixed.url}/")
