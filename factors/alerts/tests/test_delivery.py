"""Webhooks: what is delivered, tried again, given up and refused."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest
from django.db import connection
from django.utils import timezone

from factors.alerts import outbox
from factors.alerts.delivery import (
    MOST_PER_HOST,
    Deliverer,
    deliver_due,
)
from factors.alerts.models import Alert, AlertAttempt, AlertRule, new_secret
from factors.alerts.webhook import Networks, Webhooks
from lab.receiver import HANG, Receiver
from lab.waiting import eventually, patience, wait_until
from market import blocking

pytestmark = pytest.mark.django_db(transaction=True)

NUMBERS = itertools.count()
SECRET = new_secret()
LOCAL = Networks("127.0.0.0/8")


@pytest.fixture
def receiver():
    with Receiver(SECRET) as opened:
        yield opened


def make_rule(url, **fields):
    return AlertRule.objects.create(name="r", series="*", webhook_url=url, secret=SECRET, **fields)


def make_alert(rule, **fields):
    number = next(NUMBERS)
    values = {
        "id": f"{number:032x}",
        "rule": rule,
        "series": "binance:futures:BTC/USDT:1m",
        "kind": "pen.confirmed",
        "event_key": str(number),
        "candle_time": 60,
        "body": '{"id": "%032x"}' % number,  # noqa: UP031
        "is_streamed": rule.to_stream,
        "is_public": False,
        "state": "pending",
        "host": rule.webhook_host,
    }
    return Alert.objects.create(**values | fields)


async def deliver(networks=LOCAL, timeout_s=5.0):
    async with Webhooks(networks, timeout_s=timeout_s) as webhooks:
        return await deliver_due(webhooks, lambda: False)


def deliver_now(**options):
    return asyncio.run(deliver(**options))


def make_due():
    Alert.objects.filter(state="pending").update(next_attempt_at=timezone.now())


def test_alert_is_posted_once_with_id_and_signature(receiver):
    alert = make_alert(make_rule(receiver.url))
    assert deliver_now() == 1 and deliver_now() == 0
    alert.refresh_from_db()
    assert (alert.state, alert.attempts, alert.last_error) == ("delivered", 1, "")
    (got,) = receiver.deliveries
    assert got.id == got.headers["idempotency-key"] == alert.id and got.body == {"id": alert.id}
    assert receiver.unsigned == 0
    (attempt,) = AlertAttempt.objects.all()
    assert (attempt.alert_id, attempt.number, attempt.status) == (alert.id, 1, 200)


@pytest.mark.parametrize("status", [302, 404, 500, 503])
def test_other_answers_are_failures_and_tried_again_later(receiver, status):
    receiver.behave = lambda number: status if number == 1 else 200
    alert = make_alert(make_rule(receiver.url))
    assert deliver_now() == 1
    alert.refresh_from_db()
    assert (alert.state, alert.last_error) == ("pending", f"HTTP {status}")
    assert alert.next_attempt_at > timezone.now() and alert.claimed_until is None
    assert deliver_now() == 0, "it is not due"
    make_due()
    assert deliver_now() == 1
    alert.refresh_from_db()
    assert (alert.state, alert.attempts) == ("delivered", 2)
    assert [each.status for each in receiver.deliveries] == [status, 200]


def test_receiver_that_hangs_or_is_away_is_a_failure(receiver):
    receiver.behave = lambda number: HANG
    with Receiver(SECRET) as gone:
        url = gone.url
    hanging, away = make_alert(make_rule(receiver.url)), make_alert(make_rule(url))
    assert deliver_now(timeout_s=0.3) == 2
    for alert in (hanging, away):
        alert.refresh_from_db()
        assert alert.state == "pending"
    assert hanging.last_error == "no answer in time"
    assert "Connect call failed" in away.last_error


def test_last_attempt_leaves_a_dead_alert_that_can_be_sent_again(receiver):
    receiver.behave = lambda number: 500
    alert = make_alert(make_rule(receiver.url), attempts=outbox.MOST_ATTEMPTS - 1)
    deliver_now()
    alert.refresh_from_db()
    assert (alert.state, alert.attempts) == ("dead", outbox.MOST_ATTEMPTS)
    assert outbox.waiting().dead == 1
    make_due()
    assert deliver_now() == 0
    receiver.behave = lambda number: 200
    assert outbox.send_again([alert.id]) == 1
    assert deliver_now() == 1
    alert.refresh_from_db()
    assert (alert.state, alert.attempts) == ("delivered", 1)
    assert outbox.send_again([alert.id]) == 1, "also what was delivered"


def test_alert_that_waited_a_day_is_given_up(receiver):
    rule = make_rule(receiver.url)
    old = timezone.now() - timezone.timedelta(seconds=outbox.MAX_AGE_S - 1)
    failing, unclaimed = make_alert(rule, queued_at=old), make_alert(rule, queued_at=old)
    unclaimed.queued_at -= timezone.timedelta(seconds=5)
    unclaimed.save()
    assert outbox.expire() == 1
    receiver.behave = lambda number: 500
    deliver_now()
    for alert in (failing, unclaimed):
        alert.refresh_from_db()
        assert alert.state == "dead"
    assert unclaimed.last_error == "not delivered within a day"


def test_410_disables_the_rule_and_gives_up_what_waits(receiver):
    receiver.behave = lambda number: 410
    rule = make_rule(receiver.url)
    first = make_alert(rule)
    later = make_alert(rule, next_attempt_at=timezone.now() + timezone.timedelta(hours=1))
    other = make_alert(make_rule("http://192.0.2.1/"), next_attempt_at=later.next_attempt_at)
    deliver_now()
    rule.refresh_from_db()
    assert not rule.enabled and "410" in rule.disabled_reason
    for alert, state in ((first, "dead"), (later, "dead"), (other, "pending")):
        alert.refresh_from_db()
        assert alert.state == state


def test_alerts_of_a_disabled_rule_wait(receiver):
    rule = make_rule(receiver.url, enabled=False)
    make_alert(rule)
    assert deliver_now() == 0
    rule.enabled = True
    rule.save()
    assert deliver_now() == 1


def test_new_address_of_a_rule_gets_what_waits(receiver):
    rule = make_rule("http://192.0.2.1:9/")
    make_alert(rule)
    rule.webhook_url = receiver.url
    rule.save()
    assert deliver_now() == 1 and len(receiver.accepted) == 1


def test_retry_after_is_respected(receiver):
    claimed = []
    alert = make_alert(make_rule(receiver.url))

    async def asked():
        async with Webhooks(LOCAL) as webhooks:
            claimed.extend(await blocking.run(outbox.claim, 5, per_host=5, lease_s=60))
            return await webhooks.post(claimed[0].url, alert.id, alert.body, SECRET)

    assert asyncio.run(asked()).is_accepted
    is_last = outbox.note_failed(claimed[0], status=503, ms=1, error="x", pause_s=600)
    alert.refresh_from_db()
    wait_s = (alert.next_attempt_at - timezone.now()).total_seconds()
    assert not is_last and 590 < wait_s < 601


def test_target_has_a_bounded_number_of_requests_and_does_not_delay_others(receiver):
    receiver.behave = lambda number: HANG
    slow = make_rule(receiver.url)
    for _ in range(3 * MOST_PER_HOST):
        make_alert(slow)
    with Receiver(SECRET) as quick:
        rule = make_rule(quick.url)
        expected = {make_alert(rule).id for _ in range(3 * MOST_PER_HOST)}

        async def check():
            running = asyncio.create_task(deliver(timeout_s=patience(20)))
            await eventually(lambda: len(quick.accepted) == len(expected))
            await eventually(lambda: len(receiver.deliveries) == MOST_PER_HOST)
            receiver.behave = lambda number: 200
            receiver.release()
            await running

        asyncio.run(check())
        assert set(quick.accepted) == expected
    assert receiver.most_at_once <= MOST_PER_HOST
    assert len(receiver.deliveries) == 3 * MOST_PER_HOST


def test_two_workers_at_once_deliver_each_alert_once(receiver):
    rule = make_rule(receiver.url)
    expected = sorted(make_alert(rule).id for _ in range(40))

    async def both():
        await asyncio.gather(deliver(), deliver())
        # What one held back for the other's sake.
        await deliver()

    asyncio.run(both())
    assert sorted(receiver.accepted) == expected and receiver.most_at_once <= MOST_PER_HOST


def test_delivery_of_a_killed_worker_is_tried_again_after_its_lease(receiver):
    alert = make_alert(make_rule(receiver.url))
    (claimed,) = outbox.claim(5, per_host=5, lease_s=60)
    assert claimed.id == alert.id and deliver_now() == 0
    with connection.cursor() as cursor:
        cursor.execute("UPDATE alerts SET next_attempt_at = now(), claimed_until = now()")
    assert deliver_now() == 1
    # The first worker was only slow: what it finds is not the truth any more.
    assert not outbox.note_failed(claimed, status=None, ms=1, error="late", pause_s=1)
    alert.refresh_from_db()
    assert (alert.state, alert.last_error) == ("delivered", "")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1"])
def test_private_address_is_not_connected_to_whatever_its_name(receiver, host):
    url = receiver.url.replace("127.0.0.1", host)
    alert = make_alert(make_rule(url))
    deliver_now(networks=Networks(""))
    alert.refresh_from_db()
    assert alert.state == "pending" and alert.last_error
    assert receiver.deliveries == []


def test_old_alerts_are_pruned_but_not_what_keeps_a_rule_from_firing_twice(receiver):
    rule, once = make_rule(receiver.url), make_rule(receiver.url, once=True)
    old = timezone.now() - timezone.timedelta(days=31)
    gone = make_alert(rule, state="delivered", created_at=old)
    AlertAttempt.objects.create(alert=gone, number=1, duration_ms=1)
    kept = {
        make_alert(rule, state="delivered").id,
        make_alert(rule, state="pending", created_at=old).id,
        make_alert(once, state="delivered", created_at=old).id,
    }
    assert outbox.prune(30) == 1
    assert set(Alert.objects.values_list("id", flat=True)) == kept
    assert AlertAttempt.objects.count() == 0
    once.delete()
    assert outbox.prune(30) == 0 and Alert.objects.count() == 2


def test_deliverer_delivers_whenever_it_is_woken(receiver, settings):
    settings.SWITCHES = replace(settings.SWITCHES, alerts_networks="127.0.0.0/8")
    deliverer, rule = Deliverer(), make_rule(receiver.url)
    for count in (1, 2):
        make_alert(rule)
        deliverer.wake()
        wait_until(lambda count=count: len(receiver.accepted) == count)
        wait_until(lambda count=count: Alert.objects.filter(state="delivered").count() == count)
    deliverer.stop()
    wait_until(lambda: not deliverer._is_running)
    make_alert(rule)
    deliverer.wake()
    assert not deliverer._is_running
