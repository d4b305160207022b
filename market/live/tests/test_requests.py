"""The series that a refused message names."""

from __future__ import annotations

import json

import pytest

from market.live.requests import MAX_NAMING, series_of_subscribe

NAME = "binance:spot:BTC/USDT:1m"


def message(**fields):
    return json.dumps({"type": "subscribe", "series_id": NAME, **fields})


def test_refused_subscribe_names_its_series():
    assert str(series_of_subscribe(message())) == NAME


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        message(type="unsubscribe"),
        message(type="hello"),
        message(series_id="nonsense"),
        message(since="soon"),
        # A message this long is not parsed: refusing it must stay cheap.
        message(more="x" * MAX_NAMING),
    ],
)
def test_other_refused_messages_name_none(text):
    assert series_of_subscribe(text) is None
