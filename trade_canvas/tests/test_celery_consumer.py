"""A worker collects garbage again once it has started, and survives a restart of its broker."""

from __future__ import annotations

import gc

import pytest
from celery.bootsteps import CLOSE

from market import collector
from trade_canvas.celery import app, refuse_to_plan, refuse_to_work


class HalfClosed:
    """A channel whose connection is gone already, as kombu leaves one behind."""

    connection = None

    def close(self):
        self.connection.cycle.discard(self)


@pytest.fixture
def consumer():
    return app.WorkController(pool="solo", hostname="test@here").consumer


def test_lost_connection_that_cannot_be_closed_is_replaced(consumer):
    consumer.connection = app.connection_for_read()
    consumer.connection._default_channel = HalfClosed()
    consumer.on_connection_error_after_connected(ConnectionError("reset by peer"))
    assert consumer.connection is None


def test_attribute_error_of_a_lost_connection_is_no_end_of_the_worker(consumer, monkeypatch):
    starts = []

    def start(parent):
        starts.append(parent)
        if len(starts) == 1:
            parent.connection = app.connection_for_read()
            parent.connection._default_channel = HalfClosed()
            HalfClosed().close()
        consumer.blueprint.state = CLOSE

    monkeypatch.setattr(consumer.blueprint, "start", start)
    monkeypatch.setattr(consumer.blueprint, "restart", lambda parent: None)
    consumer.start()
    assert len(starts) == 2


@pytest.mark.parametrize("check", [refuse_to_work, refuse_to_plan], ids=["worker", "beat"])
@pytest.mark.django_db
def test_collector_runs_again_before_the_first_task(check):
    collector.begin_start()
    try:
        check()
        assert gc.isenabled()
    finally:
        gc.enable()
