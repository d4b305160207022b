"""Health goes to the clients that asked for it, when it changed."""

from __future__ import annotations

import pytest

from lab.waiting import eventually
from market.live.health import Health, HealthFeed
from market.live.requests import Hello, parse_request
from market.live.tests.fakes import RecordingWire
from market.live.watcher import Watcher
from market.tests.builders import MINUTE

OTHER = MINUTE.with_timeframe(MINUTE.timeframe.parse("5m"))


class Server:
    """What is followed, and how it is."""

    def __init__(self):
        self.followed = {}
        self.colours = {MINUTE: "green", OTHER: "green"}
        self.asked = []
        self.is_away = False

    def read(self, series):
        self.asked.append(set(series))
        if self.is_away:
            raise ConnectionError("the store is away")
        return {each: Health(self.colours[each], {"at": len(self.asked)}) for each in series}

    def follow(self, *series):
        watcher = Watcher(RecordingWire())
        self.followed[watcher] = frozenset(series)
        return watcher


async def directly(work, *args):
    return work(*args)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("market.live.health.GATHER_S", 0.001)
    return Server()


@pytest.fixture
async def feed(server):
    made = HealthFeed(server.read, directly, lambda each: server.followed[each], interval_s=0.01)
    yield made
    await made.stop()


def names(watcher):
    return [message["series_id"] for message in watcher.wire.of_type("health")]


async def looks(server, count=3):
    before = len(server.asked)
    await eventually(lambda: len(server.asked) >= before + count, what="some looks")


async def test_health_is_sent_once_and_again_when_it_changed(server, feed):
    watcher, other = server.follow(MINUTE), server.follow(MINUTE)
    feed.begin(watcher)
    await looks(server)
    assert names(watcher) == [str(MINUTE)]
    server.colours[MINUTE] = "red"
    await looks(server)
    assert names(watcher) == [str(MINUTE)] * 2
    assert names(other) == []
    first, second = (message["at"] for message in watcher.wire.of_type("health"))
    assert first < second


async def test_series_that_is_subscribed_again_is_sent_again(server, feed):
    watcher = server.follow(MINUTE)
    feed.begin(watcher)
    await looks(server)
    feed.subscribed(watcher, MINUTE)
    server.followed[watcher] = frozenset((MINUTE, OTHER))
    await looks(server)
    assert sorted(names(watcher)) == sorted([str(MINUTE)] * 2 + [str(OTHER)])


async def test_one_look_serves_all_and_none_is_made_for_nobody(server, feed):
    watchers = [server.follow(MINUTE) for _ in range(10)]
    for watcher in watchers:
        feed.begin(watcher)
    await looks(server, 1)
    assert server.asked[0] == {MINUTE}
    await eventually(lambda: all(names(each) for each in watchers))
    for watcher in watchers:
        feed.end(watcher)
    count = len(server.asked)
    idle = server.follow()
    feed.begin(idle)
    await eventually(lambda: not feed._woken.is_set())
    assert len(server.asked) <= count + 1


async def test_client_that_is_behind_gets_the_newest_when_it_reads(server, feed):
    watcher, other = server.follow(MINUTE), server.follow(MINUTE)
    watcher.wire.behind = True
    feed.begin(watcher)
    feed.begin(other)
    await eventually(lambda: names(other))
    server.colours[MINUTE] = "red"
    await eventually(lambda: len(names(other)) == 2)
    assert names(watcher) == []
    watcher.wire.behind = False
    await eventually(lambda: names(watcher))
    assert names(watcher) == [str(MINUTE)]


async def test_failed_look_is_repeated(server, feed):
    server.is_away = True
    watcher = server.follow(MINUTE)
    feed.begin(watcher)
    await looks(server)
    server.is_away = False
    await eventually(lambda: names(watcher))


@pytest.mark.parametrize(
    ("text", "hello"),
    [
        ('{"type":"hello","health":true}', Hello(False, True)),
        ('{"type":"hello","heartbeat":true,"health":null}', Hello(True, False)),
    ],
)
def test_hello_shows_whether_the_client_wants_health(text, hello):
    assert parse_request(text) == hello
