"""Ledgers of factors and drawings through crashes: real processes, killed in the middle."""

from __future__ import annotations

import random

import pytest

from lab.http import post
from lab.program import manage
from lab.waiting import wait_until
from market.candle_files.writers import CsvWriter
from market.domain.candle import Candle
from market.domain.series import SeriesId

SERIES = "binance:futures:BTC/USDT:1m"
COUNT = 8_000
CHUNK = 500


def walk(count):
    """A random walk in minutes."""
    chance, close, candles = random.Random(11), 30_000.0, []
    for n in range(count):
        first, close = close, round(close + chance.gauss(0, 12), 1)
        high = max(first, close) + round(chance.random() * 5, 1)
        low = min(first, close) - round(chance.random() * 5, 1)
        candles.append(Candle(1_700_000_040 + 60 * n, first, high, low, close, 1.5))
    return candles


@pytest.fixture
def file(open_folder):
    path = open_folder / "candles.csv.gz"
    with path.open("wb") as out:
        writer = CsvWriter(out, packed=True)
        writer.write(SeriesId.parse(SERIES), walk(COUNT))
        writer.close()
    return path


def stored(stack):
    ((count,),) = stack.sql("SELECT count(*) FROM candles")
    return count


def verify(stack):
    """The output of a verification, which must find nothing."""
    output = stack.manage("verify", SERIES, "--no-progress")
    assert "DIFFERENT" not in output
    return output


def test_killed_import_leaves_ledgers_that_fit_and_goes_on(stack, file):
    arguments = ["import_candles", str(file), SERIES, "--chunk", str(CHUNK), "--no-progress"]
    first = stack.start("import", manage(*arguments))
    wait_until(lambda: stored(stack) >= 3 * CHUNK, 60, "some chunks to land")
    first.kill()
    done = stored(stack)
    assert 3 * CHUNK <= done < COUNT and done % CHUNK == 0
    assert f"{done:,} candles" in verify(stack)
    assert f"{COUNT - done:,} inserted, 0 revised" in stack.manage(*arguments)
    assert f"{COUNT:,} candles" in verify(stack)


@pytest.mark.prove
def test_killed_web_process_is_followed_by_one_that_draws_on(stack):
    candles = [candle._asdict() for candle in walk(1_200)]
    path = "/api/dev/market/ingest/candles_closed_batch"
    web = stack.web()
    body = {"series_id": SERIES, "candles": candles[:600]}
    assert post(web.url + path, body, timeout_s=30)[0] == 200
    for candle in candles[600:640]:
        answer = post(
            f"{web.url}/api/market/ingest/candle_closed", {"series_id": SERIES, "candle": candle}
        )
        assert answer[0] == 200
    web.kill()
    verify(stack)
    web = stack.web()
    # A revision far back, by a process that has no engine state of its own yet.
    revised = candles[300] | {"high": candles[300]["high"] + 25.0}
    body = {"series_id": SERIES, "candles": [revised, *candles[640:]]}
    assert post(web.url + path, body, timeout_s=30)[0] == 200
    assert "1,200 candles" in verify(stack)
