"""GET /api/market/candles on both stores."""

from __future__ import annotations

import gzip

import pytest

from market import runtime
from market.api import candle_pages
from market.api.tests.asking import CANDLES, SERIES, candle, items, refusal, store
from market.domain.series import SeriesId

pytestmark = pytest.mark.usefixtures("either_store")

NOW = 1_700_000_099.0
NEWEST_CLOSED = 1_699_999_980


@pytest.fixture
def clock(monkeypatch):
    """The pages' clock stands at NOW until a test moves it."""
    time = [NOW]
    pages = candle_pages.CandlePages(runtime.candle_store(), clock=lambda: time[0])
    monkeypatch.setattr("market.api.candles.candle_pages", lambda: pages)
    return time


def times(response):
    assert response.status_code == 200, response.content
    return [each["candle_time"] for each in response.json()["candles"]]


def test_candles_have_the_written_shape(api):
    store([160, 220])
    response = api.get(CANDLES, series_id=SERIES)
    assert response.content == (
        b'{"series_id":"binance:futures:BTC/USDT:1m","server_head_time":220,"candles":['
        b'{"candle_time":160,"open":1.0,"high":2.0,"low":0.5,"close":1.5,"volume":10.0},'
        b'{"candle_time":220,"open":1.0,"high":2.0,"low":0.5,"close":1.5,"volume":10.0}]}'
    )
    assert response["Content-Type"] == "application/json"


def test_empty_series_has_no_head(api):
    response = api.get(CANDLES, series_id=SERIES, since=5)
    assert response.json() == {"series_id": SERIES, "server_head_time": None, "candles": []}


def test_newest_candles_come_ascending(api):
    store(range(0, 600, 60))
    assert times(api.get(CANDLES, series_id=SERIES, limit=3)) == [420, 480, 540]


def test_since_is_exclusive_and_gives_the_oldest(api):
    store(range(0, 600, 60))
    assert times(api.get(CANDLES, series_id=SERIES, since=0, limit=2)) == [60, 120]
    assert times(api.get(CANDLES, series_id=SERIES, since=540)) == []
    assert times(api.get(CANDLES, series_id=SERIES, since=10**30)) == []


def test_page_behind_the_head_shows_the_head_as_it_moves(api):
    store([60, 120, 180])
    first = api.get(CANDLES, series_id=SERIES, since=0, limit=2)
    store([240])
    second = api.get(CANDLES, series_id=SERIES, since=0, limit=2)
    assert first.json()["server_head_time"] == 180
    assert second.json()["server_head_time"] == 240
    assert times(first) == times(second) == [60, 120]


def test_page_that_reaches_the_head_grows(api):
    store([60, 120])
    assert times(api.get(CANDLES, series_id=SERIES, since=0)) == [60, 120]
    store([180])
    assert times(api.get(CANDLES, series_id=SERIES, since=0)) == [60, 120, 180]


def test_revised_candle_is_read_anew(api):
    store([60, 120, 180])
    api.get(CANDLES, series_id=SERIES, since=0, limit=1)
    store([60], close=1.75)
    revised = api.get(CANDLES, series_id=SERIES, since=0, limit=1)
    assert revised.json()["candles"] == [candle(60, 1.75)]


def test_filled_gap_is_read_anew(api):
    store([60, 180])
    assert times(api.get(CANDLES, series_id=SERIES, since=0, limit=2)) == [60, 180]
    store([120])
    assert times(api.get(CANDLES, series_id=SERIES, since=0, limit=2)) == [60, 120]


def test_open_candle_is_withheld_until_it_is_over(api, clock):
    store([NEWEST_CLOSED, NEWEST_CLOSED + 60])
    early = api.get(CANDLES, series_id=SERIES)
    assert times(early) == [NEWEST_CLOSED]
    assert early.json()["server_head_time"] == NEWEST_CLOSED
    clock[0] += 60
    late = api.get(CANDLES, series_id=SERIES)
    assert times(late) == [NEWEST_CLOSED, NEWEST_CLOSED + 60]
    assert late.json()["server_head_time"] == NEWEST_CLOSED + 60


def test_cursor_at_the_open_candle_is_lowered(api, clock):
    store([NEWEST_CLOSED])
    assert times(api.get(CANDLES, series_id=SERIES, since=NEWEST_CLOSED + 60)) == []
    clock[0] += 60
    store([NEWEST_CLOSED + 60])
    assert times(api.get(CANDLES, series_id=SERIES, since=NEWEST_CLOSED + 120)) == []
    assert times(api.get(CANDLES, series_id=SERIES, since=NEWEST_CLOSED + 60 - 1)) == [
        NEWEST_CLOSED + 60
    ]


