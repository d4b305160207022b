"""The page and the admin have no serious finding of axe, which checks WCAG rules in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import SCREEN

pytestmark = pytest.mark.browser

LIVE = "sim:futures:BTC/USDT:1s"
PHONE = {"width": 390, "height": 844}
AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
PASSWORD = "of-the-looker-2"


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


@pytest.mark.parametrize("path", ["/admin/status/", "/admin/market/whitelistedseries/"])
def test_admin_has_no_serious_finding(installation, web, browser, path):
    create = f"create_superuser('axe-{len(path)}', password='{PASSWORD}')"
    command = f"from django.contrib.auth import get_user_model as m; m().objects.{create}"
    installation.manage("shell", "-c", command)
    page = browser.new_context(viewport=SCREEN).new_page()
    page.goto(f"{web.url}{path}")
    assert findings(page) == []
    page.fill("#id_username", f"axe-{len(path)}")
    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")
    page.wait_for_selector("#content")
    assert findings(page) == []
    page.context.close()
