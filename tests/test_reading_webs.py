"""Web processes of the role `read`, as compose and Kubernetes start them, beside a follower."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

from lab.database import create_database, drop_database
from lab.installation import Installation, passable_folder
from lab.waiting import patience
from market.domain.series import SeriesId
from market.ingest.desired import Desired
from market.ingest.leases import LeaseKeeper, keeper
from tests.clients import Client
from tests.deployed import (
    compose_command,
    compose_environment,
    kubernetes_environment,
    runnable,
)
from trade_canvas.switches import Switches

# A candle of a minute: nearly always between two closes.
PINNED = "sim:futures:BTC/USDT:1m"
WATCHED = "sim:spot:SOL/USDT:1s"
STARTED_S = 60.0
# Of the exchange, which has no environment of compose.
SERVERS = {"TRADE_CANVAS_ENABLE_PG_STORE": "1", "TRADE_CANVAS_ENABLE_WS_PUBSUB": "1"}

ENVIRONMENTS = {"compose": compose_environment, "kubernetes": kubernetes_environment}


@pytest.fixture(scope="module")
def reading_web(migrated_template):
    """The web process of an installation of compose's processes in compose's environment."""
    database_url = create_database(migrated_template, prefix="stack", template=migrated_template)
    with (
        passable_folder() as folder,
        Installation(folder, SERVERS, database_url=database_url) as installation,
    ):
        installation.local_exchange()
        installation.whitelist([PINNED])
        started = [
            installation.web(wait=False, **runnable(compose_environment("web"))),
            *(
                installation.start(
                    name,
                    [sys.executable, "-m", *compose_command(name)],
                    runnable(compose_environment(name)),
                    is_ready=lambda program, line=line: line in program.output(),
                )
                for name, line in (("follower", " ready."), ("control", " ready."), ("beat", ""))
            ),
        ]
        for each in started:
            each.wait_ready()
        yield started[0]
    drop_database(database_url)


async def test_watcher_of_a_reading_web_sees_forming_candles_between_closes(reading_web):
    async with Client(reading_web.url) as client:
        watcher = await client.follow(PINNED)
        async with asyncio.timeout(patience(STARTED_S)):
            while sum(each["type"] == "candle_forming" for each in watcher.messages) < 3:
                await watcher.next(STARTED_S)


async def test_watcher_of_a_reading_web_has_a_series_followed(reading_web):
    async with Client(reading_web.url) as client:
        watcher = await client.follow(WATCHED)
        asked_at = time.time()
        async with asyncio.timeout(patience(STARTED_S)):
            while not any(closed > asked_at for closed in watcher.closed_times()):
                assert (await watcher.next(STARTED_S))["type"] != "error"


@pytest.mark.parametrize(
    ("series", "code"),
    [
        ("sim:spot:NOPE/USDT:1s", "unknown_symbol"),
        ("sim:spot:SOL/USDT:7m", "unknown_symbol"),
        ("kraken:spot:BTC/USDT:1m", "exchange_not_served"),
        ("nowhere:spot:BTC/USDT:1m", "capacity"),
    ],
)
async def test_series_that_is_not_followed_is_refused_with_a_code(reading_web, series, code):
    async with Client(reading_web.url) as client:
        watcher = await client.follow(series)
        refusal = await watcher.next(STARTED_S)
    assert (refusal["type"], refusal["code"], refusal["series_id"]) == ("error", code, series)


@pytest.mark.parametrize("deployment", ENVIRONMENTS)
def test_reading_web_holds_leases_and_its_followers_publish_by_them(deployment, settings):
    environment_of = ENVIRONMENTS[deployment]
    settings.SWITCHES = web = Switches.from_environment(environment_of("web"))
    assert not web.ingest_jobs_enabled
    assert isinstance(keeper(), LeaseKeeper)
    settings.SWITCHES = Switches.from_environment(environment_of("follower"))
    unwatched = Desired(SeriesId.parse(PINNED), is_pinned=True, lease=None)
    assert not unwatched.is_watched
