"""Candles by HTTP: what is stored, published, and refused."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import orjson
import pytest
from channels.layers import get_channel_layer
from django.test import AsyncClient

from market import blocking, runtime
from market.api.tests.asking import BATCH, CLOSED, FORMING, SERIES, candle, items, refusal
from market.bus.messages import decode, group_of
from market.committer import Committer
from market.domain.series import SeriesId
from market.pipeline import Pipeline

SERIES_ID = SeriesId.parse(SERIES)

pytestmark = pytest.mark.usefixtures("either_store")


def stored():
    return blocking.call(runtime.candle_store().newest, SERIES_ID, 100_000)


def times():
    return [each.candle_time for each in stored()]


def one(time=100, **changes):
    return {"series_id": SERIES, "candle": candle(time) | changes}


def test_closed_candle_is_stored_and_answered(api):
    response = api.post(CLOSED, one())
    assert response.content == (
        b'{"ok":true,"series_id":"binance:futures:BTC/USDT:1m","candle_time":100}'
    )
    assert [each.as_object() for each in stored()] == [candle(100)]


def test_same_candle_again_changes_nothing(api):
    api.post(CLOSED, one())
    before = blocking.call(runtime.candle_store().state, SERIES_ID)
    assert api.post(CLOSED, one()).status_code == 200
    assert blocking.call(runtime.candle_store().state, SERIES_ID) == before


def test_numbers_may_be_strings_and_whole_floats(api):
    body = one(candle_time="280", open="1", close=1, volume=10)
    assert api.post(CLOSED, body).json()["candle_time"] == 280
    assert api.post(CLOSED, one(candle_time=340.0)).json()["candle_time"] == 340
    assert stored()[0].as_object() == candle(280) | {"close": 1.0}


def test_negative_zero_is_stored_as_zero(api):
    zeros = {"open": -0.0, "high": -0.0, "low": -0.0, "close": -0.0, "volume": -0.0}
    api.post(CLOSED, one(**zeros))
    assert str(stored()[0].low) == str(stored()[0].volume) == "0.0"


def test_off_grid_time_is_accepted(api):
    assert api.post(CLOSED, one(1_700_000_000)).status_code == 200


@pytest.mark.parametrize("ahead", [0, 60])
@pytest.mark.parametrize("path", [CLOSED, BATCH])
def test_open_candle_is_refused(api, monkeypatch, path, ahead):
    monkeypatch.setattr("market.api.ingest.time", SimpleNamespace(time=lambda: 1_700_000_099.0))
    given = candle(1_700_000_040 + ahead)
    response = api.post(path, {"series_id": SERIES, "candle": given, "candles": [given]})
    assert refusal(response) == (422, "candle_not_closed")
    assert times() == []
    assert api.post(path, {"series_id": SERIES, "candle": candle(60), "candles": [candle(60)]})
    assert times() == [60]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"low": 1.2}, "low"),
        ({"high": 1.2}, "high"),
        ({"volume": -1}, "volume"),
        ({"candle_time": -60}, "candle_time"),
        ({"candle_time": 10**18}, "candle_time"),
        ({"candle_time": str(10**300)}, "candle_time"),
    ],
)
def test_impossible_candle_is_refused(api, changes, field):
    response = api.post(CLOSED, one(**changes))
    assert items(response) == [("value_error", ["body", "candle", field])]
    assert times() == []


def test_failing_step_is_named_and_nothing_stored(api, monkeypatch):
    class Failing:
        name = "factor.ingest_closed"

        def apply(self, writer, change):
            raise RuntimeError("broken")

    broken = Pipeline(runtime.candle_store(), [Failing()])
    monkeypatch.setattr("market.api.ingest.committer", lambda: Committer(broken))
    response = api.post(CLOSED, one())
    assert response.status_code == 500
    assert response.json() == {
        "detail": f"ingest_pipeline_failed:factor.ingest_closed:{SERIES}",
        "code": "market.ingest_pipeline_failed",
    }
    assert times() == []


@contextmanager
def no_such_bus(settings):
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [{"address": "redis://127.0.0.1:1", "socket_timeout": 1}]},
        }
    }
    yield


def test_candle_is_acknowledged_without_a_bus(api, settings):
    with no_such_bus(settings):
        assert api.post(CLOSED, one()).status_code == 200
    assert times() == [100]


async def listening():
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(group_of(SERIES_ID), channel)
    return layer, channel


async def test_closed_candle_is_published_before_the_answer(api):
    layer, channel = await listening()
    headers = {"Authorization": f"Bearer {api.token}"}
    for time_ in (100, 160):
        body = orjson.dumps(one(time_))
        client = AsyncClient()
        await client.post(CLOSED, body, content_type="application/json", headers=headers)
    first, second = [decode(await layer.receive(channel)) for _ in range(2)]
    assert (first.predecessor, second.predecessor) == (None, 100)
    assert [each.candle_time for each in second.candles] == [160]


async def test_forming_candle_is_published_and_not_stored(api):
    layer, channel = await listening()
    headers = {"Authorization": f"Bearer {api.token}"}
    response = await AsyncClient().post(
        FORMING, orjson.dumps(one(220)), content_type="application/json", headers=headers
    )
    assert response.json() == {"ok": True, "series_id": SERIES, "candle_time": 220}
    assert decode(await layer.receive(channel)).candle.candle_time == 220
    assert await blocking.run(runtime.candle_store().count, SERIES_ID) == 0


def test_forming_without_its_switch_is_not_found_unless_malformed(api, switch):
    switch(enable_debug_api=False)
    assert refusal(api.post(FORMING, one())) == (404, "not_found")
    assert refusal(api.post(FORMING, {})) == (422, "validation_error")


def test_batch_is_sorted_and_the_later_of_two_wins(api):
    candles = [candle(120), candle(60), candle(120, close=1.75)]
    response = api.post(BATCH, {"series_id": SERIES, "candles": candles})
    assert response.json() == {
        "ok": True,
        "series_id": SERIES,
        "count": 3,
        "first_candle_time": 60,
        "last_candle_time": 120,
    }
    assert [each.as_object() for each in stored()] == [candle(60), candle(120, close=1.75)]


def test_largest_batch_is_stored(api):
    candles = [candle(60 * number) for number in range(20_000)]
    assert api.post(BATCH, {"series_id": SERIES, "candles": candles}).json()["count"] == 20_000
    assert len(stored()) == 20_000


def test_larger_batch_is_refused_whole(api):
    candles = [candle(60 * number) for number in range(20_001)]
    response = api.post(BATCH, {"series_id": SERIES, "candles": candles})
    assert items(response) == [("too_long", ["body", "candles"])]
    assert len(response.content) < 1_000
    assert times() == []


def test_empty_batch_is_refused(api):
    response = api.post(BATCH, {"series_id": SERIES, "candles": []})
    assert items(response) == [("too_short", ["body", "candles"])]
    assert response.json()["detail"][0]["ctx"]["actual_length"] == 0


def test_batch_with_one_wrong_candle_stores_none(api):
    candles = [candle(60), candle(120), candle(180) | {"low": 9.0}]
    response = api.post(BATCH, {"series_id": SERIES, "candles": candles})
    assert items(response) == [("value_error", ["body", "candles", 2, "low"])]
    assert times() == []


def test_batch_without_its_switch_is_not_found_whatever_the_body(api, switch):
    switch(enable_dev_api=False)
    assert refusal(api.post(BATCH, b"{")) == (404, "not_found")


async def announced(api, publish):
    layer, channel = await listening()
    body = {"series_id": SERIES, "candles": [candle(60), candle(120)], "publish_ws": publish}
    await AsyncClient().post(
        BATCH,
        orjson.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {api.token}"},
    )
    await layer.send(channel, {"type": "end"})
    first = await layer.receive(channel)
    return first["type"]


async def test_batch_is_not_published_by_default(api):
    assert await announced(api, publish=False) == "end"


async def test_batch_is_published_on_request(api):
    assert await announced(api, publish=True) == "closed"
