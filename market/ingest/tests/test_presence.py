"""A process among the others, and the queues between them."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from lab.waiting import wait_until
from market import identity
from market.domain.lease_store import LeaseStoreUnavailable
from market.ingest.lease_store_memory import MemoryLeaseStore
from market.ingest.lease_store_valkey import connect
from market.ingest.presence import Load, Presence
from market.ingest.queues import QueueStanding, queue_standings
from market.ingest.tests.outage import Outage


def test_presence_announces_its_load_until_it_is_stopped():
    leases = MemoryLeaseStore()
    presence = Presence("web", load=lambda: Load(3, 4), interval=0.01, leases=leases)
    presence.start()
    wait_until(leases.members)
    (member,) = leases.members()
    assert (member.kind, member.watchers, member.subscriptions) == ("web", 3, 4)
    wait_until(lambda: leases.members()[0].seen_at > member.seen_at)
    assert leases.members()[0] == replace(member, seen_at=leases.members()[0].seen_at)
    presence.stop()
    assert leases.members() == []


def test_presence_outlives_an_unreachable_lease_store():
    leases = Outage()
    leases.is_on = True
    presence = Presence("worker", interval=0.01, leases=leases)
    presence.start()
    wait_until(lambda: leases.calls["announce"] > 1)
    leases.is_on = False
    wait_until(leases.members)
    presence.stop()
    assert leases.members() == []


@pytest.fixture
def broker(settings):
    client = connect(settings.REDIS_URL)
    yield client
    client.delete(*(identity.prefix() + name for name in ("control", "build", "unacked")))
    client.close()
    client.connection_pool.disconnect()


def test_queues_show_depth_and_age_of_the_oldest_task(broker):
    sent = {"headers": {"sent_at": time.time() - 30}}
    prefix = identity.prefix()
    broker.lpush(
        prefix + "build", json.dumps(sent), json.dumps({"headers": {"sent_at": time.time()}})
    )
    broker.lpush(prefix + "control", "no JSON")
    broker.hset(prefix + "unacked", "tag", "task")
    (control, follow, _, build), taken = queue_standings(broker)
    assert (control.waiting, control.oldest_s) == (1, 0.0)
    assert follow == QueueStanding("follow", 0, 0.0)
    assert build.waiting == 2 and 30 <= build.oldest_s < 60
    assert taken == 1


def test_unreachable_broker_is_named_as_such():
    with pytest.raises(LeaseStoreUnavailable):
        queue_standings(connect("redis://127.0.0.1:1/0"))
