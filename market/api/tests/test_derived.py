"""Derived series by HTTP: read like any other, written by nobody, incomplete buckets named."""

from __future__ import annotations

import asyncio

import pytest

from market import blocking, runtime
from market.api.ingest import store_and_publish
from market.api.tests.asking import BATCH, CANDLES, CLOSED, candle, refusal, store
from market.domain.candle import Candle
from market.domain.series import SeriesId
from market.ingest.derive import catch_up_all

BASE = "binance:futures:BTC/USDT:1m"
FIVE = "binance:futures:BTC/USDT:5m"
DERIVED = "/api/market/derived"
START = 1_700_000_100

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture(autouse=True)
def _derived(either_store, switch):
    switch(enable_derived_timeframes=True, derived_timeframes="5m,15m", enable_dev_api=True)


def post(api, *numbers):
    for number in numbers:
        body = {"series_id": BASE, "candle": candle(START + 60 * number, close=1.0 + number / 10)}
        assert api.post(CLOSED, body).status_code == 200


def times_of(api, series=FIVE):
    page = api.get(f"{CANDLES}?series_id={series}").json()
    return [each["candle_time"] for each in page["candles"]]


def test_derived_candle_follows_its_last_base_candle(api):
    post(api, 0, 1, 2, 3)
    assert times_of(api) == []
    post(api, 4)
    (found,) = api.get(f"{CANDLES}?series_id={FIVE}").json()["candles"]
    assert found == candle(START, close=1.4) | {"volume": 50.0}


def test_batch_is_derived_as_well(api):
    rows = [candle(START + 60 * number) for number in range(10)]
    assert api.post(BATCH, {"series_id": BASE, "candles": rows}).status_code == 200
    assert times_of(api) == [START, START + 300]


def test_a_candle_of_a_derived_series_is_refused(api):
    body = {"series_id": FIVE, "candle": candle(START)}
    assert refusal(api.post(CLOSED, body)) == (409, "derived_series")
    batch = {"series_id": FIVE, "candles": [candle(START)]}
    assert refusal(api.post(BATCH, batch)) == (409, "derived_series")


def test_a_candle_is_refused_by_a_process_of_other_settings(api, switch):
    post(api, *range(5))
    switch(enable_derived_timeframes=False)
    body = {"series_id": FIVE, "candle": candle(START)}
    assert refusal(api.post(CLOSED, body)) == (409, "derived_series")
    batch = {"series_id": FIVE, "candles": [candle(START)]}
    assert refusal(api.post(BATCH, batch)) == (409, "derived_series")
    assert api.post(CLOSED, body | {"series_id": FIVE.replace("5m", "1h")}).status_code == 200


def test_incomplete_buckets_are_listed(api):
    post(api, 0, 2, 3, 4, 5)
    assert api.get(f"{DERIVED}?series_id={FIVE}").json() == {
        "series_id": FIVE,
        "base_series_id": BASE,
        "is_partial_kept": False,
        "incomplete": [{"candle_time": START, "base_candles": 4, "expected": 5}],
    }
    post(api, 1)
    assert api.get(f"{DERIVED}?series_id={FIVE}").json()["incomplete"] == []
    assert times_of(api) == [START]


@pytest.mark.parametrize("timeframe", ["1M", "1d~America/New_York"])
@pytest.mark.parametrize("is_derived", [True, False])
def test_months_and_days_of_zones_are_derived_and_nothing_else(api, switch, timeframe, is_derived):
    switch(enable_derived_timeframes=is_derived, derived_timeframes=f"{timeframe},5m")
    series = BASE.replace(":1m", f":{timeframe}")
    body = {"series_id": series, "candle": candle(0)}
    assert refusal(api.post(CLOSED, body)) == (409, "derived_series")


def test_an_alias_of_a_zone_is_another_name(api, switch):
    switch(derived_timeframes="1d~America/New_York")
    found = api.get(f"{CANDLES}?series_id={BASE.replace(':1m', ':1d~US/Eastern')}")
    assert found.status_code == 400
    assert found.json()["canonical_series_id"] == BASE.replace(":1m", ":1d~America/New_York")


def test_months_are_made_while_minutes_are_posted(api, switch):
    """The last minutes of February, with partial candles; then its first ones, afterwards."""
    switch(derived_timeframes="1M,1d~Asia/Kathmandu", enable_derived_partial_candles=True)
    february, march = 1_706_745_600, 1_709_251_200
    months, days = (BASE.replace(":1m", each) for each in (":1M", ":1d~Asia/Kathmandu"))
    for minutes in (range(march - 120, march, 60), range(february, february + 180, 60)):
        rows = [candle(each, close=1.0 + each % 7 / 10) for each in minutes]
        assert api.post(BATCH, {"series_id": BASE, "candles": rows}).status_code == 200
    (month,) = api.get(f"{CANDLES}?series_id={months}").json()["candles"]
    assert (month["candle_time"], month["volume"]) == (february, 50.0)
    # A day in Kathmandu begins at 18:15 UTC.
    assert times_of(api, days) == [february - 20_700]
    (bucket,) = api.get(f"{DERIVED}?series_id={months}").json()["incomplete"]
    assert bucket == {"candle_time": february, "base_candles": 5, "expected": 29 * 1440}


