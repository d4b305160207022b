"""The example page of the TypeScript client draws a series, and follows it."""

from __future__ import annotations

import re

import pytest

from lab.waiting import patience
from tests.browser.chart import TIMEOUT_S
from trade_canvas.environment import BASE_DIR

pytestmark = pytest.mark.browser

SERIES = "sim:futures:BTC/USDT:1s"
CLIENT = BASE_DIR / "clients" / "typescript"
LIBRARY = BASE_DIR / "frontend" / "node_modules" / "lightweight-charts"
CDN = re.compile(r"https://unpkg\.com/lightweight-charts@([\d.]+)/(dist/[\w.-]+)")


@pytest.fixture
def page(browser, web, built_client):
    """A page that finds the example below the server's address, and the library on this machine."""
    # A page that comes from no address may otherwise not connect to one of this machine.
    context = browser.new_context(permissions=["local-network-access"])
    opened = context.new_page()
    opened.set_default_timeout(patience(TIMEOUT_S) * 1000)
    for folder in ("examples", "dist"):
        opened.route(f"{web.url}/{folder}/**", serve)
    opened.route(CDN, lambda route: route.fulfill(path=LIBRARY / CDN.match(route.request.url)[2]))
    yield opened
    context.close()


def serve(route):
    name = route.request.url.split("?")[0].split("/", 3)[3]
    route.fulfill(path=CLIENT / name)


def test_example_shows_and_follows_a_series(page, web):
    complaints = []
    page.on("console", lambda line: complaints.append(line.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{web.url}/examples/chart.html?server={web.url}&series={SERIES}")
    page.wait_for_selector(f"#status:has-text('{SERIES}: live')")
    seen = page.locator("#chart").screenshot()
    page.wait_for_function(
        "before => document.querySelector('#chart canvas').toDataURL() !== before",
        arg=page.evaluate("document.querySelector('#chart canvas').toDataURL()"),
    )
    assert page.locator("#chart").screenshot() != seen
    assert complaints == []


def test_example_names_the_version_of_the_page():
    example = (CLIENT / "examples" / "chart.html").read_text()
    assert len(example.splitlines()) <= 60
    assert f'"version": "{CDN.search(example)[1]}"' in (LIBRARY / "package.json").read_text()
