"""The database refuses in the middle of a write: nothing half written, a stable code, and back.

Faults are raised by triggers, in the transaction that already wrote candles and factors.
"""

from __future__ import annotations

import asyncio
import dataclasses

import orjson
import pytest
from django.db import connection
from django.test import Client

from lab.waiting import eventually, patience
from market import blocking, runtime
from market.api.tests.asking import CLOSED, SERIES, refusal
from market.api.tests.asking import candle as posted
from market.domain.store import StoreUnavailable
from market.ingest.breaker import Breaker
from market.ingest.follow import Follower
from market.ingest.tests.exchange_fake import SERIES as FOLLOWED
from market.ingest.tests.exchange_fake import FakeFeed, candle_at, memory_ports, stored
from market.ingest.tests.test_follow import FAST, at
from market.pipeline import PipelineError
from market.tests.builders import MINUTE, candles

TOKEN = "token-of-the-tests"
TABLES = ("candles", "series", "factor_state", "factor_events", "overlay_state", "revisions")

# A sequence counts on when the transaction it is asked in is taken back.
FAULT = """
CREATE SEQUENCE faults;
CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('faults') <= TG_ARGV[1]::bigint THEN
        IF TG_ARGV[0] = 'cut' THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
        END IF;
        RAISE EXCEPTION 'injected' USING ERRCODE = TG_ARGV[0];
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fault BEFORE INSERT OR UPDATE ON overlay_state
    FOR EACH ROW EXECUTE FUNCTION fault(%s, %s)
"""
ALWAYS = 1_000_000


@pytest.fixture
def database(transactional_db, settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    settings.SWITCHES = dataclasses.replace(settings.SWITCHES, ingest_token=TOKEN)


def sql(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def mend():
    sql("DROP FUNCTION IF EXISTS fault CASCADE; DROP SEQUENCE IF EXISTS faults")


@pytest.fixture
def fault(database):
    """Have the next transactions fail with an SQLSTATE, or `cut` off from the server."""

    def inject(state, times=ALWAYS):
        mend()
        sql(FAULT, state, times)

    yield inject
    connection.close()
    mend()


def tries():
    return sql("SELECT last_value FROM faults")[0][0]


def rows():
    return {table: sql(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


def write(*times):
    return runtime.pipeline().ingest(MINUTE, candles(*times))


REFUSED = [
    ("53100", "store_full", 1),
    ("25006", "store_read_only", 1),
    ("57014", "store_unavailable", 1),
    ("40001", "store_unavailable", 3),
    ("40P01", "store_unavailable", 3),
    ("57P01", "store_unavailable", 3),
    ("cut", "store_unavailable", 3),
]


@pytest.mark.parametrize(("state", "code", "tried"), REFUSED)
def test_refused_write_leaves_nothing_and_has_a_code(fault, state, code, tried):
    fault(state)
    with pytest.raises(PipelineError) as failed:
        write(60, 120)
    assert isinstance(failed.value.refusal, StoreUnavailable)
    assert failed.value.refusal.code == code
    assert tries() == tried
    assert set(rows().values()) == {0}
    assert runtime.candle_store().state(MINUTE).head is None
    mend()
    assert [candle.candle_time for candle in write(60, 120).fresh] == [60, 120]


def test_refused_write_leaves_what_was_there(fault):
    write(60, 120)
    before = rows()
    fault("53100")
    with pytest.raises(PipelineError):
        write(60, 90, 180)
    assert rows() == before
    mend()
    change = write(60, 90, 180)
    assert [candle.candle_time for candle in change.fresh] == [180]
    assert change.revised_from == 90


@pytest.mark.parametrize("state", ["40001", "40P01", "57P01", "cut"])
def test_passing_trouble_is_tried_again_and_lands_once(fault, state):
    write(60)
    fault(state, times=2)
    change = write(120, 180)
    assert tries() == 3
    assert [candle.candle_time for candle in change.fresh] == [120, 180]
    assert runtime.candle_store().count(MINUTE) == 3
    assert write(120, 180).is_empty


def test_wrong_statement_is_neither_repeated_nor_excused(fault):
    fault("23505")
    with pytest.raises(PipelineError) as failed:
        write(60)
    assert (failed.value.refusal, tries()) == (None, 1)


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        ("53100", 503, "store_full"),
        ("25006", 503, "store_read_only"),
        ("cut", 503, "store_unavailable"),
        ("23505", 500, "market.ingest_pipeline_failed"),
    ],
)
def test_poster_is_told_what_to_do(fault, state, status, code):
    fault(state)
    body = orjson.dumps({"series_id": SERIES, "candle": posted(120)})
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    post = {"data": body, "content_type": "application/json", "headers": bearer}
    answer = Client().post(CLOSED, **post)
    assert refusal(answer) == (status, code)
    assert answer.headers.get("Retry-After") == ("1" if status == 503 else None)
    mend()
    assert Client().post(CLOSED, **post).status_code == 200


@pytest.mark.parametrize(
    ("state", "words"),
    [("53100", "the store has no room left"), ("25006", "the store takes no writes now")],
)
async def test_following_waits_for_the_store_and_misses_nothing(fault, state, words):
    known = [candle_at(number) for number in range(5)]
    await blocking.run(runtime.pipeline().ingest, FOLLOWED, known)
    await blocking.run(fault, state)
    feed, stop = FakeFeed(), asyncio.Event()
    ports = dataclasses.replace(
        memory_ports(), store=runtime.candle_store(), committer=runtime.committer()
    )
    for number in range(10):
        feed.add_candle(number)
    states = []
    follower = Follower(
        feed,
        ports,
        report=lambda _, report: states.append((report.state, report.last_error)),
        limits=FAST,
        new_breaker=Breaker,
    )
    fence = await blocking.run(ports.store.next_fence, FOLLOWED)

    async def wanted():
        return {FOLLOWED: fence}

    running = asyncio.create_task(follower.run(wanted, stop))
    try:
        await eventually(lambda: sum(state == "waiting" for state, _ in states) >= 3)
        assert states[-1][1] == words
        feed.send_closed(feed.add_candle(10))
        await blocking.run(mend)
        await eventually(lambda: ports.publisher.fresh[FOLLOWED][-1:] == [at(10)])
        kept = await blocking.run(stored, ports, FOLLOWED)
        assert ports.publisher.fresh[FOLLOWED] == [at(n) for n in range(5, 11)]
        assert [c.candle_time for c in kept] == [at(n) for n in range(11)]
    finally:
        stop.set()
        await asyncio.wait_for(running, patience(5))
