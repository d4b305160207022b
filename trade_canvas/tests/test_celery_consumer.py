"""A worker survives what kombu raises while its broker restarts."""

from __future__ import annotations

import pytest
from celery.bootsteps import CLOSE

from trade_canvas.celery import app


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
