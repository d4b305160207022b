"""Takes the pictures of README and docs into SCREENSHOT_DIR: `make screenshots`.

The name keeps this file out of the suite; what the pictures show is tested beside it.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from lab.waiting import wait_until
from tests.browser.test_admin import PASTE, check
from tests.browser.test_drawings import PICTURED, DrawnPage, Feed
from tests.conftest import INSTALLED, PINNED, running_stack

pytestmark = pytest.mark.browser

SCREEN = {"width": 1440, "height": 810}
PHONE = {"width": 390, "height": 844}
CLOSE_UP = {"x": 0, "y": 56, "width": 900, "height": 380}
MOST_BYTES = 150_000
DERIVING = {
    "TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES": "1",
    "TRADE_CANVAS_DERIVED_TIMEFRAMES": "5m,1h",
}
DERIVED = ("sim:futures:BTC/USDT:5m", "sim:futures:BTC/USDT:1h")


def save(page: Page, name: str, clip: dict[str, float] | None = None) -> None:
    """Save what the page shows, or a part of it, as WebP."""
    page.mouse.move(0, 0)
    options: dict[str, Any] = {"format": "webp", "quality": 88}
    if clip is not None:
        options["clip"] = {**clip, "scale": 1}
    session = page.context.new_cdp_session(page)
    picture = base64.b64decode(session.send("Page.captureScreenshot", options)["data"])
    assert len(picture) < MOST_BYTES, f"{name} has {len(picture)} bytes"
    (Path(os.environ["SCREENSHOT_DIR"]) / f"{name}.webp").write_bytes(picture)


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
        shown.page.emulate_media(reduced_motion="reduce")
        for _ in range(5 if more["screen"] is SCREEN else 3):
            shown.page.keyboard.press("-")
        shown.page.wait_for_selector('#drawing-lamp[data-state="ok"]', state="attached")
        shown.page.wait_for_selector("#quote-change:not(:empty)")
        shown.wait_painted()
        return shown.page

    return open_it


@pytest.mark.parametrize(
    ("locale", "language"), [("en-GB", ""), ("zh-CN", "-chinese")], ids=["english", "chinese"]
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page(drawn, scheme, locale, language):
    page = drawn(screen=SCREEN, scheme=scheme, locale=locale)
    save(page, f"page-{scheme}{language}")
    if scheme == "dark" and not language:
        page.click('.factor[data-factor="zhongshu"] .factor-opener')
        page.wait_for_selector("#factor-list-zhongshu", state="visible")
        save(page, "parts", CLOSE_UP)
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        page.wait_for_selector("#keys", state="visible")
        save(page, "keys")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone(drawn, scheme):
    page = drawn(screen=PHONE, scheme=scheme)
    save(page, f"phone-{scheme}")
    page.click("#factors-button")
    page.wait_for_selector("#factor-sheet", state="visible")
    save(page, f"phone-sheet-{scheme}")


@pytest.fixture(scope="package")
def installed(migrated_template, static_files):
    """As for the tests, and with derived timeframes."""
    with running_stack(migrated_template) as opened:
        opened.environment.update(INSTALLED | DERIVING)
        opened.local_exchange()
        opened.whitelist(PINNED)
        opened.start_all()
        yield opened


@pytest.fixture
def derived(installed):
    """Derived series on the whitelist, made of what is followed."""
    names = ", ".join(f"('{series}', true)" for series in DERIVED)
    installed.sql(f"INSERT INTO whitelist (series_id, enabled) VALUES {names}")

    def are_made() -> bool:
        heads = installed.heads()
        return all(series in heads for series in DERIVED)

    wait_until(are_made, 120, "derived candles")
    yield
    installed.sql("DELETE FROM whitelist WHERE series_id = ANY(%s)", list(DERIVED))


@pytest.mark.parametrize("screen", [SCREEN, PHONE], ids=["wide", "phone"])
def test_admin_whitelist(open_admin, screen):
    page = open_admin("/admin/market/whitelistedseries/", screen=screen)
    save(page, f"admin-whitelist{'-phone' if screen is PHONE else ''}")


@pytest.mark.parametrize("screen", [SCREEN, PHONE], ids=["wide", "phone"])
def test_admin_status(open_admin, derived, screen):
    page = open_admin("/admin/status/", screen=screen)
    page.wait_for_selector(f"text={DERIVED[0]}")
    if screen is SCREEN:
        # Down to the end of the last table.
        last = page.locator("#content table").last.bounding_box()
        assert last is not None
        page.set_viewport_size({**SCREEN, "height": int(last["y"] + last["height"]) + 15})
    save(page, f"admin-status{'-phone' if screen is PHONE else ''}")


@pytest.mark.parametrize("screen", [SCREEN, PHONE], ids=["wide", "phone"])
def test_admin_paste(open_admin, screen):
    page = open_admin(PASTE, screen=screen, locale="zh-CN" if screen is PHONE else "en-GB")
    check(page)
    save(page, f"admin-paste{'-phone' if screen is PHONE else ''}")
