"""Every program has lines of its own to the servers, and all can be cut."""

from __future__ import annotations

import pytest
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from lab.database import run_sql
from lab.lines import Lines


@pytest.fixture
def lines():
    made = Lines()
    yield made
    for line in made:
        line.close()


def test_program_reaches_the_servers_over_its_own_lines(lines):
    store = lines.to_store("web-1", settings.DATABASE_URL)
    bus = lines.to_bus("web-1", settings.REDIS_URL)
    assert store != settings.DATABASE_URL
    assert run_sql(store, "SELECT 1") == [(1,)]
    with Redis.from_url(bus) as client:
        assert client.ping()
    lines.buses["web-1"].cut()
    with Redis.from_url(bus, socket_timeout=0.2) as client, pytest.raises(RedisError):
        client.ping()
    assert run_sql(store, "SELECT 2") == [(2,)]
    assert list(lines) == [lines.buses["web-1"], lines.stores["web-1"]]


def test_programs_follow_a_store_that_moved(lines):
    nowhere = lines.to_store("web-1", "postgres://someone:secret@127.0.0.1:1/name")
    assert nowhere.startswith("postgres://someone:secret@127.0.0.1:")
    address = lines.to_bus("store", settings.REDIS_URL)
    lines.move_stores(int(address.rpartition(":")[2].partition("/")[0]))
    assert lines.stores["web-1"].targets == [lines.buses["store"].port]


def test_front_leads_to_the_webs_of_its_first_use(lines):
    front = lines.front(["http://127.0.0.1:8001", "http://127.0.0.1:8002"])
    assert front.targets == [8001, 8002]
    assert lines.front([]) is front
    assert list(lines) == [front]
