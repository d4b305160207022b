"""Header, status, keys, sheet and print: what surrounds the chart, on screens of every size."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Page

from lab.waiting import wait_until
from tests.browser.conftest import SCREEN

pytestmark = pytest.mark.browser

MINUTES = "sim:futures:BTC/USDT:1m"
LIVE = "sim:futures:BTC/USDT:1s"
PHONE = {"width": 390, "height": 844}
SMALL = {"width": 360, "height": 640}
LANDSCAPE = {"width": 844, "height": 390}
FINGER = 40

# The logo of the chart's library, and links within a sentence, have a size of their own.
TARGETS = """() => [...document.querySelectorAll("button, select, input, a, summary")]
    .filter((node) => node.checkVisibility({ visibilityProperty: true }))
    .filter((node) => node.id !== "tv-attr-logo" && node.closest("#attribution, p") === null)
    .map((node) => {
        const { width, height } = (node.closest("label") ?? node).getBoundingClientRect();
        return [node.id || node.className || node.textContent, width, height];
    })"""


def small_targets(page: Page) -> list[Any]:
    """What a finger would miss."""
    targets = page.evaluate(TARGETS)
    assert targets
    # Sizes are fractions of a pixel, and 39.99998 is 40.
    return [each for each in targets if round(min(each[1:]), 2) < FINGER]


def focused(page: Page) -> str:
    """The id of the focused element."""
    return str(page.evaluate("document.activeElement.id"))


@pytest.mark.parametrize("screen", [PHONE, SMALL, LANDSCAPE], ids=["390", "360", "landscape"])
def test_small_screen_has_one_row_a_usable_chart_and_room_for_fingers(open_chart, screen):
    chart = open_chart(LIVE, screen=screen)
    chart.wait_for(status="live")
    page = chart.page
    page.wait_for_selector("#quote-change:not(:empty)")
    assert page.evaluate("document.documentElement.scrollWidth") <= screen["width"]
    assert page.locator(".topbar").bounding_box()["height"] <= 56
    tops = page.evaluate(
        "[...document.querySelectorAll('.topbar > :is(button, .quote)')]"
        ".map((node) => node.getBoundingClientRect()).map(({ top, bottom }) => [top, bottom])"
    )
    assert max(top for top, _ in tops) < min(bottom for _, bottom in tops), "more than one row"
    clipped = page.evaluate(
        "[...document.querySelectorAll('.topbar *, .tools *')]"
        ".filter((node) => node.checkVisibility()"
        " && node.scrollWidth > node.clientWidth + 1"
        " && getComputedStyle(node).overflowX !== 'visible')"
        ".map((node) => node.className)"
    )
    assert clipped == []
    box = page.locator(".chart").bounding_box()
    assert box["height"] >= screen["height"] * 0.75
    assert box["width"] == screen["width"]
    assert small_targets(page) == []
    page.click("#series-button")
    assert small_targets(page) == []


@pytest.mark.parametrize(
    ("screen", "insets"),
    [
        pytest.param(PHONE, {"top": 47, "bottom": 34}, id="upright"),
        pytest.param(LANDSCAPE, {"bottom": 21, "left": 47, "right": 47}, id="landscape"),
    ],
)
def test_nothing_lies_under_the_notch_or_the_home_bar(open_chart, screen, insets):
    chart = open_chart(screen=screen)
    page = chart.page
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setSafeAreaInsetsOverride", {"insets": insets})
    chart.open(MINUTES)
    chart.wait_for(status="live")
    for part in (".chart", "#series-button", "#status-button", "#settings-button"):
        box = page.locator(part).bounding_box()
        assert box["x"] >= insets.get("left", 0), part
        assert box["y"] >= insets.get("top", 0), part
        assert box["x"] + box["width"] <= screen["width"] - insets.get("right", 0), part
        assert box["y"] + box["height"] <= screen["height"] - insets["bottom"], part


def test_status_opens_to_its_details_and_escape_closes_it(open_chart):
    chart = open_chart(MINUTES)
    chart.wait_for(status="live")
    page = chart.page
    page.wait_for_selector("#status-button[data-tone=good]:has-text('Live')")
    # The price has no colour of its own, the change has one once the list of markets brought it.
    page.wait_for_selector("#quote-change[data-direction=up], #quote-change[data-direction=down]")
    colours = page.evaluate(
        "['.quote-price', '.topbar', '.quote-change'].map((each) =>"
        " getComputedStyle(document.querySelector(each)).color)"
    )
    assert colours[0] == colours[1] != colours[2]
    page.focus("#status-button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#status-panel", state="visible")
    names = page.locator("#status-panel dt:visible").all_inner_texts()
    assert names == ["Connection", "Candles", "Factors", "Drawings"]
    for figure in ("lag", "last-close", "times"):
        assert page.inner_text(f"#status-panel .fact-{figure} .fact-value")
    assert focused(page) == "status-panel"
    page.keyboard.press("Escape")
    page.wait_for_selector("#status-panel", state="hidden")
    assert focused(page) == "status-button"


def test_every_action_has_a_key_and_the_map_lists_it(open_chart):
    chart = open_chart(MINUTES)
    chart.wait_for(status="live")
    page = chart.page
    page.keyboard.press("?")
    keys = page.locator("#keys kbd").all_inner_texts()
    assert {
        "←",
        "→",
        "+",
        "−",
        "End",
        "/",
        "J",
        "L",
        "N",
        "P",
        "V",
        "T",
        "S",
        "I",
        "?",
        "Esc",
    } <= set(keys)
    page.keyboard.press("s")
    assert not page.is_visible("#settings"), "a dialog is open already"
    page.keyboard.press("?")
    page.wait_for_selector("#keys", state="hidden")

    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    page.wait_for_selector(".to-live:visible")
    page.keyboard.press("End")
    page.wait_for_selector(".to-live", state="hidden")

    said = page.locator("#stage > .spoken")
    page.keyboard.press("j")
    newest = said.inner_text()
    page.keyboard.press("j")
    [close] = re.findall(r"open .* close ([\d.,]+\d), V ", said.inner_text())
    assert said.inner_text() != newest
    read = f'.legend-C [aria-label="{close}"]'
    page.wait_for_selector(read)
    page.keyboard.press("Escape")
    assert said.inner_text() == ""
    page.wait_for_selector(read, state="detached")

    volume = '.factor-toggle[data-feature="volume"]'
    assert page.get_attribute(volume, "aria-pressed") == "true"
    page.keyboard.press("v")
    assert page.get_attribute(volume, "aria-pressed") == "false"
    page.keyboard.press("Shift+Digit1")
    assert page.get_attribute(volume, "aria-pressed") == "true"

    page.keyboard.press("t")
    assert page.get_attribute("html", "data-theme") == "light"
    page.keyboard.press("m")
    page.wait_for_selector("#picker", state="hidden")
    page.keyboard.press("/")
    page.keyboard.type("v/?")
    assert page.input_value(".market-search") == "v/?"
    assert page.get_attribute(volume, "aria-pressed") == "true", "typing is no shortcut"
    page.fill(".market-search", "")
    page.evaluate("document.activeElement.blur()")

    page.keyboard.press(".")
    chart.wait_for(series_id="sim:futures:BTC/USDT:5m")
    page.keyboard.press(",")
    chart.wait_for(series_id=MINUTES, status="live")
    page.keyboard.press("s")
    page.wait_for_selector("#settings", state="visible")
    page.keyboard.press("Escape")
    page.wait_for_selector("#settings", state="hidden")


def test_panels_are_there_for_a_user_who_does_not_wait_for_the_candles(open_chart):
    chart = open_chart()
    page = chart.page
    page.route("**/api/market/candles*", lambda _: None)
    page.clock.install()
    page.clock.pause_at(time.time() + 60)
    chart.open(MINUTES)
    assert page.locator(".market-search").count() == 0, "the chart comes first"
    page.keyboard.press("?")
    page.wait_for_selector("#keys", state="visible")
    page.keyboard.press("?")
    page.reload()
    assert page.locator(".market-search").count() == 0
    page.click("#settings-button")
    page.wait_for_selector("#settings", state="visible")


def test_layout_is_remembered(open_chart):
    chart = open_chart(MINUTES)
    chart.wait_for(status="live")
    assert chart.page.is_visible("#picker")
    chart.page.click("#series-button")
    chart.page.reload()
    chart.wait_for(status="live")
    assert not chart.page.is_visible("#picker")


def test_factors_of_a_phone_are_in_a_sheet_that_keeps_the_focus(open_chart):
    chart = open_chart(MINUTES, screen=PHONE)
    chart.wait_for(status="live")
    page = chart.page
    page.wait_for_selector('.sheet [data-feature="pen"]', state="attached")
    page.click("#factors-button")
    page.wait_for_selector("#factor-sheet", state="visible")
    assert page.get_attribute("#factor-sheet", "aria-modal") == "true"
    assert small_targets(page) == []
    for _ in range(60):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body"
            " || document.activeElement.closest('#factor-sheet') !== null"
        )
    box = page.locator('#factor-sheet [data-feature="volume"]')
    box.uncheck()
    assert page.get_attribute('.factor-toggle[data-feature="volume"]', "aria-pressed") == "false"
    page.keyboard.press("Escape")
    page.wait_for_selector("#factor-sheet", state="hidden")
    assert focused(page) == "factors-button"
    page.click("#factors-button")
    page.wait_for_selector("#factor-sheet", state="visible")
    chart.finish_animations()
    head = page.locator("#factor-sheet h2").bounding_box()
    page.mouse.move(head["x"] + 5, head["y"] + 5)
    page.mouse.down()
    page.mouse.move(head["x"] + 5, head["y"] + 160, steps=6)
    page.mouse.up()
    page.wait_for_selector("#factor-sheet", state="hidden")


def test_timeframe_of_a_phone_is_chosen_in_a_list(open_chart):
    chart = open_chart(LIVE, screen=PHONE)
    chart.wait_for(status="live")
    chart.page.select_option("#timeframe-select", "1m")
    chart.wait_for(series_id=MINUTES, status="live")


def test_nothing_moves_for_users_who_want_less_motion(open_chart):
    chart = open_chart(MINUTES, screen=PHONE)
    chart.wait_for(status="live")
    page = chart.page
    page.emulate_media(reduced_motion="reduce")
    page.click("#factors-button")
    page.wait_for_selector("#factor-sheet", state="visible")
    assert page.evaluate("document.getAnimations().length") == 0


def test_print_is_the_chart_with_its_legend_in_light_colours(open_chart):
    chart = open_chart(MINUTES)
    chart.wait_for(status="live")
    page = chart.page
    before = page.locator(".chart table").bounding_box()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.is_visible(".chart")
    assert page.inner_text(".legend").startswith("BTC/USDT")
    for control in (".topbar", ".tools", ".factors", "#picker", "#status-facts"):
        assert not page.is_visible(control), control
    corner = """() => {
        const axis = document.querySelector(".chart tr td:nth-child(3) canvas");
        const { width, height } = axis;
        return [...axis.getContext("2d").getImageData(width - 2, height - 2, 1, 1).data];
    }"""
    assert page.evaluate(corner) == [255, 255, 255, 255], "it is drawn before the paper is"
    assert page.evaluate("document.documentElement.scrollWidth") <= SCREEN["width"]
    page.emulate_media(media="screen")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.get_attribute("html", "data-theme") == "dark"
    wait_until(lambda: page.locator(".chart table").bounding_box() == before, 10, "the chart")
