"""Processes of different settings on one store: what one derives no other overwrites."""

from __future__ import annotations

import pytest

from tests.clients import Client

BASE = "sim:spot:BTC/USDT:1m"
FIVE = "sim:spot:BTC/USDT:5m"
START = 1_700_000_400
DERIVING = {
    "TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES": "1",
    "TRADE_CANVAS_DERIVED_TIMEFRAMES": "5m",
}


def row(number, price):
    return (START + 60 * number, price, price, price, price, 1.0)


@pytest.mark.prove
async def test_process_with_old_settings_is_refused_until_the_series_is_released(stack):
    deriving, old = stack.web(wait=False, **DERIVING), stack.web(wait=False)
    for each in (deriving, old):
        each.wait_ready()
    async with Client(deriving.url) as new_settings, Client(old.url) as old_settings:
        for number in range(5):
            await new_settings.ingest(BASE, row(number, 2.0))
        made = stack.stored(FIVE, START, START + 300)
        assert [each["volume"] for each in made] == [5.0]
        with pytest.raises(AssertionError, match="409.*derived_series"):
            await old_settings.ingest(FIVE, row(0, 9.0))
        assert stack.stored(FIVE, START, START + 300) == made
        # The switch was turned off, and all processes were restarted.
        deriving.terminate()
        assert f"{FIVE}: released" in stack.manage("derived", "--release")
    async with Client(old.url) as old_settings:
        await old_settings.ingest(FIVE, row(5, 9.0))
