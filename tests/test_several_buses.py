"""Two Valkeys share the messages to watchers; one of them is killed and comes back."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from contextlib import ExitStack

import pytest
from channels_redis.utils import _consistent_hash

from lab.database import create_database, drop_database
from lab.installation import Installation, passable_folder
from lab.waiting import patience
from market.bus.messages import group_of
from market.domain.series import SeriesId
from tests.clients import Client
from tests.conftest import SWITCHES
from trade_canvas.embedded import start_valkey

FIRST = 1_700_000_040
RECEIVE_S = 30.0
# A hub that does not compare with the store in time delivers what comes over the bus only.
BY_BUS_ONLY = {"TRADE_CANVAS_HUB_CHECK_INTERVAL_S": "100000"}
POLLING = {"TRADE_CANVAS_HUB_CHECK_INTERVAL_S": "0.5"}


@pytest.fixture
def buses(migrated_template):
    """An installation on two Valkeys, and these."""
    with ExitStack() as stack:
        folders = [stack.enter_context(passable_folder()) for _ in range(3)]
        servers = [start_valkey(folder) for folder in folders[:2]]
        for server in servers:
            stack.callback(server.stop)
        url = create_database(migrated_template, prefix="buses", template=migrated_template)
        stack.callback(drop_database, url)
        addresses = ",".join(server.url for server in servers)
        installation = Installation(folders[2], SWITCHES, database_url=url, redis_url=addresses)
        yield stack.enter_context(installation), servers


def series_of(installation, bus):
    """A series whose messages go over the bus with this number."""
    for number in itertools.count():
        series = f"sim:spot:COIN{number}/USDT:1m"
        group = f"{installation.prefix}__group__{group_of(SeriesId.parse(series))}"
        if _consistent_hash(group, 2) == bus:
            return series


class Watcher:
    """The open times that one connection got of one series."""

    def __init__(self, follower, series):
        self.follower = follower
        self.series = series
        self.times = []

    async def subscribe(self):
        await self.follower.send(type="subscribe", series_id=self.series)
        return self

    async def until(self, time):
        """Read until the candle of this time has come."""
        async with asyncio.timeout(patience(RECEIVE_S)):
            while time not in self.times:
                message = await self.follower.next()
                assert message["type"] == "candle_closed", message
                self.times.append(message["candle"]["candle_time"])


@pytest.mark.parametrize("killed", [0, pytest.param(1, marks=pytest.mark.prove)])
async def test_a_killed_bus_disturbs_only_its_own_series_and_loses_nothing(buses, killed):
    installation, servers = buses
    writer = installation.web(wait=False)
    by_bus = installation.web(wait=False, **BY_BUS_ONLY)
    polling = installation.web(wait=False, **POLLING)
    for each in (writer, by_bus, polling):
        each.wait_ready()
    lost, living = series_of(installation, killed), series_of(installation, 1 - killed)
    numbers = defaultdict(itertools.count)

    async with Client(writer.url) as client, Client(by_bus.url) as one, Client(polling.url) as two:

        async def post(series):
            time = FIRST + 60 * next(numbers[series])
            await client.ingest(series, (time, 1.0, 1.0, 1.0, 1.0, 1.0))
            return time

        watchers = [
            await Watcher(await web.connect(), series).subscribe()
            for web, series in ((one, living), (one, lost), (two, lost))
        ]
        on_living, on_lost, polled = watchers
        for each in watchers:
            await each.until(await post(each.series))

        servers[killed].kill()
        while_away = await post(lost)
        await on_living.until(await post(living))
        await polled.until(while_away)
        assert while_away not in on_lost.times

        servers[killed].start()
        async with asyncio.timeout(patience(RECEIVE_S)):
            # The first messages may be published before the hub has subscribed again.
            while while_away not in on_lost.times:
                sent = await post(lost)
                try:
                    async with asyncio.timeout(1):
                        await on_lost.until(sent)
                except TimeoutError:
                    continue
            await on_lost.until(sent)
        await polled.until(on_lost.times[-1])
        stored = [row["candle_time"] for row in installation.stored(lost, FIRST, sent)]
        first = stored.index(on_lost.times[0])
        assert on_lost.times == stored[first:]
        assert polled.times == stored[stored.index(polled.times[0]) :]
