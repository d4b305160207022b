"""Takes the pictures of README and docs into SCREENSHOT_DIR: `make screenshots`.

The name keeps this file out of the suite; what the pictures show is tested beside it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.test_drawings import CLOSE_UP, PICTURED, DrawnPage, Feed

pytestmark = pytest.mark.browser

SCREEN = {"width": 1440, "height": 810}
PHONE = {"width": 390, "height": 844}
PASSWORD = "of-the-painter-3"
MOST_BYTES = 150_000


def save(page: Page, name: str, **more: Any) -> None:
    """Save what the page shows, without focus or pointer on it."""
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    path = Path(os.environ["SCREENSHOT_DIR"]) / name
    page.screenshot(path=path, **more)
    assert path.stat().st_size < MOST_BYTES, f"{name} has {path.stat().st_size} bytes"


@pytest.fixture(scope="module")
def pictured(browser, static_files, shared_stack):
    """A series at the prices of today, which the list of markets shows too."""
    exchange = shared_stack.local_exchange()
    feed = Feed(shared_stack.web(), exchange, PICTURED, of_today=True)
    feed.add(feed.left)
    return feed


@pytest.fixture
def drawn(open_chart, pictured):
    """Opens the page, zoomed out, once its drawings and markets are there."""

    def open_it(**more: Any) -> Page:
        shown = DrawnPage(open_chart(pictured.series_id, url=pictured.url, **more), pictured)
        shown.wait_drawn()
        for _ in range(8 if more["screen"] is SCREEN else 5):
            shown.page.keyboard.press("-")
        shown.page.wait_for_selector('#drawing-lamp[data-state="ok"]', state="attached")
        shown.page.wait_for_selector("#quote-change:not(:empty)")
        shown.wait_painted()
        return shown.page

    return open_it


@pytest.fixture
def web(pictured):
    """Nothing is opened on the suite's web process."""
    return pictured


@pytest.mark.parametrize(
    ("locale", "language"), [("en-GB", ""), ("zh-CN", "-chinese")], ids=["english", "chinese"]
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page(drawn, scheme, locale, language):
    page = drawn(screen=SCREEN, scheme=scheme, locale=locale)
    save(page, f"page-{scheme}{language}.png")
    if scheme == "dark" and not language:
        page.click('.factor[data-factor="zhongshu"] .factor-opener')
        page.wait_for_selector("#factor-list-zhongshu", state="visible")
        page.screenshot(path=Path(os.environ["SCREENSHOT_DIR"]) / "parts.png", clip=CLOSE_UP)
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        page.wait_for_selector("#keys", state="visible")
        save(page, "keys.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone(drawn, scheme):
    page = drawn(screen=PHONE, scheme=scheme)
    save(page, f"phone-{scheme}.png")
    page.click("#factors-button")
    page.wait_for_selector("#factor-sheet", state="visible")
    save(page, f"phone-sheet-{scheme}.png")


@pytest.mark.parametrize("path", ["status", "market/whitelistedseries"])
@pytest.mark.parametrize("screen", [SCREEN, PHONE], ids=["wide", "phone"])
def test_admin(installation, browser, path, screen):
    name = f"{path.rsplit('/')[-1]}-{screen['width']}"
    create = f"create_superuser('{name}', password='{PASSWORD}')"
    command = f"from django.contrib.auth import get_user_model as m; m().objects.{create}"
    installation.manage("shell", "-c", command)
    web = next(each for each in installation.webs if each.is_running)
    context = browser.new_context(viewport=screen, color_scheme="light")
    page = context.new_page()
    page.goto(f"{web.url}/admin/{path}/")
    page.fill("#id_username", name)
    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")
    page.wait_for_selector("#content")
    suffix = "-phone" if screen is PHONE else ""
    save(page, f"admin-{path.rsplit('/')[-1]}{suffix}.png")
    context.close()
