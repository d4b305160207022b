"""The page and the admin have no serious finding of axe, which checks WCAG rules in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import PHONE, SCREEN

pytestmark = pytest.mark.browser

LIVE = "sim:futures:BTC/USDT:1s"
AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"


def findings(page: Page) -> list[Any]:
    """The serious and critical findings: rule, and the elements."""
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate(
        """async () => {
            const { violations } = await axe.run();
            return violations
                .filter(({ impact }) => impact === "serious" || impact === "critical")
                .map(({ id, nodes }) => [id, nodes.slice(0, 3).map(({ target }) => target.join())]);
        }"""
    )
    return list(found)


@pytest.mark.parametrize(
    ("screen", "scheme"),
    [
        pytest.param(SCREEN, "light", id="wide light"),
        pytest.param(PHONE, "dark", id="phone dark"),
        pytest.param(SCREEN, "dark", id="wide dark", marks=pytest.mark.prove),
        pytest.param(PHONE, "light", id="phone light", marks=pytest.mark.prove),
    ],
)
def test_page_has_no_serious_finding(open_chart, screen, scheme):
    chart = open_chart(LIVE, screen=screen, scheme=scheme)
    chart.wait_for(status="live")
    page = chart.page
    page.wait_for_selector(".factor", state="attached")
    assert findings(page) == []
    # Each opens over the page: by its button, or by its key.
    opened = {"#status-panel": "#status-button", "#settings": "#settings-button", "#keys": "?"}
    if screen is PHONE:
        opened["#factor-sheet"] = "#factors-button"
    for panel, opener in opened.items():
        if opener.startswith("#"):
            page.click(opener)
        else:
            page.keyboard.press(opener)
        page.wait_for_selector(panel, state="visible")
        chart.finish_animations()
        assert findings(page) == [], panel
        page.keyboard.press("Escape")
        page.wait_for_selector(panel, state="hidden")


@pytest.mark.parametrize(
    ("screen", "scheme", "locale"),
    [
        pytest.param(SCREEN, "light", "en-GB", id="wide light"),
        pytest.param(PHONE, "dark", "zh-CN", id="phone dark Chinese"),
    ],
)
def test_admin_has_no_serious_finding(open_admin, screen, scheme, locale):
    found = []
    page = open_admin(
        "/admin/",
        screen=screen,
        scheme=scheme,
        locale=locale,
        # axe styles what it measures, which the content policy refuses.
        is_checked=False,
        before_log_in=lambda page: found.extend(findings(page)),
    )
    for path in (
        "/admin/",
        "/admin/status/",
        "/admin/market/whitelistedseries/",
        "/admin/market/whitelistedseries/add/",
        "/admin/market/series/",
        "/admin/market/gaprecord/",
        "/admin/factors/factorstate/",
        "/admin/market/whitelistedseries/paste/",
    ):
        page.goto(path)
        found += [(path, each) for each in findings(page)]
    page.fill("#id_text", "sim:futures:BTC/USDT:1m\nsim:futures:BTC/USDT:1d\nBTC/USDT 1x")
    page.click("[name=check]")
    page.wait_for_selector("#outcome")
    found += findings(page)
    assert found == []
