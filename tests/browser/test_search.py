"""Finding a series of any market, keeping it with a star and in a list, with prices by its tick."""

from __future__ import annotations

import pytest

from lab.http import get
from lab.waiting import wait_until
from tests.browser.conftest import SCREEN
from tests.browser.test_accessibility import findings

pytestmark = pytest.mark.browser

OPENED = "sim:futures:BTC/USDT:1m"
FOUND = "sim:spot:DOGE/USDT:1m"
PHONE = {"width": 390, "height": 844}


def tick_of(chart, series_id):
    """The tick that the exchange states for a series."""
    exchange, market, symbol, _ = series_id.split(":")
    query = f"query={symbol}&exchange={exchange}&market={market}&limit=1"
    [item] = get(f"{chart.url}/api/market/symbols?{query}")[1]["items"]
    assert item["symbol"] == symbol
    return item["price_tick"]


@pytest.mark.parametrize(
    ("screen", "scheme", "locale"),
    [
        pytest.param(SCREEN, "dark", "en-GB", id="desktop"),
        pytest.param(PHONE, "light", "zh-CN", id="phone"),
    ],
)
def test_series_is_found_opened_starred_and_kept_in_a_list(
    open_chart, screenshot, screen, scheme, locale
):
    name = "phone" if screen is PHONE else "desktop"
    chart = open_chart(OPENED, screen=screen, scheme=scheme, locale=locale)
    chart.wait_for(status="live")
    page = chart.page

    # Found by a word with a mistake in it, and opened with the keyboard.
    if screen is PHONE:
        page.click("#series-button")
    page.fill("#picker .market-search", "dgoe spot")
    row = f'#picker .market[data-series-id="{FOUND}"]'
    page.wait_for_selector(f'{row}[aria-selected="true"]')
    screenshot(chart, f"search-{name}.png")
    page.press("#picker .market-search", "Enter")
    chart.wait_for(series_id=FOUND, status="live")

    # Every price is written by the tick.
    decimals = len(f"{tick_of(chart, FOUND):.10f}".rstrip("0").split(".")[1])

    def decimals_of(text):
        return len(text.replace(",", "").partition(".")[2])

    def are_by_the_tick():
        painted = ("#quote-price [aria-label]", ".legend-C [aria-label]")
        shown = [page.get_attribute(each, "aria-label") for each in painted]
        shown.append(page.title().split(" ")[0])
        shown.append(page.evaluate("window.tradeCanvas.lastPrice()"))
        return {decimals_of(text) for text in shown} == {decimals}

    wait_until(are_by_the_tick, 10, f"prices with {decimals} decimals")

    # Starred and put into a list of its own, which a reload keeps.
    if screen is PHONE:
        page.click("#series-button")
    # The answer comes while the star is pressed: no row may move away from under it.
    held = []
    page.route(lambda url: "/symbols?" in url and "doge" in url, lambda route: held.append(route))
    page.fill("#picker .market-search", "doge")
    wait_until(lambda: page.wait_for_timeout(10) or held, 10, "the request of the search")
    page.hover(f"{row} .market-star")
    page.mouse.down()
    with page.expect_response(lambda answer: "doge" in answer.url):
        held[0].continue_()
    page.wait_for_timeout(50)
    page.mouse.up()
    page.wait_for_selector(f'{row} .market-star[aria-pressed="true"]')
    page.click(f"{row} .market-more")
    screenshot(chart, f"details-{name}.png")
    assert findings(page) == []
    page.click('#picker [data-control="list-new"]')
    page.fill("#picker .list-name", "Dogs")
    page.press("#picker .list-name", "Enter")
    page.reload()
    chart.wait_for(series_id=FOUND, status="live")
    if screen is PHONE:
        page.click("#series-button")
    for view in ("favourites", "1"):
        page.click(f'#picker [data-view="{view}"]')
        page.wait_for_selector(f'{row}[aria-current="true"]')
        assert page.locator("#picker .market").count() == 1
    screenshot(chart, f"list-{name}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= screen["width"]