def test_only_derived_series_have_incomplete_buckets(api, switch):
    assert refusal(api.get(f"{DERIVED}?series_id={BASE}")) == (422, "not_derived")
    switch(enable_derived_timeframes=False)
    assert refusal(api.get(f"{DERIVED}?series_id={FIVE}")) == (404, "not_found")


def test_the_first_read_of_an_empty_derived_series_fills_it(api):
    # Stored before the switch was on.
    store([START + 60 * number for number in range(12)])
    assert times_of(api) == [START, START + 300]


def test_what_a_killed_process_left_is_made_up_for(api):
    post(api, *range(5))
    store([START + 60 * number for number in range(5, 10)])
    assert times_of(api) == [START]

    async def catch_up():
        return await catch_up_all(stopping=lambda: False)

    assert asyncio.run(catch_up()) > 0
    assert times_of(api) == [START, START + 300]
    assert asyncio.run(catch_up()) == 0


def test_the_whitelist_names_the_derived_timeframes(api, switch):
    derived = {"base": "1m", "timeframes": ["5m", "15m"]}
    assert api.get("/api/market/whitelist").json()["derived"] == derived
    switch(enable_derived_timeframes=False)
    assert "derived" not in api.get("/api/market/whitelist").json()


def test_with_the_switch_off_nothing_is_derived(api, switch):
    switch(enable_derived_timeframes=False)
    post(api, *range(5))
    assert times_of(api) == []
    body = {"series_id": FIVE, "candle": candle(START)}
    assert api.post(CLOSED, body).status_code == 200
    assert blocking.call(runtime.candle_store().state, SeriesId.parse(FIVE)).head == START


def test_what_closes_in_one_moment_is_derived_of_every_series(api):
    series = [SeriesId.parse(f"sim:spot:S{number}/USDT:1m") for number in range(20)]

    async def close(one):
        for number in range(15):
            await store_and_publish(one, [Candle(**candle(START + 60 * number))], publish=True)

    async def close_all():
        await asyncio.gather(*map(close, series))

    asyncio.run(close_all())
    made = runtime.derived_timeframes().derived
    derived = [one.with_timeframe(to) for one in series for to in made]
    states = blocking.call(runtime.candle_store().states, derived)
    heads = {(str(one.timeframe), state.head) for one, state in states.items()}
    assert heads == {("5m", START + 600), ("15m", START)}


def standing(api, at, series=FIVE):
    """What health says of a derived series at a time after START."""
    answer = api.get("/api/market/health", series_id=series, now_time=START + at).json()
    return answer.get("derived")


def made(state, **changes):
    return {
        "state": state,
        "base_series_id": BASE,
        "base_head_time": START + 240,
        "made_to_time": START + 240,
        "incomplete": None,
    } | changes


def test_health_says_how_far_a_derived_series_is_made(api):
    nothing = made("not_made", base_head_time=None, made_to_time=None)
    assert standing(api, 0) == nothing
    post(api, *range(5))
    assert standing(api, 310) == made("made")
    # Minutes may be missing for a while: nothing was traded.
    assert standing(api, 540) == made("made")
    assert standing(api, 600) == made("base_late")
    assert standing(api, 310, BASE) is None


def test_health_says_that_a_bucket_is_not_made(api):
    post(api, *range(5))
    # Of a process that was killed before it derived anything.
    store([START + 60 * number for number in range(5, 10)])
    behind = {"base_head_time": START + 540}
    assert standing(api, 615) == made("made", **behind)
    assert standing(api, 625) == made("behind", **behind)
    store([START], close=1.9)
    assert standing(api, 615) == made("behind", **behind)


def test_health_says_that_a_bucket_lacks_base_candles(api):
    post(api, 0, 2, 3, 4, 5)
    newest = {"base_head_time": START + 300}
    bucket = {"candle_time": START, "base_candles": 4, "expected": 5}
    assert standing(api, 370) == made("incomplete", incomplete=bucket, **newest)
    post(api, 1)
    assert standing(api, 370) == made("made", made_to_time=START + 300, **newest)


def test_health_says_that_history_is_still_to_be_made(api, switch):
    switch(derived_backfill_base_candles=100)
    store([START + 60 * number for number in range(1600)])
    times_of(api)
    last = {"base_head_time": START + 95_940, "made_to_time": START + 95_940}
    assert standing(api, 96_010) == made("filling", **last)


def test_health_says_that_a_series_is_held_and_not_derived(api, switch):
    post(api, *range(5))
    never = BASE.replace(":1m", ":1h")
    switch(enable_derived_timeframes=False)
    assert standing(api, 310) == made("not_derived", base_series_id=None, base_head_time=None)
    assert standing(api, 310, never) is None
