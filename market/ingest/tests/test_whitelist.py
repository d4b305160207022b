"""The whitelist: rows of the admin, or a file where there is no database."""

from __future__ import annotations

import dataclasses
import json
from importlib import import_module

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import connection

from market.domain.series import SeriesId
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
    # As an earlier version has saved it.
    WhitelistedSeries.objects.bulk_create([WhitelistedSeries(series_id="not a series")])
    assert names() == [ETH, BTC]


def test_another_name_in_the_file_is_the_series_itself_and_once(whitelist_file):
    entries = ["binance:futures:BTC/USDT:USDT:1m", BTC, "binance:futures:BTC/USDT:60s", ETH]
    whitelist_file.write_text(json.dumps(entries))
    assert names() == [BTC, ETH]


@pytest.mark.parametrize("name", ["binance:futures:BTC/USDT:USDT:1m", "sim:spot:A/USDT:60m"])
def test_row_with_another_name_is_refused_with_the_canonical_one(transactional_db, name):
    row = WhitelistedSeries(series_id=name)
    for refused in (row.full_clean, row.save):
        with pytest.raises(ValidationError) as raised:
            refused()
        assert SeriesId.parse(name).canonical().timeframe.text in str(raised.value)
    assert raised.value.code == "series_alias"
    assert not WhitelistedSeries.objects.exists()


def test_rows_with_another_name_are_renamed_or_merged(transactional_db):
    def row(series_id, *, enabled=True):
        return WhitelistedSeries(series_id=series_id, enabled=enabled)

    rows = [
        row("binance:futures:BTC/USDT:USDT:1m"),
        row(BTC, enabled=False),
        row("sim:spot:A/USDT:60m", enabled=False),
        row("not a series"),
    ]
    WhitelistedSeries.objects.bulk_create(rows)
    rename = import_module("market.migrations.0009_canonical_whitelist").rename
    rename(apps, connection.schema_editor())
    found = dict(WhitelistedSeries.objects.values_list("series_id", "enabled"))
    assert found == {BTC: True, "sim:spot:A/USDT:1h": False, "not a series": True}
