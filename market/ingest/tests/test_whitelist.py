"""The whitelist: rows of the admin, or a file where there is no database."""

from __future__ import annotations

import dataclasses
import json

import pytest

from market.ingest.desired import whitelisted_series
from market.models import WhitelistedSeries

BTC = "binance:futures:BTC/USDT:1m"
ETH = "binance:futures:ETH/USDT:1m"


def names():
    return [str(series) for series in whitelisted_series()]


@pytest.fixture
def whitelist_file(settings, tmp_path):
    path = tmp_path / "whitelist.json"
    settings.SWITCHES = dataclasses.replace(
        settings.SWITCHES, enable_pg_store=False, whitelist_path=str(path)
    )
    return path


def test_missing_file_is_an_empty_whitelist(whitelist_file):
    assert names() == []


@pytest.mark.parametrize("content", ["", "{", "null", "7", '{"series_ids": 1}', "\ud800"])
def test_broken_file_is_an_empty_whitelist(whitelist_file, content):
    whitelist_file.write_bytes(content.encode("utf-8", "surrogatepass"))
    assert names() == []


@pytest.mark.parametrize("wrap", [list, lambda ids: {"series_ids": ids}])
def test_file_is_read_in_order_trimmed_and_once_each(whitelist_file, wrap, caplog):
    entries = [f" {ETH} ", BTC, ETH, "", "  ", 5, None, "nonsense", "a:b:c:1x"]
    whitelist_file.write_text(json.dumps(wrap(entries)))
    assert names() == [ETH, BTC]
    assert [word in caplog.text for word in ("nonsense", "1x", BTC)] == [True, True, False]


def test_rows_are_read_in_the_order_they_were_added_without_disabled_ones(transactional_db):
    for name, enabled in ((ETH, True), ("sim:spot:OFF/USDT:1m", False), (BTC, True)):
        WhitelistedSeries.objects.create(series_id=name, enabled=enabled)
    WhitelistedSeries.objects.create(series_id="not a series")
    assert names() == [ETH, BTC]
