"""Groups: which follow job a series belongs to."""

from __future__ import annotations

from collections import Counter

import pytest

from market.domain.lease_store import Group
from market.domain.series import SeriesId

SERIES = [SeriesId.parse(f"binance:futures:C{each}/USDT:1m") for each in range(400)]


def test_group_without_shards_is_exchange_and_market():
    assert {Group.of(each) for each in SERIES} == {Group("binance", "futures", 0)}


def test_group_spreads_series_evenly_over_shards():
    sizes = Counter(Group.of(each, 4) for each in SERIES)
    assert {group.shard for group in sizes} == {0, 1, 2, 3}
    assert all(60 <= size <= 140 for size in sizes.values())


def test_group_of_a_series_never_changes():
    # Processes of different ages and versions must agree: a changed hash is a changed protocol.
    named = SeriesId.parse("binance:futures:BTC/USDT:1m")
    assert [Group.of(named, shards).shard for shards in (2, 3, 7)] == [0, 0, 5]


@pytest.mark.parametrize("group", [Group("binance", "futures"), Group("okx", "spot", 3)])
def test_group_is_parsed_back_from_its_text(group):
    assert Group.parse(str(group)) == group


@pytest.mark.parametrize("text", ["binance", "binance:spot", "binance:spot:x", "a:b:1:2"])
def test_invalid_group_text_is_refused(text):
    with pytest.raises(ValueError):
        Group.parse(text)
