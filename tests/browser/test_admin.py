"""The admin in a browser: pasted series, and pages that fit a phone."""

from __future__ import annotations

import pytest

from lab.alerts import add_rules
from tests.browser.conftest import PHONE, SCREEN

pytestmark = pytest.mark.browser

WHITELIST = "/admin/market/whitelistedseries/"
PASTE = f"{WHITELIST}paste/"
STATUS = "/admin/status/"
RULES, ALERTS = "/admin/factors/alertrule/", "/admin/factors/alert/"
# Added without being followed, so that other tests see nothing of it.
NEW = "sim:spot:BTC/USDT:4h"
TEXT = f"""{NEW}
sim:futures:BTC/USDT:1m
{NEW}
NOPE/USDT 1m
BTC/USDT 1x
nowhere:spot:BTC/USDT:1m
"""
LANGUAGES = {"en-GB": "en", "zh-CN": "zh"}


def overflow(page):
    """By how many pixels the page is wider than its window."""
    return page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth")


@pytest.fixture
def refused_alert(installed):
    """The id of an alert that a receiver with a long name keeps refusing."""
    name = "series-that-no-other-test-has"
    host = "a-receiver-with-a-very-long-name.of.the.monitoring.department.example.com"
    add_rules(installed, f"{name}:*", url=f"https://{host}/hooks/alerts", secret="whsec_none")
    found = "ab" * 16
    installed.sql(
        "INSERT INTO alerts (id, rule_id, series, kind, event_key, candle_time, body, is_streamed,"
        " is_public, state, attempts, last_error) SELECT %s, max(id), %s, 'zhongshu.formed', %s,"
        " 1780000000, %s, true, true, 'dead', 16, 'HTTP 503' FROM alert_rules"
        " WHERE series LIKE %s ON CONFLICT DO NOTHING",
        *(found, "binance:futures:1000000MOG/USDT:15m", "formed:" + "1780000000:" * 9),
        *('{"id": "%s"}' % (found * 9), f"{name}%"),  # noqa: UP031
    )
    installed.sql(
        "INSERT INTO alert_attempts (alert_id, number, at, duration_ms, status, error)"
        " VALUES (%s, 16, now(), 12, 503, 'HTTP 503')",
        found,
    )
    yield found
    installed.sql("DELETE FROM alert_attempts WHERE alert_id = %s", found)
    installed.sql("DELETE FROM alerts WHERE id = %s", found)
    installed.sql("DELETE FROM alert_rules WHERE series LIKE %s", f"{name}%")


def check(page, text=TEXT):
    """Paste a text and have it checked."""
    page.fill("#id_text", text)
    page.select_option("#id_exchange", "sim")
    page.select_option("#id_market", "futures")
    page.click("[name=check]")
    page.wait_for_selector("#outcome")


def test_many_series_are_pasted_on_a_phone(open_admin):
    page = open_admin(WHITELIST, screen=PHONE)
    enabled = page.locator("#result_list .field-enabled").first
    assert enabled.get_attribute("data-label") == "Enabled"
    assert enabled.bounding_box()["x"] + enabled.bounding_box()["width"] <= PHONE["width"]
    page.click(f"a[href='{PASTE}']")
    assert overflow(page) == 0
    check(page)
    rows = page.locator("#outcome tbody tr")
    codes = [row.get_attribute("data-code") for row in rows.all()]
    assert codes == [
        *("new", "exists", "duplicate"),
        *("unknown_symbol", "invalid_timeframe", "unknown_exchange"),
    ]
    assert overflow(page) == 0
    # Each row is a list with the titles of its columns.
    titles = rows.first.locator("td").first.evaluate(
        "each => getComputedStyle(each, '::before').content"
    )
    assert "Line" in titles
    page.uncheck("#id_enabled")
    page.click("[name=save]")
    page.wait_for_url(f"**{WHITELIST}")
    assert "1 series added." in page.inner_text(".messagelist")
    row = page.locator("tr", has_text=NEW)
    assert "disabled" in row.inner_text()
    assert (
        row.get_by_role("link", name=f"Chart of {NEW}")
        .get_attribute("href")
        .startswith("/?series=")
    )


@pytest.mark.parametrize(
    ("screen", "locale"),
    [
        pytest.param(SCREEN, "en-GB", id="wide English"),
        pytest.param(PHONE, "zh-CN", id="phone Chinese"),
        pytest.param(PHONE, "en-GB", id="phone English", marks=pytest.mark.prove),
        pytest.param(SCREEN, "zh-CN", id="wide Chinese", marks=pytest.mark.prove),
    ],
)
def test_admin_fits_the_screen_in_both_languages(open_admin, screen, locale, refused_alert):
    page = open_admin("/admin/", screen=screen, locale=locale)
    for path in (
        "/admin/",
        WHITELIST,
        f"{WHITELIST}add/",
        PASTE,
        "/admin/market/series/",
        "/admin/market/gaprecord/",
        "/admin/factors/factorstate/",
        RULES,
        f"{RULES}add/",
        ALERTS,
        f"{ALERTS}{refused_alert}/change/",
        STATUS,
    ):
        page.goto(path)
        if path == PASTE:
            check(page)
        assert page.get_attribute("html", "lang").startswith(LANGUAGES[locale])
        assert overflow(page) == 0, path


def test_language_is_chosen_in_the_header(open_admin):
    page = open_admin(STATUS)
    for language in ("zh-hans", "en"):
        page.click(f"[name=language][value={language}]")
        page.wait_for_selector(f"html[lang={language}]")
        assert page.url.endswith(STATUS)


def test_rows_of_the_status_stay_while_it_is_refreshed(open_admin):
    page = open_admin(STATUS)
    cell = "<details><summary>{name}</summary>{count}</details>"
    counts = iter(range(1000))

    def answer(route):
        count = next(counts)
        # A row that comes first later must not take over what is open in another.
        names = ["first", "second"] if count else ["second"]
        rows = "".join(
            f'<tr data-key="{name}"><td>{cell.format(name=name, count=count)}</td></tr>'
            for name in names
        )
        route.fulfill(body=f"<table><tbody>{rows}</tbody></table>", content_type="text/html")

    page.route("**/?part=tables", answer)
    opened = "#status-tables details[open]"
    page.click("#status-tables summary:text('second')")
    page.wait_for_selector(f"{opened}:has-text('second')")
    page.wait_for_selector("#status-tables summary:text('first')")
    assert page.locator(opened).all_inner_texts()[0].startswith("second")
    assert page.evaluate("document.activeElement.textContent") == "second"
    # A press that the refresh falls into is a click all the same.
    page.hover("#status-tables summary:text('second')")
    page.mouse.down()
    with page.expect_response("**/?part=tables"):
        pass
    page.mouse.up()
    page.wait_for_selector(opened, state="detached")
