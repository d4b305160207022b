"""The stream of alerts: what it sends to whom, and how a client goes on after a break."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from channels.layers import get_channel_layer
from django.core.asgi import get_asgi_application

from factors.alerts import outbox
from factors.alerts import stream as streams
from factors.alerts.background import GROUP
from factors.alerts.feed import feed
from factors.alerts.stream import AlertStreamFront
from factors.alerts.tests.test_delivery import make_alert, make_rule
from lab.waiting import eventually, patience
from market import blocking
from market.api.event_streams import StreamPlaces
from market.api.tests.asking import items, refusal, scope
from market.api.tests.conftest import TOKEN, api, fresh_process, switch
from market.api.tests.streaming import StreamedClient, events

__all__ = ["api", "fresh_process", "switch"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("switched_on")]

PATH = "/api/alerts/stream"
AS_WRITER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def switched_on(fresh_process, switch, monkeypatch):
    monkeypatch.setattr("factors.alerts.feed.POLL_S", 0.05)
    switch(enable_alerts=True, ingest_token=TOKEN)


class Client(StreamedClient):
    """A client of the stream behind the middleware."""

    def __init__(self, query="", headers=AS_WRITER):
        self.got, self.start, self.content = [], None, b""
        front = AlertStreamFront(get_asgi_application())
        super().__init__(front, scope(PATH, query, "GET", headers))

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.content += message["body"]
            self.got = events(self.content)

    @property
    def ids(self):
        return [data["id"] for name, _, data in self.got if name == "alert"]

    async def close(self):
        self.gone.set()
        await self.task


@asynccontextmanager
async def connected(query="", headers=AS_WRITER):
    async with asyncio.timeout(patience(20)):
        client = Client(query, headers)
        await eventually(lambda: client.content or client.task.done())
        yield client
        await client.close()


async def add(rule, **fields):
    """Commit an alert as another process would: without passing it on here."""
    return (await blocking.run(make_alert, rule, **fields)).id


@pytest.fixture
def rule():
    return make_rule("")


async def test_alerts_come_in_order_with_ids_to_go_on_after(rule):
    async with connected() as client, connected() as other:
        ids = [await add(rule) for _ in range(3)]
        await get_channel_layer().group_send(GROUP, {"type": "alerts"})
        await eventually(lambda: client.ids == ids and other.ids == ids)
        headers = dict(client.start["headers"])
        assert headers[b"content-type"] == b"text/event-stream"
        assert client.got == other.got
        second = client.got[1][1]
    missed = await add(rule)
    async with connected(headers={**AS_WRITER, "Last-Event-ID": second}) as client:
        await eventually(lambda: client.ids == [ids[2], missed])
        later = await add(rule)
        await eventually(lambda: client.ids == [ids[2], missed, later])
    async with connected(query=f"last_event_id={second}") as client:
        await eventually(lambda: client.ids == [ids[2], missed, later])
    assert streams.places.taken == 0 and not feed()._tasks


async def test_stream_begins_with_what_comes(rule):
    await add(rule)
    async with connected() as client:
        new = await add(rule)
        await eventually(lambda: client.ids == [new])


async def test_without_credentials_only_alerts_of_public_rules_are_sent(rule):
    async with connected(headers={}) as stranger, connected() as writer:
        private, public = await add(rule), await add(rule, is_public=True)
        await eventually(lambda: writer.ids == [private, public])
        await eventually(lambda: stranger.ids == [public])
        first = writer.got[0][1].rpartition("-")[0] + "-0"
    async with connected(headers={"Last-Event-ID": first}) as stranger:
        await eventually(lambda: stranger.ids == [public])


async def test_alerts_are_chosen_by_series_kind_and_rule(rule):
    other = await blocking.run(make_rule, "")
    async with (
        connected("series_id=okx:*") as by_series,
        connected("kinds=pivot.major,zhongshu.dead") as by_kind,
        connected(f"rule={other.pk}") as by_rule,
    ):
        series = await add(rule, series="okx:spot:BTC/USDT:1m")
        kind = await add(rule, kind="zhongshu.dead")
        ruled = await add(other)
        await eventually(lambda: (by_series.ids, by_kind.ids) == ([series], [kind]))
        await eventually(lambda: by_rule.ids == [ruled])


@pytest.mark.parametrize("last", ["nonsense", "other-1", "-5"])
async def test_unknown_place_resets_the_client(rule, last):
    async with connected(headers={**AS_WRITER, "Last-Event-ID": last}) as client:
        await eventually(lambda: client.got)
        assert client.got == [("reset", None, {"reason": "unknown_event_id"})]
        new = await add(rule)
        await eventually(lambda: client.ids == [new])


async def test_client_that_is_too_far_behind_is_reset(rule, monkeypatch):
    monkeypatch.setattr(streams, "PAGE", 2)
    monkeypatch.setattr(streams, "MOST_CAUGHT_UP", 4)
    async with connected("max_events=1") as client:
        await add(rule)
        await client.task
    for _ in range(6):
        await add(rule)
    async with connected(headers={**AS_WRITER, "Last-Event-ID": client.got[0][1]}) as client:
        await eventually(lambda: ("reset", None, {"reason": "too_far_behind"}) in client.got)
        assert len(client.ids) == 4


async def test_client_that_does_not_read_is_ended_and_goes_on_from_the_outbox(rule, monkeypatch):
    monkeypatch.setattr("factors.alerts.feed.MOST_WAITING", 2)
    async with asyncio.timeout(patience(20)), feed().followed() as follower:
        for _ in range(4):
            await add(rule)
        await eventually(lambda: follower.is_behind)
        assert len(await follower.take(0.1)) == 2


async def test_number_is_never_visible_before_a_smaller_one(rule):
    """An alert of a long transaction gets its number when it is committed."""

    def write(numbers):
        for number in range(numbers):
            make_alert(rule)
            if number % 3 == 0:
                outbox.number_streamed()

    async with connected() as client:
        await asyncio.gather(*(blocking.run(write, 15) for _ in range(3)))
        await eventually(lambda: len(client.ids) == 45)
    numbers = [int(number.rpartition("-")[2]) for _, number, _ in client.got]
    assert numbers == sorted(set(numbers)) and len(set(client.ids)) == 45


async def test_alerts_of_rules_without_stream_are_not_sent(rule):
    hidden = await blocking.run(make_rule, "http://192.0.2.1/", to_stream=False)
    async with connected() as client:
        await add(hidden)
        shown = await add(rule)
        await eventually(lambda: client.ids == [shown])


def test_switch_off_query_and_bound(api, switch, monkeypatch):
    assert items(api.get(PATH, max_events=0)) == [("greater_than_equal", ["query", "max_events"])]
    monkeypatch.setattr(streams, "places", StreamPlaces(0))
    assert refusal(api.get(PATH)) == (503, "too_many_streams")
    switch(enable_alerts=False)
    assert refusal(api.get(PATH)) == (404, "not_found")
