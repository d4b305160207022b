"""Recorded candles: imported, read back over HTTP page by page, and their holes reported."""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import dataclass

import pytest
from django.core.management import call_command
from django.test import Client

from tests.recordings import recorded


@dataclass(frozen=True)
class Recording:
    """A file and the series it holds."""

    file: str
    series: str
    step: int

    def rows(self):
        with gzip.open(recorded(self.file), "rt") as lines:
            return [
                {name: int(value) if name == "candle_time" else float(value) for name, value in row}
                for row in (each.items() for each in csv.DictReader(lines))
            ]


RECORDINGS = [
    Recording("BTC_USDT-5m", "binance:futures:BTC/USDT:5m", 300),
    Recording("DOGE_USDT-1m", "binance:futures:DOGE/USDT:1m", 60),
    Recording("XRP_ETH-1m-with-gaps", "binance:spot:XRP/ETH:1m", 60),
]


@pytest.fixture
def one_process(transactional_db, settings):
    """One process's database and an in-memory bus."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


def run(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def pages(series):
    """Every candle of a series, read forward by cursor."""
    client, since = Client(), None
    found = []
    while True:
        query = {"series_id": series, "limit": 5_000, "since": 0 if since is None else since}
        page = client.get("/api/market/candles", query).json()
        if not page["candles"]:
            assert page["server_head_time"] == found[-1]["candle_time"]
            return found
        found += page["candles"]
        since = found[-1]["candle_time"]


def holes(rows, step):
    """The holes, counted from the file alone."""
    times = [row["candle_time"] for row in rows]
    return [
        {"from_time": a + step, "to_time": b - step, "missing_candles": (b - a) // step - 1}
        for a, b in zip(times, times[1:], strict=False)
        if b - a > step
    ]


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.file)
def test_recording_is_read_back_as_it_was(one_process, recording):
    rows = recording.rows()
    said = run("import_candles", str(recorded(recording.file)), recording.series)
    missing = sum(hole["missing_candles"] for hole in holes(rows, recording.step))
    assert said.startswith(f"{recording.series}: {len(rows):,} inserted, 0 revised, 0 repeated\n")
    assert f"({missing:,} candles missing)" in said
    assert pages(recording.series) == rows
    gaps = json.loads(run("gaps", recording.series, "--json"))
    # Nothing was asked of an exchange, so no part of a gap has a reason.
    assert not any(gap.pop("parts") for gap in gaps)
    assert gaps == holes(rows, recording.step)


def test_holes_of_the_recording_that_has_them_are_all_found(one_process):
    recording = RECORDINGS[2]
    run("import_candles", str(recorded(recording.file)), recording.series)
    found = holes(recording.rows(), recording.step)
    missing = sum(hole["missing_candles"] for hole in found)
    last = run("gaps", recording.series).splitlines()[-1]
    assert last == f"{recording.series}: {len(found)} gaps, {missing:,} candles missing"
    assert len(found) == 676
