"""The built page on a running installation, in Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import ConsoleMessage, FloatRect, Page, sync_playwright

from lab.browser import ARGUMENTS, CHROMIUM
from lab.waiting import patience
from tests.browser.chart import TIMEOUT_S, ChartPage

SCREEN = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


# Not for the whole session: while Playwright is open, no other event loop runs in this thread.
@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    if not shutil.which(CHROMIUM):
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing(f"no Chromium at {CHROMIUM}: install it, or name it in CHROMIUM")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield launched
        launched.close()


@pytest.fixture
def installation(browser, installed):
    """Web, worker, beat and a local exchange, with two whitelisted series and the built page."""
    return installed


@pytest.fixture
def web(installation):
    """The running web process."""
    return next(each for each in installation.webs if each.is_running)


@pytest.fixture
def exchange(installation):
    found = installation.exchange
    yield found
    found.clear()


@pytest.fixture
def open_chart(browser, web):
    """Opens the page with a series; fails when an opened page logged an error or a warning."""
    opened = []

    def open_it(
        series_id: str = "",
        *,
        screen: dict[str, int] = SCREEN,
        zone: str = "UTC",
        url: str = web.url,
        scheme: Literal["dark", "light"] = "dark",
        locale: str = "en-GB",
        touch: bool = False,
    ) -> ChartPage:
        context = browser.new_context(
            viewport=screen,
            timezone_id=zone,
            color_scheme=scheme,
            locale=locale,
            has_touch=touch,
        )
        chart = ChartPage(context.new_page(), url)
        opened.append(chart)
        chart.open(series_id)
        return chart

    yield open_it
    for chart in opened:
        chart.page.context.close()
    for chart in opened:
        assert {urlsplit(url).netloc for url in chart.requests} <= {urlsplit(chart.url).netloc}
    assert [line for chart in opened for line in chart.complaints] == []


@pytest.fixture
def open_admin(browser, web, admin_account):
    """Opens a page of the admin, logged in; fails when one logged an error or a warning."""
    contexts, complaints = [], []

    def complain(line: ConsoleMessage) -> None:
        if line.type in ("error", "warning"):
            complaints.append(line.text)

    def open_it(
        path: str,
        *,
        screen: dict[str, int] = SCREEN,
        scheme: Literal["dark", "light"] = "light",
        locale: str = "en-GB",
        is_checked: bool = True,
        before_log_in: Callable[[Page], None] = lambda page: None,
    ) -> Page:
        context = browser.new_context(
            viewport=screen, color_scheme=scheme, locale=locale, base_url=web.url
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(patience(TIMEOUT_S) * 1000)
        if is_checked:
            page.on("console", complain)
            page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        before_log_in(page)
        name, password = admin_account
        page.fill("#id_username", name)
        page.fill("#id_password", password)
        page.click("[type=submit]")
        page.wait_for_selector("#logout-form")
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def screenshot():
    """Saves a picture of a page into SCREENSHOT_DIR, if that is set."""

    def save(chart: ChartPage, name: str, clip: FloatRect | None = None) -> None:
        if directory := os.environ.get("SCREENSHOT_DIR"):
            chart.page.screenshot(path=Path(directory) / name, clip=clip)

    return save
