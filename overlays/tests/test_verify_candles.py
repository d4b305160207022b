"""`verify --candles`: impossible rows are named and moved out, and the ledgers follow."""

from __future__ import annotations

import io
import math

import pytest
from django.core.management import CommandError, call_command

from market.domain.series import SeriesId
from market.runtime import candle_store, pipeline
from market.stores.tests.planting import plant, unprotected
from overlays.api.tests.drawn import walk
from overlays.management.commands.verify import verifier

pytestmark = pytest.mark.django_db(transaction=True)

GOOD = SeriesId.parse("binance:spot:ETH/USDT:1m")
BAD = SeriesId.parse("binance:spot:BTC/USDT:1m")
CANDLES = walk(120)


@pytest.fixture(autouse=True)
def poisonable():
    with unprotected():
        for series in (GOOD, BAD):
            pipeline().ingest(series, CANDLES)
        yield


def verify(*arguments):
    out = io.StringIO()
    call_command("verify", *arguments, "--candles", stdout=out)
    return out.getvalue()


def test_sound_candles_pass():
    assert "2 series checked, 0 wrong rows" in verify()


def test_wrong_rows_are_listed_and_fail():
    plant(BAD, CANDLES[60]._replace(close=math.nan), CANDLES[70]._replace(volume=-1.0))
    out = io.StringIO()
    with pytest.raises(CommandError, match="2 stored candles are wrong") as failed:
        call_command("verify", "--candles", stdout=out)
    assert failed.value.returncode == 1
    lines = out.getvalue().splitlines()
    assert "close must be a finite number" in lines[0]
    assert "volume must not be negative" in lines[1]
    assert all(line.startswith(str(BAD)) for line in lines[:2])
    assert "constraint of the table: missing" in lines[-1]
    assert "1 series checked, 0 wrong rows" in verify(str(GOOD))


def test_time_off_the_grid_is_a_fault_only_where_an_exchange_gave_it():
    odd = CANDLES[-1]._replace(candle_time=CANDLES[-1].candle_time + 61)
    pipeline().ingest(GOOD, [odd])
    assert "1 rows off the grid in series that were only posted" in verify()
    pipeline().ingest(BAD, [odd], fence=candle_store().next_fence(BAD))
    with pytest.raises(CommandError, match="1 stored candles are wrong"):
        verify()


def test_quarantine_moves_rows_to_a_file_and_brings_the_ledgers_up(tmp_path):
    file = tmp_path / "moved.csv"
    before = candle_store().state(BAD)
    plant(BAD, CANDLES[60]._replace(close=math.nan), CANDLES[119]._replace(high=math.inf))
    assert "2 rows moved" in verify("--quarantine", str(file))
    header, *rows = file.read_text().splitlines()
    assert header == "series_id,candle_time,open,high,low,close,volume"
    assert [row.split(",")[1] for row in rows] == ["3660", "7200"]
    assert "0 wrong rows" in verify()
    state = candle_store().state(BAD)
    assert (state.head, state.epoch) == (CANDLES[118].candle_time, before.epoch + 1)
    assert candle_store().revised_since(BAD, before.epoch) == 3660
    assert verifier().run(BAD).is_clean
    # The exchange's candles join as ever.
    pipeline().ingest(BAD, [CANDLES[60], CANDLES[119]])
    assert verifier().run(BAD).is_clean
    assert candle_store().newest(BAD, 500) == CANDLES


def test_series_of_wrong_rows_alone_can_be_emptied(tmp_path):
    plant(BAD, *(each._replace(close=math.nan) for each in CANDLES))
    assert "120 rows moved" in verify("--quarantine", str(tmp_path / "moved.csv"))
    assert candle_store().state(BAD).head is None
    pipeline().ingest(BAD, CANDLES)
    assert verifier().run(BAD).is_clean


def test_file_that_can_not_be_written_leaves_the_rows(tmp_path):
    plant(BAD, CANDLES[60]._replace(close=math.nan))
    with pytest.raises(CommandError, match="moved"):
        verify("--quarantine", str(tmp_path / "nowhere" / "moved.csv"))
    assert candle_store().count(BAD) == 120


def test_verify_needs_a_series_or_its_option():
    with pytest.raises(CommandError, match="--candles"):
        call_command("verify")
