"""Two installations share one Valkey and get nothing of each other."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import ExitStack, closing

import pytest
import redis

from lab.database import create_database, drop_database
from lab.installation import Installation, passable_folder
from lab.program import manage
from lab.waiting import patience, wait_until
from tests.clients import Client
from tests.conftest import INSTALLED, SWITCHES

SERIES = "sim:futures:BTC/USDT:1s"
STARTED_S = 60.0
CANDLES = 4
PING = (sys.executable, "-m", "celery", "--quiet", "-A", "trade_canvas", "inspect", "ping")


def database_number(url: str, number: int) -> str:
    return url.rpartition("/")[0] + f"/{number}"


@pytest.fixture(
    params=[
        pytest.param(0, id="same number"),
        pytest.param(1, id="other number", marks=pytest.mark.prove),
    ]
)
def neighbours(request, migrated_template):
    """Two installations that follow the same series from two exchanges with different prices."""
    with ExitStack() as stack:
        opened, redis_url = [], ""
        for seed in (1, 2):
            url = create_database(migrated_template, prefix="neighbour", template=migrated_template)
            stack.callback(drop_database, url)
            number = request.param if redis_url else 0
            shared = redis_url and database_number(redis_url, number)
            one = Installation(
                stack.enter_context(passable_folder()),
                {**SWITCHES, **INSTALLED},
                database_url=url,
                redis_url=shared,
            )
            stack.enter_context(one)
            redis_url = one.redis_url
            one.manage("installation", "--new")
            one.local_exchange("--seed", str(seed))
            one.whitelist([SERIES])
            opened.append(one)
        for one in opened:
            one.start_all()
        yield opened


async def closed_candles(web) -> dict[int, list[float]]:
    """Return the closed candles that a watcher gets while it waits for some live ones."""
    found: dict[int, list[float]] = {}
    async with Client(web.url) as client, asyncio.timeout(patience(STARTED_S)):
        follower = await client.connect()
        await follower.send(type="subscribe", series_id=SERIES)
        live = 0
        while live < CANDLES:
            message = await follower.next()
            if message["type"] == "candle_closed":
                time, *values = message["candle"].values()
                found[time] = values
                live += 1
    return found


def stored(installation, times) -> dict[int, list[float]]:
    rows = installation.stored(SERIES, min(times), max(times))
    return {time: values for time, *values in (list(row.values()) for row in rows)}


def names_in(redis_url: str) -> set[str]:
    """Every key of every database, and every channel of publish and subscribe."""
    found: set[str] = set()
    for number in (0, 1):
        url = database_number(redis_url, number)
        with closing(redis.Redis.from_url(url, decode_responses=True)) as valkey:
            found.update(valkey.scan_iter())
            found.update(valkey.pubsub_channels())
    return found


def answering_workers(installation) -> int:
    ping = installation.start("ping", (*PING, "--json"))
    assert ping.wait() == 0, ping.output()
    return len(json.loads(ping.output().splitlines()[-1]))


def test_neighbours_on_one_valkey_get_nothing_of_each_other(neighbours):
    first, second = neighbours
    for one in neighbours:
        wait_until(lambda one=one: SERIES in one.heads(), STARTED_S)

    async def watch():
        return await asyncio.gather(*(closed_candles(one.webs[0]) for one in neighbours))

    for one, candles in zip(neighbours, asyncio.run(watch()), strict=True):
        kept = stored(one, candles)
        assert {time: kept[time] for time in candles} == candles

    ids = {one.sql("SELECT installation_id FROM installation")[0][0] for one in neighbours}
    assert len(ids) == 2
    names = names_in(first.redis_url)
    assert names
    assert not [name for name in names if not any(each in name for each in ids)]
    # Each worker has the same name in both, so that a stranger's answer would be a second one.
    second.workers[0].terminate()
    assert answering_workers(first) == 1
    assert second.start("ping", PING).wait() != 0


@pytest.fixture
def original_and_copy(migrated_template):
    """An installation, and a copy of its database with the same Valkey."""
    with ExitStack() as stack:
        opened, redis_url = [], ""
        for _ in range(2):
            url = create_database(migrated_template, prefix="copied", template=migrated_template)
            stack.callback(drop_database, url)
            folder = stack.enter_context(passable_folder())
            one = Installation(folder, SWITCHES, database_url=url, redis_url=redis_url)
            opened.append(stack.enter_context(one))
            redis_url = one.redis_url
        yield opened


def refusal_of(program):
    assert program.wait() == 1, program.output()
    (line,) = [each for each in program.output().splitlines() if "wrong_installation" in each]
    return line


@pytest.mark.prove
def test_a_copy_is_refused_until_it_is_separated(original_and_copy):
    original, copy = original_and_copy
    web = original.web()
    started = [copy.web(wait=False), copy.worker(wait=False), copy.beat(wait=False)]
    started.append(copy.start("prepare", manage("prepare", "--without-static")))
    for program in started:
        line = refusal_of(program)
        assert "installation --new" in line and "installation --adopt" in line
    assert web.is_running
    copy.manage("installation", "--new")
    copy.start_all()
    assert web.is_running


@pytest.mark.prove
def test_a_replacement_is_adopted_and_ends_what_uses_the_old_database(original_and_copy):
    original, replacement = original_and_copy
    old = [original.web(wait=False), original.worker(wait=False), original.beat(wait=False)]
    for program in old:
        program.wait_ready()
    replacement.manage("installation", "--adopt")
    for program in old:
        assert program.wait() == 0
        assert "wrong_installation" in program.output()
    replacement.web()
    refusal_of(original.web(wait=False))
