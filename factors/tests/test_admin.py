"""The admin's page of factor ledgers, and the rebuild it asks for."""

from __future__ import annotations

import pytest
from celery import current_app
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.db import connection

from factors import runtime, tasks
from factors.domain.tests.recordings import flat
from factors.models import FactorState
from factors.tests.ledgers import Stores, new_series
from market import blocking
from market.api.tests.conftest import fresh_process, switch
from market.pipeline import Pipeline
from market.runtime import candle_store, pipeline

__all__ = ["fresh_process", "switch"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_process")]

PAGE = "/admin/factors/factorstate/"
WAVES = flat(*[100.0 + abs(each % 120 - 60) for each in range(400)])


@pytest.fixture
def user(django_user_model):
    return django_user_model.objects.create(username="staff", is_staff=True)


@pytest.fixture
def reader(client, user):
    """Logged in with the permission to view only."""
    user.user_permissions.add(Permission.objects.get(codename="view_factorstate"))
    client.force_login(user)
    return client


@pytest.fixture
def editor(reader, user):
    user.user_permissions.add(Permission.objects.get(codename="change_factorstate"))
    return reader


@pytest.fixture
def series():
    found = new_series()
    pipeline().ingest(found, WAVES)
    return found


def rebuild(client):
    rows = list(FactorState.objects.values_list("pk", flat=True))
    return client.post(PAGE, {"action": "rebuild", "_selected_action": rows})


def test_list_shows_how_far_each_ledger_is(reader, series):
    page = reader.get(PAGE).content.decode()
    assert str(series) in page
    for query, is_shown in {
        "logic=current": True,
        "logic=outdated": False,
        f"exchange={series.exchange}": True,
        "exchange=nowhere": False,
    }.items():
        rows = reader.get(f"{PAGE}?{query}").context["cl"].result_list
        assert bool(list(rows)) is is_shown, query
    assert "1970-01-01 06:40:00" in page
    assert "up to date" in page and "(current)" in page
    late = WAVES[-1]._replace(candle_time=WAVES[-1].candle_time + 60)
    Pipeline(candle_store()).ingest(series, [late])
    FactorState.objects.update(fingerprint="other")
    page = reader.get(PAGE).content.decode()
    assert "1 candle behind" in page and "other (outdated)" in page


def test_page_of_a_series_counts_its_events(reader, series):
    row = FactorState.objects.get()
    page = reader.get(f"{PAGE}{row.pk}/change/").content.decode()
    count = len(
        [e for e in runtime.factor_ledger().events(series, 0, 10**9) if e.kind == "pivot.major"]
    )
    assert f"pivot.major: {count}" in page


def test_rebuild_needs_the_permission_to_change(reader, series):
    assert "Rebuild from the stored candles" not in reader.get(PAGE).content.decode()


def test_rebuild_is_handed_to_a_worker(editor, series, monkeypatch):
    sent = []
    monkeypatch.setattr(
        tasks.dispatch, "send", lambda *task, **more: sent.append((task, more)) or True
    )
    answer = rebuild(editor)
    assert sent == [(("factors.tasks.rebuild", str(series)), {"expires": 3600.0, "queue": "build"})]
    assert [str(each) for each in get_messages(answer.wsgi_request)] == [
        "1 of 1 rebuilds requested."
    ]


def test_rebuild_that_can_not_be_requested_is_reported(editor, series, switch):
    # The process ingests by itself, but its event loop is not there to take work.
    switch(enable_ws_pubsub=False)
    answer = rebuild(editor)
    assert [str(each) for each in get_messages(answer.wsgi_request)] == [
        "0 of 1 rebuilds requested."
    ]


def test_worker_knows_the_task_and_its_queue():
    assert tasks.REBUILD in current_app.tasks
    assert tasks.QUEUE in {queue.name for queue in current_app.conf.task_queues}


def damage():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE factor_events SET payload = '{}'")


def check(series):
    Stores(candle_store(), runtime.factor_ledger()).check(series, runtime.engine())


def test_task_rebuilds_the_series(series):
    damage()
    tasks.rebuild(str(series))
    check(series)


async def test_web_process_rebuilds_beside_its_work(series):
    await blocking.run(damage)
    await tasks.rebuild_beside(series)
    await blocking.run(check, series)


def test_task_of_an_unknown_series_does_nothing():
    tasks.rebuild(str(new_series()))
