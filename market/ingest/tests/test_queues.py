"""Queues in the broker are bounded in age by the broker's clock, and in length."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from market import identity
from market.domain.lease_store import LeaseStoreUnavailable
from market.ingest import dispatch, queues
from market.ingest.lease_store_valkey import connect


@pytest.fixture
def broker(settings):
    with closing(connect(settings.REDIS_URL)) as client:
        yield client
        client.delete(*(identity.prefix() + name for name in queues.QUEUES))


def fill(broker, queue, ages):
    """Queue a task of each age in seconds, the first one first; None is a task without a time."""
    now = broker.time()[0]
    for age in ages:
        headers = {} if age is None else {"sent_at": float(now - age)}
        broker.lpush(identity.prefix() + queue, json.dumps({"age": age, "headers": headers}))


def waiting(broker, queue):
    """The ages given to `fill`, the oldest task first."""
    found = broker.lrange(identity.prefix() + queue, 0, -1)
    return [json.loads(each)["age"] for each in reversed(found)]


@pytest.mark.parametrize(
    ("ages", "kept"),
    [
        ([], []),
        ([5, 1], [5, 1]),
        ([900, 800, 700], []),
        ([900, 800, 30, 20, 0], [30, 20, 0]),
        ([900, 30], [30]),
        ([*range(1000, 100, -1), 3, 2, 1], [3, 2, 1]),
        # The broker's clock was set back.
        ([-7200, -7100, 1], [1]),
        # A stranger's task has no time.
        ([None], [None]),
    ],
)
def test_tasks_that_waited_too_long_are_dropped(broker, ages, kept):
    fill(broker, "control", ages)
    queues.drop_stale("control", broker)
    assert waiting(broker, "control") == kept


def test_a_queue_without_times_is_bounded_in_length(broker, monkeypatch):
    monkeypatch.setattr(queues, "MAX_LENGTH", 3)
    fill(broker, "follow", [None] * 5)
    queues.drop_stale("follow", broker)
    assert len(waiting(broker, "follow")) == 3


def test_each_queue_has_its_age(broker):
    ages = {"control": 61, "follow": 61, "backfill": 121, "build": 3601}
    for queue, age in ages.items():
        fill(broker, queue, [age, age - 10])
    queues.drop_all_stale()
    assert [waiting(broker, queue) for queue in ages] == [[51], [51], [111], [3591]]


# Twice: what the first keeps of its broker must not send the second's task to its own queue.
@pytest.mark.parametrize("turn", [1, 2])
def test_sending_stamps_by_the_brokers_clock_and_drops_what_is_old(broker, monkeypatch, turn):
    fill(broker, "follow", [900, 5])
    monkeypatch.setattr(queues.time, "time", lambda: 12.0)
    assert dispatch.send(dispatch.FOLLOW, "sim:spot:0", expires=10)
    sent, waited = broker.lrange(identity.prefix() + "follow", 0, -1)
    assert json.loads(waited)["age"] == 5
    assert abs(json.loads(sent)["headers"]["sent_at"] - broker.time()[0]) < 60


def test_an_unreachable_broker_is_named_as_such():
    with pytest.raises(LeaseStoreUnavailable):
        queues.drop_stale("control", connect("redis://127.0.0.1:1/0"))