def test_data_from_the_far_future_is_served_as_it_is(api, clock):
    far = NEWEST_CLOSED + 6_000_000
    store([NEWEST_CLOSED, far])
    response = api.get(CANDLES, series_id=SERIES)
    assert times(response) == [NEWEST_CLOSED, far]
    assert response.json()["server_head_time"] == far


def test_open_candle_before_one_from_the_far_future_is_withheld_for_now(api, clock):
    store([NEWEST_CLOSED, NEWEST_CLOSED + 60, NEWEST_CLOSED + 6_000_000])
    query = {"series_id": SERIES, "since": NEWEST_CLOSED - 60, "limit": 2}
    assert times(api.get(CANDLES, **query)) == [NEWEST_CLOSED]
    clock[0] += 60
    assert times(api.get(CANDLES, **query)) == [NEWEST_CLOSED, NEWEST_CLOSED + 60]


def test_known_tag_is_answered_304_until_something_changes(api):
    store([60, 120])
    first = api.get(CANDLES, series_id=SERIES)
    tag = {"If-None-Match": f'"other", W/{first["ETag"]}'}
    same = api.http.get(CANDLES, {"series_id": SERIES}, headers=tag)
    assert (same.status_code, same.content) == (304, b"")
    assert same["ETag"] == first["ETag"]
    assert "Accept-Encoding" in same["Vary"]
    store([180])
    changed = api.http.get(CANDLES, {"series_id": SERIES}, headers=tag)
    assert changed.status_code == 200
    assert changed["ETag"] != first["ETag"]


def test_epoch_counts_revisions(api):
    store([60, 120])
    assert api.get(CANDLES, series_id=SERIES)["X-Series-Epoch"] == "0"
    store([60], close=1.75)
    assert api.get(CANDLES, series_id=SERIES)["X-Series-Epoch"] == "1"


def test_gzip_body_is_the_plain_body(api):
    store(range(0, 6000, 60))
    plain = api.get(CANDLES, series_id=SERIES)
    packed = api.http.get(CANDLES, {"series_id": SERIES}, headers={"Accept-Encoding": "br, gzip"})
    assert packed["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.content) == plain.content
    assert packed["ETag"] != plain["ETag"]
    assert len(packed.content) < len(plain.content) / 3


def test_gzip_refused_by_weight_is_not_sent(api):
    store(range(0, 6000, 60))
    headers = {"Accept-Encoding": "gzip;q=0, *"}
    assert "Content-Encoding" not in api.http.get(CANDLES, {"series_id": SERIES}, headers=headers)


def test_series_id_is_parsed_completely(api):
    store([60])
    assert times(api.get(CANDLES, series_id=" binance:futures : BTC/USDT:01m ")) == [60]
    for text in ("abc", "foo:1m", "a::b:1m", "a:b:C/D:0m", "a:b:C/D:1x", "a:b:\0:1m", "x" * 300):
        assert refusal(api.get(CANDLES, series_id=text)) == (400, "invalid_series_id")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ("missing", ["query", "series_id"])),
        ({"series_id": ""}, ("string_too_short", ["query", "series_id"])),
        ({"series_id": SERIES, "limit": "x"}, ("int_parsing", ["query", "limit"])),
        ({"series_id": SERIES, "limit": "1.5"}, ("int_parsing", ["query", "limit"])),
        ({"series_id": SERIES, "limit": "NaN"}, ("int_parsing", ["query", "limit"])),
        ({"series_id": SERIES, "limit": 0}, ("greater_than_equal", ["query", "limit"])),
        ({"series_id": SERIES, "limit": 10**40}, ("less_than_equal", ["query", "limit"])),
        ({"series_id": SERIES, "since": -1}, ("greater_than_equal", ["query", "since"])),
    ],
)
def test_wrong_query_is_named(api, query, found):
    response = api.get(CANDLES, **query)
    assert items(response) == [found]
    assert refusal(response) == (422, "validation_error")


def test_item_repeats_the_raw_value_and_the_bound(api):
    response = api.get(CANDLES, series_id=SERIES, limit=5001)
    assert response.json()["detail"] == [
        {
            "type": "less_than_equal",
            "loc": ["query", "limit"],
            "msg": "Input should be less than or equal to 5000",
            "input": "5001",
            "ctx": {"le": 5000},
        }
    ]


def test_read_writes_nothing(api):
    api.get(CANDLES, series_id=SERIES)
    assert runtime.candle_store().series() == []
    assert runtime.candle_store().state(SeriesId.parse(SERIES)).head is None
