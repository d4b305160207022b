"""The browser of the tests is started as Playwright starts it, with less around the page."""

from __future__ import annotations

from contextlib import suppress

import psutil
import pytest

pytestmark = pytest.mark.browser

OPTION = "--disable-features="


def test_what_playwright_turns_off_stays_off(browser):
    """The last list of features counts, and a new version of Playwright may have a longer one."""
    lists = [[each for each in command if each.startswith(OPTION)] for command in commands()]
    (theirs, ours) = next(found for found in lists if len(found) == 2)
    assert set(theirs.removeprefix(OPTION).split(",")) <= set(ours.removeprefix(OPTION).split(","))


def commands():
    """The command lines of all processes below this one; some of the browser's end meanwhile."""
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            yield each.cmdline()
