"""docs/configuration.md says of every variable what the code does."""

from __future__ import annotations

import re
from dataclasses import fields

from tests.sources import ROOT, sources
from trade_canvas.switches import PREFIX, Switches
from trade_canvas.up.plan import DEFAULTS

PAGE = (ROOT / "docs" / "configuration.md").read_text()
ROWS = {cells[0]: cells for cells in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", PAGE, re.M)}
SWITCHES = {PREFIX + each.name.upper(): each for each in fields(Switches)}


def as_text(value):
    if isinstance(value, bool):
        return "`1`" if value else "`0`"
    return f"`{value}`" if value != "" else "empty"


def test_page_has_default_and_minimum_of_every_switch():
    described = {name: (cells[1], cells[2].split("|")[0].strip()) for name, cells in ROWS.items()}
    wrong = {
        name: described.get(name, "has no row")
        for name, each in SWITCHES.items()
        if described.get(name) != (as_text(each.default), minimum_of(each))
    }
    assert wrong == {}


def minimum_of(switch):
    return f"{switch.metadata['minimum']:g}" if switch.metadata else ""


def test_page_has_no_row_for_a_switch_that_is_gone():
    assert {name for name in ROWS if name.startswith(PREFIX)} == set(SWITCHES)


def test_page_has_a_row_for_every_other_variable_that_is_read():
    files = [*sources("trade_canvas"), ROOT / "conftest.py"]
    text = "".join(path.read_text() for path in files)
    read = set(re.findall(r'environ(?:ment)?(?:\.get\(|\[)"([A-Z_]+)"', text))
    read |= set(re.findall(r'given\.get\("([A-Z_]+)"', text))
    assert {"DATA_DIR", "PORT", "REDIS_URL"} <= read
    assert read - {"DJANGO_SETTINGS_MODULE", "PYTHONPATH", "PYTHONUNBUFFERED"} <= set(ROWS)


def test_page_names_what_up_turns_on():
    section = PAGE.split("## What `make run` turns on")[1]
    for name in DEFAULTS:
        short = name.removeprefix(PREFIX)
        if short != "MARKET_AUTO_TAIL_BACKFILL_MAX_CANDLES":
            assert short in section
